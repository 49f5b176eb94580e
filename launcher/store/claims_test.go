package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/anishathalye/porcupine"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
)

func (b *bench) keeper(n int) *claim.Keeper {
	id := procid.ID{Machine: fmt.Sprintf("%08x", n), Boot: "b", Namespace: "c", PID: n, Start: "1", Random: "x"}
	return claim.New(claim.Config{Register: b.Store, Log: b.Store, Owner: id})
}

func TestClaimsAreKeptInTheLogOfEvents(t *testing.T) {
	b := newBench(t)
	first, second := b.keeper(1), b.keeper(2)
	names := []string{"slice/acme/p/-/2026-11-22", "slice/acme/p/-/2026-11-21"}
	claims, err := first.AcquireAll(t.Context(), "acme", "run-1", names...)
	if err != nil || len(claims) != 2 || claims[0].Name != names[1] || claims[0].Epoch != 1 {
		t.Fatalf("claims %+v, %v", claims, err)
	}
	states, err := second.Look(t.Context(), "acme", append(names, "slice/acme/p/-/2026-11-23")...)
	if err != nil || states[0].Holder != "run-1" || states[0].Owner != first.Owner() || states[0].Open() || !states[2].Open() {
		t.Errorf("another sees %+v, %v", states, err)
	}
	if states, err := second.Look(t.Context(), "globex", names...); err != nil || !states[0].Open() {
		t.Errorf("another organisation sees %+v, %v", states, err)
	}
	if _, err := second.Acquire(t.Context(), "acme", names[0], "run-2"); err == nil {
		t.Error("two hold one slice")
	}
	if err := first.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if beats, err := b.Beats(t.Context(), []string{first.Owner(), "nobody"}); err != nil || len(beats) != 1 || beats[first.Owner()] != 2 {
		t.Errorf("heartbeats are %v, %v", beats, err)
	}
	if err := first.Release(t.Context(), claims...); err != nil {
		t.Fatal(err)
	}
	if c, err := second.Acquire(t.Context(), "acme", names[0], "run-2"); err != nil || c.Epoch != 2 {
		t.Errorf("after the release: %+v, %v", c, err)
	}
	signals, err := b.Signals(t.Context(), b.clock().Add(-time.Minute))
	if err != nil || len(signals) != 3 {
		t.Errorf("%d signals, %v", len(signals), err)
	}
	if runs, err := b.Active(t.Context(), "", b.clock()); err != nil || len(runs) != 0 {
		t.Errorf("claims are taken for runs: %+v, %v", runs, err)
	}
}

func TestHistoriesOfTheRegisterAreLinearizable(t *testing.T) {
	b := newBench(t)
	type ask struct{ name, owner string }
	model := porcupine.Model{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			byName := map[string][]porcupine.Operation{}
			for _, op := range all {
				byName[op.Input.(ask).name] = append(byName[op.Input.(ask).name], op)
			}
			var out [][]porcupine.Operation
			for _, ops := range byName {
				out = append(out, ops)
			}
			return out
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			holder := state.(string)
			if holder == "" {
				holder = input.(ask).owner
			}
			return output.(string) == holder, holder
		},
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	began := time.Now()
	for client := range 8 {
		wg.Go(func() {
			for n := range 12 {
				in := ask{fmt.Sprint("run/r/", (n+client)%5), fmt.Sprint("owner-", client)}
				op := porcupine.Operation{ClientId: client, Input: in, Call: time.Since(began).Nanoseconds()}
				c, err := b.Acquire(t.Context(), in.name, in.owner, "v")
				if err != nil {
					t.Error(err)
					return
				}
				op.Output, op.Return = c.Owner, time.Since(began).Nanoseconds()
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !porcupine.CheckOperations(model, history) {
		t.Errorf("%d answers of the register cannot be put in order", len(history))
	}
}

// submit sends a query job under an id with labels and waits for its end.
func (b *bench) submit(id, sql string, labels map[string]string) {
	b.t.Helper()
	q := b.client.Query(sql)
	q.JobIDConfig = bigquery.JobIDConfig{JobID: id, Location: "US"}
	q.Labels = labels
	job, err := q.Run(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if status, err := job.Wait(b.t.Context()); status == nil && err != nil && !strings.Contains(err.Error(), "failed") {
		b.t.Fatal(err)
	}
}

func TestStandingIsToldFromPublishIdsAlone(t *testing.T) {
	b := newBench(t)
	const good, bad = "SELECT 1", "SELECT ERROR('failed')"
	fence := map[string]string{"fence": "1"}
	for g, jobs := range [][]string{{}, {good}, {bad}, {bad, good}, {bad, bad, bad}, {"fence"}, {bad, "fence", good}} {
		for ordinal, job := range jobs {
			if job == "fence" {
				b.submit(fmt.Sprintf("pub_u_%d_%d", g, ordinal), good, fence)
				continue
			}
			b.submit(fmt.Sprintf("pub_u_%d_%d", g, ordinal), job, map[string]string{"run": "run-1"})
		}
	}
	for g, want := range []launcher.StandingState{
		launcher.Unsettled, launcher.Published, launcher.Unsettled, launcher.Published, launcher.Exhausted, launcher.Fenced, launcher.Fenced,
	} {
		s, err := b.Standing(t.Context(), "u", g)
		if err != nil || s.State != want || (s.Run == "run-1") != (want == launcher.Published) {
			t.Errorf("generation %d: %+v, %v; want %d", g, s, err, want)
		}
	}
}

func TestFenceClosesWhatWasNotPublished(t *testing.T) {
	b := newBench(t)
	b.submit("pub_u_2_0", "SELECT ERROR('failed')", nil)
	b.submit("pub_u_3_0", "SELECT 1", map[string]string{"run": "run-1"})
	for g, want := range map[int]launcher.StandingState{1: launcher.Fenced, 2: launcher.Fenced, 3: launcher.Published} {
		for range 2 { // by two who meet
			if s, err := b.Fence(t.Context(), "u", g); err != nil || s.State != want {
				t.Errorf("generation %d: %+v, %v; want %d", g, s, err, want)
			}
		}
		if s, err := b.Standing(t.Context(), "u", g); err != nil || s.State != want {
			t.Errorf("afterwards generation %d: %+v, %v; want %d", g, s, err, want)
		}
	}
}

func TestActiveRunsAreThoseThatHaveNotEndedOrAreNotSettled(t *testing.T) {
	b := newBench(t)
	end := func(org, run string, attempt, epoch int, state launcher.State) {
		e := b.event(org, run, state)
		e.Attempt, e.Epoch, e.ID = attempt, epoch, fmt.Sprint(run, attempt, epoch, state)
		b.append(e)
	}
	for _, run := range []string{"pending", "running", "ended", "settled", "retried", "taken", "old"} {
		end("acme", run, 1, 1, launcher.Pending)
	}
	end("globex", "theirs", 1, 1, launcher.Pending)
	end("acme", "running", 1, 1, launcher.Running)
	end("acme", "ended", 1, 1, launcher.Failed)
	end("acme", "settled", 1, 1, launcher.Completed)
	b.append(launcher.Event{ID: "s", RunID: "settled", Org: "acme", Attempt: 1, Epoch: 1, Kind: "settled", State: launcher.Completed, Payload: []byte("{}"), Time: b.clock()})
	end("acme", "retried", 1, 1, launcher.AttemptFailed)
	end("acme", "taken", 1, 1, launcher.Failed) // the late word of an owner that was taken over
	end("acme", "taken", 1, 2, launcher.Running)
	end("acme", "old", 1, 1, launcher.Cancelled)
	b.advance(time.Hour)
	end("acme", "late", 1, 1, launcher.Pending)
	for _, c := range []struct {
		org   string
		since time.Time
		want  string
	}{
		{"acme", b.clock(), "late pending retried running taken"},
		{"acme", b.clock().Add(-2 * time.Hour), "ended late old pending retried running taken"},
		{"globex", b.clock(), "theirs"},
		{"", b.clock(), "late pending retried running taken theirs"},
	} {
		runs, err := b.Active(t.Context(), c.org, c.since)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("active of %q since %s: %q, want %q", c.org, c.since, got, c.want)
		}
	}
}

func TestOnlyTheLatestProgressOfAStepIsRead(t *testing.T) {
	b := newBench(t)
	b.append(b.event("acme", "r1", launcher.Pending), b.event("acme", "r1", launcher.Running))
	step := launcher.Event{ID: "step", RunID: "r1", Org: "acme", Attempt: 1, Epoch: 1, Kind: "step", Step: "a", State: launcher.Running, Payload: []byte("{}"), Time: b.clock()}
	b.append(step)
	for n := range int64(5) {
		e := step
		e.ID, e.Kind, e.Seq, e.Payload = fmt.Sprint("p", n), "progress", n, fmt.Appendf(nil, `{"rows":%d}`, n)
		b.append(e)
	}
	events, err := b.Events(t.Context(), "acme", "r1")
	if err != nil || len(events) != 4 {
		t.Fatalf("%d events, %v; want 4", len(events), err)
	}
	run, _, err := launcher.Reduce(events)
	if err != nil || run.Steps[0].Counts.Rows != 4 {
		t.Errorf("the step shows %+v, %v", run.Steps, err)
	}
}

func TestAThousandRunsAreProjectedInTwoTransactions(t *testing.T) {
	b := newBench(t)
	runs := make([]launcher.Run, 1000)
	for i := range runs {
		runs[i] = b.run(fmt.Sprintf("r%04d", i), launcher.Running)
	}
	b.sent("")
	for chunk := range 2 {
		b.project(runs[chunk*500 : chunk*500+500]...)
	}
	if n := b.sent("POST"); n > 6 {
		t.Errorf("projecting 1000 runs took %d requests", n)
	}
	want(t, b.lines("SELECT COUNT(*), COUNT(DISTINCT pipeline_logging_id) FROM `"+central+".org_meta_pipeline_runs`"), "1000 1000")
}
