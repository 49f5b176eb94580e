package launcher_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
)

func TestSubmittedRunIsRecordedAndNotStarted(t *testing.T) {
	b := newBench(t, childCompletes)
	run := b.submit(request("usage_cost"))
	if r := b.get(run.ID); r.State != launcher.Pending || len(r.Steps) != 2 || r.Request.Template != "usage_cost" {
		t.Errorf("recorded is %+v", r)
	}
	if _, err := b.spec(run.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a spec was written: %v", err)
	}
	if again, existing, err := b.Submit(t.Context(), request("usage_cost")); err != nil || !existing || again.ID != run.ID {
		t.Errorf("the same again is %s, %t, %v", again.ID, existing, err)
	}
	if err := b.Start(t.Context(), "acme", run.ID); err != nil {
		t.Fatal(err)
	}
	if r := b.get(run.ID); r.State != launcher.Completed || r.Began.IsZero() {
		t.Errorf("it ended as %+v", r)
	}
	if err := b.Start(t.Context(), "acme", run.ID); err != nil {
		t.Errorf("a run that has ended: %v", err)
	}
	if err := b.Start(t.Context(), "globex", run.ID); !isCode(err, launcher.CodeRunNotFound) {
		t.Errorf("of another org: %v", err)
	}
}

func TestNamedRunIsOneRun(t *testing.T) {
	b := newBench(t, childCompletes)
	r := request("usage_cost")
	r.RunID = "slot-1"
	first := b.submit(r)
	if err := b.Start(t.Context(), "acme", first.ID); err != nil {
		t.Fatal(err)
	}
	again, existing, err := b.another(childCompletes).Submit(t.Context(), r)
	if err != nil || !existing || again.ID != "slot-1" || again.State != launcher.Completed {
		t.Errorf("the slot again is %+v, %t, %v", again, existing, err)
	}
}

func TestRunOfAnotherProcessIsAnsweredAndStartedOnce(t *testing.T) {
	b := newBench(t, childWaits)
	other := b.another(childWaits)
	run := b.launch(request("usage_cost"))
	b.started()
	same, existing, err := other.Submit(t.Context(), request("usage_cost"))
	if err != nil || !existing || same.ID != run.ID {
		t.Errorf("equal in another process: %s, %t, %v", same.ID, existing, err)
	}
	if _, ok := is[*launcher.Elsewhere](other.Start(t.Context(), "acme", run.ID)); !ok {
		t.Error("a run that another process follows was started")
	}
	b.Stop(run.ID)
	if r := other.end(run.ID); r.State != launcher.Cancelled {
		t.Errorf("the other process sees %s", r.State)
	}
}

func TestRunWaitsForTheHolderOfItsSlicesAndRunsAfterIt(t *testing.T) {
	b := newBench(t, childWaits)
	other := b.another(childCompletes)
	holder := b.launch(request("usage_cost"))
	b.started()
	waiter := other.submit(with("region", "eu"))
	for range 3 {
		w, ok := is[*launcher.Waiting](other.Start(t.Context(), "acme", waiter.ID))
		if !ok || w.For != holder.ID {
			t.Fatalf("start answers %+v, %t", w, ok)
		}
	}
	if r := b.get(waiter.ID); r.State != launcher.Pending || r.WaitingFor != holder.ID {
		t.Errorf("the waiting run is %s, waits for %q", r.State, r.WaitingFor)
	}
	b.Stop(holder.ID)
	b.end(holder.ID)
	if err := other.Start(t.Context(), "acme", waiter.ID); err != nil {
		t.Fatal(err)
	}
	r := b.get(waiter.ID)
	if r.State != launcher.Completed || r.WaitingFor != "" || r.LandedBy != "" {
		t.Errorf("after the holder was cancelled the run is %+v", r)
	}
	if spec, err := other.spec(waiter.ID); err != nil || spec.Generations["u1"] != 1 {
		t.Errorf("it works on %v, %v; want the open generation of the holder", spec.Generations, err)
	}
}

// TestRunsOfOtherScopesDoNotWait lets a run work whose parameters are of other units: one
// of the same scope waits for it, one of another does not.
func TestRunsOfOtherScopesDoNotWait(t *testing.T) {
	scoped := func(c *launcher.Config) { c.Planner = planner{timeout: patience, scoped: true} }
	b := newBench(t, childWaits, scoped)
	other := b.another(childCompletes, scoped)
	holder := b.launch(with("region", "eu"))
	b.started()
	same := with("region", "eu")
	same.Params["note"] = "another"
	waiter := other.submit(same)
	if w, ok := is[*launcher.Waiting](other.Start(t.Context(), "acme", waiter.ID)); !ok || w.For != holder.ID {
		t.Errorf("a run of the same scope is answered %+v, %t", w, ok)
	}
	free := other.submit(with("region", "us"))
	if err := other.Start(t.Context(), "acme", free.ID); err != nil {
		t.Errorf("a run of another scope: %v", err)
	}
	if r := b.get(free.ID); r.State != launcher.Completed {
		t.Errorf("a run of another scope is %s, waits for %q", r.State, r.WaitingFor)
	}
	b.Stop(holder.ID)
	b.end(holder.ID)
}

func TestWaiterTakesTheOutcomeOfItsOwnConfigurationOnly(t *testing.T) {
	for hash, landed := range map[string]bool{"h1": true, "h9": false} {
		t.Run(hash, func(t *testing.T) {
			b := newBench(t, childLate)
			other := b.another(childCompletes, func(c *launcher.Config) { c.Planner = planner{timeout: patience, hash: hash} })
			holder := b.launch(request("usage_cost"))
			b.started()
			waiter := other.launch(with("region", "eu"))
			other.until(waiter.ID, func(r launcher.Run) bool { return r.WaitingFor == holder.ID })
			b.store.publish("u1", 1)
			b.store.publish("u2", 1)
			b.Stop(holder.ID) // it completes all the same
			if r := b.end(holder.ID); r.State != launcher.Completed {
				t.Fatalf("the holder is %s", r.State)
			}
			r := other.end(waiter.ID)
			if _, err := other.spec(waiter.ID); r.State != launcher.Completed || (r.LandedBy == holder.ID) != landed || errors.Is(err, fs.ErrNotExist) != landed {
				t.Errorf("landed by %q, state %s, spec %v; want landed %t", r.LandedBy, r.State, err, landed)
			}
		})
	}
}

func TestFailedAttemptIsMadeAgainWithItsGenerations(t *testing.T) {
	two := 2
	rec := &recorder{}
	b := newBench(t, childFails, rec.use, func(c *launcher.Config) {
		c.Planner, c.RetryBackoff = planner{timeout: patience, retries: &two}, 30*time.Millisecond
	})
	run := b.submit(request("usage_cost"))
	later, ok := is[*launcher.Later](b.Start(t.Context(), "acme", run.ID))
	if !ok || later.At.IsZero() {
		t.Fatalf("the first attempt answers %+v, %t", later, ok)
	}
	if r := b.get(run.ID); r.State != launcher.Pending || r.Code != "STEP_FAILED" || !r.RetryAt.Equal(later.At.Truncate(0)) {
		t.Errorf("between attempts the run is %+v", r)
	}
	if _, released, ended, _ := rec.counts(); released != 0 || ended != 0 {
		t.Errorf("between attempts %d were given back and %d told", released, ended)
	}
	for ok {
		time.Sleep(time.Until(later.At))
		later, ok = is[*launcher.Later](b.Start(t.Context(), "acme", run.ID))
	}
	r := b.end(run.ID)
	b.settled(run.ID)
	if admitted, released, ended, dropped := rec.counts(); r.State != launcher.Failed || r.Attempt != 3 || admitted != 1 || released != 1 || ended != 1 || dropped != 0 {
		t.Errorf("the run ended as %s after %d attempts; %d admitted, %d given back, %d told, %d dropped", r.State, r.Attempt, admitted, released, ended, dropped)
	}
	if spec, err := b.spec(run.ID); err != nil || spec.Attempt != 3 || spec.Generations["u1"] != 1 {
		t.Errorf("the last attempt was %d on %v, %v", spec.Attempt, spec.Generations, err)
	}
}

func TestWhatAnotherAttemptWouldRepeatIsNotRetried(t *testing.T) {
	two := 2
	b := newBench(t, childRefused, func(c *launcher.Config) { c.Planner = planner{timeout: patience, retries: &two} })
	if r := b.end(b.launch(request("usage_cost")).ID); r.State != launcher.Failed || r.Attempt != 1 {
		t.Errorf("the run ended as %s after %d attempts", r.State, r.Attempt)
	}
}

func TestMissingStageIsLeftOnceWithinTheRun(t *testing.T) {
	b := newBench(t, childNoStage)
	run := b.launch(request("usage_cost"))
	r := b.end(run.ID)
	if spec, err := b.spec(run.ID); r.State != launcher.Completed || r.Attempt != 1 || err != nil || spec.Generations["u1"] != 2 || spec.Generations["u2"] != 1 {
		t.Errorf("the run is %s in attempt %d on %v, %v", r.State, r.Attempt, spec.Generations, err)
	}
	if s, _ := b.store.Fence(t.Context(), "u1", 1); s.State != launcher.Fenced {
		t.Errorf("the generation that was left is %+v", s)
	}
}

func TestCompletedRunDropsItsStagesAndIsToldOnce(t *testing.T) {
	rec := &recorder{}
	b := newBench(t, childCompletes, rec.use)
	run := b.launch(request("usage_cost"))
	b.end(run.ID)
	b.settled(run.ID)
	for range 3 {
		if err := b.another(childCompletes, rec.use, service).Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	admitted, released, ended, dropped := rec.counts()
	if admitted != 1 || released != 1 || ended != 1 || dropped != 1 || rec.dropped[0]["u1"] != 1 {
		t.Errorf("%d admitted, %d given back, %d told, %d dropped", admitted, released, ended, dropped)
	}
}

func TestRefusedAdmissionRecordsNothing(t *testing.T) {
	rec := &recorder{refuse: &launcher.Error{Code: launcher.CodeDailyQuota, Message: "no more today"}}
	b := newBench(t, childCompletes, rec.use)
	if _, _, err := b.Submit(t.Context(), request("usage_cost")); !isCode(err, launcher.CodeDailyQuota) {
		t.Errorf("error is %v", err)
	}
	if len(b.store.events) != 0 {
		t.Errorf("%d events were recorded", len(b.store.events))
	}
	rec.refuse = nil
	b.store.failFirst(1000, true, "append")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := b.Submit(ctx, request("usage_cost")); !isCode(err, launcher.CodeUnavailable) {
		t.Errorf("error is %v", err)
	}
	if admitted, released, _, _ := rec.counts(); admitted != 1 || released != 1 {
		t.Errorf("%d admitted, %d given back", admitted, released)
	}
}

func TestRetryIsANewRunThatResumes(t *testing.T) {
	b := newBench(t, childSilent)
	run := b.launch(request("usage_cost"))
	b.end(run.ID)
	again, existing, err := b.Retry(t.Context(), "acme", run.ID, "somebody")
	if err != nil || existing || again.RetryOf != run.ID || again.TriggerBy != "somebody" || again.ID == run.ID {
		t.Fatalf("retry is %+v, %t, %v", again, existing, err)
	}
	if _, _, err := b.Retry(t.Context(), "acme", again.ID, ""); !isCode(err, launcher.CodeRunNotEnded) {
		t.Errorf("retry of a run that has not ended: %v", err)
	}
	b.store.age(48 * time.Hour) // the generation is its own, however old
	if err := b.Start(t.Context(), "acme", again.ID); err != nil {
		t.Fatal(err)
	}
	if spec, err := b.spec(again.ID); err != nil || spec.Generations["u1"] != 1 {
		t.Errorf("the retry works on %v, %v", spec.Generations, err)
	}
}

func TestEventsAreFollowedAcrossProcesses(t *testing.T) {
	b := newBench(t, childWaits)
	run := b.launch(request("usage_cost"))
	b.started()
	other := b.another(childWaits)
	var kinds, ids []string
	for e, err := range other.Follow(t.Context(), "acme", run.ID, "") {
		if err != nil {
			t.Fatal(err)
		}
		kinds, ids = append(kinds, e.Kind+" "+string(e.State)), append(ids, e.ID)
		if e.Kind == "step" && e.State == launcher.Running {
			b.Stop(run.ID)
		}
	}
	if kinds[0] != "run PENDING" || kinds[len(kinds)-1] != "run CANCELLED" || !slices.Contains(kinds, "run RUNNING") {
		t.Errorf("followed were %q", kinds)
	}
	var rest []string
	for e, err := range other.Follow(t.Context(), "acme", run.ID, ids[1]) {
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, e.ID)
	}
	if !slices.Equal(rest, ids[2:]) {
		t.Errorf("behind the second event are %d of %d", len(rest), len(ids))
	}
	for _, err := range other.Follow(t.Context(), "globex", run.ID, "") {
		if !isCode(err, launcher.CodeRunNotFound) {
			t.Errorf("another org follows: %v", err)
		}
	}
}

func TestLogIsOfThisHostAndThisOrg(t *testing.T) {
	b := newBench(t, childEnviron)
	run := b.launch(request("usage_cost"))
	b.end(run.ID)
	log, err := b.Log(t.Context(), "acme", run.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(log)
	if err != nil || log.Close() != nil || !strings.Contains(string(text), envChild) {
		t.Errorf("the log is %q, %v", text, err)
	}
	if _, err := b.Log(t.Context(), "globex", run.ID); !isCode(err, launcher.CodeRunNotFound) {
		t.Errorf("another org: %v", err)
	}
	elsewhere := newBench(t, childWaits, func(c *launcher.Config) { c.Store, c.Register = b.store, b.store })
	if _, err := elsewhere.Log(t.Context(), "acme", run.ID); !isCode(err, launcher.CodeNoLog) {
		t.Errorf("on another host: %v", err)
	}
}
