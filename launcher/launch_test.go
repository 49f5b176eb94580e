package launcher_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const patience = 20 * time.Second

// bench is a launcher whose jobs are processes of this test binary.
type bench struct {
	t     *testing.T
	store *memory
	*launcher.Launcher
	dir    string
	runner *local.Runner
	seen   chan runfolder.Event
}

func newBench(t *testing.T, mode string, change ...func(*launcher.Config)) *bench {
	t.Helper()
	b := &bench{t: t, store: newMemory(), dir: t.TempDir(), seen: make(chan runfolder.Event, 100)}
	b.runner = &local.Runner{Command: []string{os.Args[0]}, Env: []string{envChild + "=" + mode}, Grace: 300 * time.Millisecond}
	cfg := launcher.Config{
		Store: b.store, Register: b.store, Planner: planner{timeout: patience}, Runner: b.runner, Dir: b.dir, Env: "local",
		Project: "p", Location: "US", Engine: "prism", Now: launcher.Clock, Log: slog.New(slog.DiscardHandler), Poll: 20 * time.Millisecond,
		Watch: func(_ string, e runfolder.Event) {
			select {
			case b.seen <- e:
			default:
			}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	b.Launcher = launcher.New(cfg)
	t.Cleanup(b.Close)
	return b
}

func request(template string) launcher.Request {
	return launcher.Request{Org: "acme", Provider: "openai", Domain: "cost", Template: template, Trigger: "api", TriggerBy: "me", Params: map[string]string{}}
}

func (b *bench) launch(r launcher.Request) launcher.Run {
	b.t.Helper()
	run, existing, err := b.Launch(b.t.Context(), r)
	if err != nil || existing {
		b.t.Fatalf("launch: existing %t, %v", existing, err)
	}
	return run
}

func (b *bench) end(id string) launcher.Run {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	run, err := b.Wait(ctx, "acme", id)
	if err != nil {
		b.t.Fatalf("wait: %v", err)
	}
	return run
}

// started waits until the job has written its progress.
func (b *bench) started() {
	b.t.Helper()
	for {
		select {
		case e := <-b.seen:
			if e.Kind == runfolder.KindProgress {
				return
			}
		case <-time.After(patience):
			b.t.Fatal("the job did not start")
		}
	}
}

func stepOf(t *testing.T, r launcher.Run, id string) launcher.StepRun {
	t.Helper()
	i := slices.IndexFunc(r.Steps, func(s launcher.StepRun) bool { return s.Step == id })
	if i < 0 {
		t.Fatalf("run %s has no step %s", r.ID, id)
	}
	return r.Steps[i]
}

func TestRunIsFollowedToItsEnd(t *testing.T) {
	b := newBench(t, childCompletes)
	started := b.launch(request("usage_cost"))
	if started.State != launcher.Pending && started.State != launcher.Running || started.PipelineID != "acme-openai-cost-usage_cost" {
		t.Errorf("launch answers %+v", started)
	}
	r := b.end(started.ID)
	if r.State != launcher.Completed || r.Code != "" || r.End.IsZero() || len(r.Steps) != 2 {
		t.Fatalf("the run ended as %+v", r)
	}
	if s := stepOf(t, r, "extract"); s.State != launcher.Completed || s.Published != 10 || s.Counts.Retries != retriesAtTheEnd || s.Index != 0 {
		t.Errorf("its first step is %+v", s)
	}
	if s := stepOf(t, r, "price"); s.State != launcher.Completed || s.Index != 1 || s.Type != "openai.cost" {
		t.Errorf("a step that only the result tells of is %+v", s)
	}
	if p, ok := b.store.projection(r.ID); !ok || p.State != launcher.Completed || stepOf(t, p, "extract").Counts.Retries != retriesAtTheEnd {
		t.Errorf("projected is %+v", p)
	}
	if _, err := b.Run(t.Context(), "globex", r.ID); !isCode(err, launcher.CodeRunNotFound) {
		t.Errorf("another org gets %v", err)
	}
}

func isCode(err error, code launcher.Code) bool {
	var e *launcher.Error
	return errors.As(err, &e) && e.Code == code
}

func TestRunEndsAsItsJobEnds(t *testing.T) {
	cases := []struct {
		mode  string
		state launcher.State
		code  launcher.Code
		price launcher.State
	}{
		{childFails, launcher.Failed, "STEP_FAILED", launcher.Failed},
		{childSilent, launcher.Failed, launcher.CodeLost, launcher.Skipped},
		{childForeign, launcher.Failed, launcher.CodeInternal, launcher.Skipped},
		{childUnknown, launcher.Failed, launcher.CodeInternal, launcher.Skipped},
		{childGarbage, launcher.Completed, "", launcher.Completed},
	}
	for _, c := range cases {
		t.Run(c.mode, func(t *testing.T) {
			b := newBench(t, c.mode)
			r := b.end(b.launch(request("usage_cost")).ID)
			if r.State != c.state || launcher.Code(r.Code) != c.code || strings.Contains(r.Error, b.dir) {
				t.Errorf("the run ended as %s %s: %s", r.State, r.Code, r.Error)
			}
			if s := stepOf(t, r, "price"); s.State != c.price {
				t.Errorf("its last step is %s, want %s", s.State, c.price)
			}
			if p, _ := b.store.projection(r.ID); p.State != c.state {
				t.Errorf("projected is %s", p.State)
			}
		})
	}
}

func TestJobThatIsKilledIsLostAndItsStepsEnd(t *testing.T) {
	b := newBench(t, childStubborn)
	run := b.launch(request("usage_cost"))
	b.started()
	killChild(t, filepath.Join(b.dir, "runs", run.ID))
	r := b.end(run.ID)
	if r.State != launcher.Failed || r.Code != string(launcher.CodeLost) {
		t.Errorf("the run ended as %s %s: %s", r.State, r.Code, r.Error)
	}
	if s := stepOf(t, r, "extract"); s.State != launcher.Failed || s.End.IsZero() {
		t.Errorf("the step that was under way is %+v", s)
	}
}

func TestStoppedRunIsCancelled(t *testing.T) {
	for _, mode := range []string{childWaits, childStubborn} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			run := b.launch(request("usage_cost"))
			b.started()
			if !b.Stop(run.ID) || b.Stop("nobody") {
				t.Error("Stop does not say whether it follows the run")
			}
			if r := b.end(run.ID); r.State != launcher.Cancelled || r.Code != string(launcher.CodeCancelled) {
				t.Errorf("the run ended as %s %s: %s", r.State, r.Code, r.Error)
			}
		})
	}
}

func TestRunThatCompletesWhileItIsStoppedHasCompleted(t *testing.T) {
	b := newBench(t, childLate)
	run := b.launch(request("usage_cost"))
	b.started()
	b.Stop(run.ID)
	if r := b.end(run.ID); r.State != launcher.Completed || stepOf(t, r, "price").State != launcher.Completed {
		t.Errorf("the run ended as %s %s: %s", r.State, r.Code, r.Error)
	}
}

func TestRunThatIsLateTimesOut(t *testing.T) {
	for _, mode := range []string{childWaits, childStubborn} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode, func(c *launcher.Config) { c.Planner = planner{timeout: time.Second} })
			if r := b.end(b.launch(request("usage_cost")).ID); r.State != launcher.Timeout || r.Code != string(launcher.CodeTimeout) {
				t.Errorf("the run ended as %s %s: %s", r.State, r.Code, r.Error)
			}
		})
	}
}

func TestProgressIsShownBeforeItIsAnEvent(t *testing.T) {
	b := newBench(t, childWaits)
	run := b.launch(request("usage_cost"))
	b.started()
	for deadline := time.Now().Add(patience); ; {
		r, err := b.Run(t.Context(), "acme", run.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s := stepOf(t, r, "extract"); s.State == launcher.Running && s.Counts.Rows == 4 && s.Counts.Pages == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the run shows %+v", r)
		}
	}
	b.Stop(run.ID)
	b.end(run.ID)
}

func TestEqualActiveRunIsAnswered(t *testing.T) {
	b := newBench(t, childWaits)
	first := b.launch(request("usage_cost"))
	again, existing, err := b.Launch(t.Context(), request("usage_cost"))
	if err != nil || !existing || again.ID != first.ID {
		t.Fatalf("the same again: %s, existing %t, %v", again.ID, existing, err)
	}
	other := request("usage_cost")
	other.Params = map[string]string{"region": "eu"}
	different := request("usage_cost")
	different.Org = "globex"
	for _, r := range []launcher.Request{other, different} {
		if run := b.launch(r); run.ID == first.ID {
			t.Errorf("a run of org %s with %v was answered with another", r.Org, r.Params)
		}
	}
	b.Stop(first.ID)
	b.end(first.ID)
	if next := b.launch(request("usage_cost")); next.ID == first.ID {
		t.Error("a run that has ended was answered as active")
	}
}

func TestEqualRequestsAtOnceStartOneRun(t *testing.T) {
	b := newBench(t, childWaits)
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			run, _, err := b.Launch(t.Context(), request("usage_cost"))
			if err != nil {
				t.Error(err)
			}
			ids[i] = run.ID
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("20 equal requests started %d runs", len(slices.Compact(ids)))
	}
}

func TestRefusedPipelineStartsAndRecordsNothing(t *testing.T) {
	b := newBench(t, childCompletes)
	if _, _, err := b.Launch(t.Context(), request("missing")); !isCode(err, launcher.CodePipelineNotFound) {
		t.Errorf("error is %v", err)
	}
	if len(b.store.events) != 0 {
		t.Errorf("%d events were recorded", len(b.store.events))
	}
}

func TestStoreThatFailsForAWhileLosesNothing(t *testing.T) {
	for name, before := range map[string]bool{"before it took effect": true, "after it took effect": false} {
		for _, call := range []string{"append", "project"} {
			t.Run(call+" "+name, func(t *testing.T) {
				b := newBench(t, childCompletes)
				b.store.failFirst(1, before, call)
				r := b.end(b.launch(request("usage_cost")).ID)
				if r.State != launcher.Completed || stepOf(t, r, "extract").Counts.Retries != retriesAtTheEnd {
					t.Errorf("the run ended as %+v", r)
				}
				b.Close() // writes what was left
				if p, _ := b.store.projection(r.ID); p.State != launcher.Completed {
					t.Errorf("projected is %s", p.State)
				}
			})
		}
	}
}

func TestEndIsRecordedAlthoughEveryOtherAppendFails(t *testing.T) {
	b := newBench(t, childCompletes)
	n := 0
	b.store.fail = func(call string) (error, error) {
		if call != "append" {
			return nil, nil
		}
		if n++; n%2 == 1 {
			return errDown, nil
		}
		return nil, nil
	}
	if r := b.end(b.launch(request("usage_cost")).ID); r.State != launcher.Completed || stepOf(t, r, "price").State != launcher.Completed {
		t.Errorf("the run ended as %+v", r)
	}
}

func TestRunThatCannotBeRecordedIsNotStarted(t *testing.T) {
	b := newBench(t, childCompletes)
	b.store.failFirst(1000, true, "append")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := b.Launch(ctx, request("usage_cost")); !isCode(err, launcher.CodeUnavailable) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "runs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was started: %v", err)
	}
}

func TestRunIsNotStartedWhileTheRegisterIsDown(t *testing.T) {
	b := newBench(t, childCompletes)
	b.store.failFirst(1000, true, "acquire")
	if _, _, err := b.Launch(t.Context(), request("usage_cost")); !isCode(err, launcher.CodeUnavailable) {
		t.Errorf("error is %v", err)
	}
	if runs := b.store.runs("acme"); len(runs) != 0 {
		t.Errorf("%d runs are recorded", len(runs))
	}
}

func TestRunWhoseJobCannotStartFailsWithoutInternals(t *testing.T) {
	for name, change := range map[string]func(*bench){
		"no program":           func(b *bench) { b.runner.Command = []string{"/nonexistent/job"} },
		"generations are down": func(b *bench) { b.store.failFirst(1000, true, "generations") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, childCompletes)
			change(b)
			r := b.end(b.launch(request("usage_cost")).ID)
			if r.State != launcher.Failed || r.Code != string(launcher.CodeInternal) || strings.Contains(r.Error, "nonexistent") || strings.Contains(r.Error, errDown.Error()) {
				t.Errorf("the run ended as %s %s: %s", r.State, r.Code, r.Error)
			}
		})
	}
}

func TestCloseStopsJobsAndRefusesNewRuns(t *testing.T) {
	b := newBench(t, childWaits)
	run := b.launch(request("usage_cost"))
	b.started()
	b.Close()
	if r, err := b.Run(t.Context(), "acme", run.ID); err != nil || r.State != launcher.Cancelled {
		t.Errorf("the run is %s, %v", r.State, err)
	}
	if p, _ := b.store.projection(run.ID); p.State != launcher.Cancelled {
		t.Errorf("projected is %s", p.State)
	}
	if _, _, err := b.Launch(t.Context(), request("usage_cost")); !isCode(err, launcher.CodeUnavailable) {
		t.Errorf("launch after close: %v", err)
	}
}

func TestJobSeesOnlyTheEnvironmentItWasGiven(t *testing.T) {
	t.Setenv("CA_ROOT_API_KEY", "canary-7f")
	b := newBench(t, childEnviron)
	r := b.end(b.launch(request("usage_cost")).ID)
	log, err := os.ReadFile(filepath.Join(b.dir, "runs", r.ID, runfolder.LogFile))
	if err != nil || strings.TrimSpace(string(log)) != envChild+"="+childEnviron {
		t.Errorf("the job sees %q, %v", log, err)
	}
}
