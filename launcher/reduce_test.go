package launcher_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/runfolder"
)

var (
	runStates  = []launcher.State{launcher.Pending, launcher.Running, launcher.AttemptFailed, launcher.Cancelled, launcher.Timeout, launcher.Failed, launcher.Completed}
	stepStates = []launcher.State{launcher.Running, launcher.Failed, launcher.Skipped, launcher.Completed}
	epochStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// drawEvent is any event of a run of three steps, in any attempt and epoch.
func drawEvent(t *rapid.T) launcher.Event {
	e := launcher.Event{
		RunID: "run", Org: "acme", Attempt: rapid.IntRange(1, 3).Draw(t, "attempt"), Epoch: rapid.IntRange(1, 3).Draw(t, "epoch"),
		Seq: rapid.Int64Range(0, 2).Draw(t, "seq"), Time: epochStart.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "time")) * time.Second),
		Kind: rapid.SampledFrom([]string{"run", "step", "progress", "generation", "wait", "cancel", "settled", "claim"}).Draw(t, "kind"),
	}
	switch e.Kind {
	case "run":
		e.State = rapid.SampledFrom(runStates).Draw(t, "state")
		e.Payload = payload(map[string]any{
			"pipeline_id": "p", "code": fmt.Sprint("code of ", e.State), "steps": []launcher.Step{{ID: "a"}, {ID: "b"}, {ID: "c"}},
		})
	case "step":
		e.Step, e.State = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "step"), rapid.SampledFrom(stepStates).Draw(t, "state")
		e.Payload = payload(runfolder.StepResult{Step: e.Step, Published: rapid.Int64Range(0, 3).Draw(t, "published")})
	case "progress":
		e.Step, e.State, e.Payload = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "step"), launcher.Running, payload(runfolder.StepCounts{Rows: e.Seq})
	case "wait":
		e.State, e.Payload = launcher.Pending, payload(map[string]string{"waiting_for": fmt.Sprint("run-", e.Seq)})
	case "cancel":
		e.Payload = payload(map[string]bool{"discard": e.Seq > 0})
	default:
		e.Step, e.State, e.Payload = "unit", launcher.Pending, payload(struct{}{})
	}
	e.ID = fmt.Sprint(e.Attempt, e.Epoch, e.Step, e.Kind, e.State, e.Seq)
	return e
}

func payload(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func reduce(t rapid.TB, events []launcher.Event) launcher.Run {
	t.Helper()
	run, found, err := launcher.Reduce(events)
	if err != nil || !found {
		t.Fatalf("reduce: found %t, %v", found, err)
	}
	return run
}

func TestStateDependsNeitherOnOrderNorOnRepetitionOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 20).Draw(t, "events")
		want := reduce(t, events)
		again := slices.Concat(events, rapid.SliceOf(rapid.SampledFrom(events)).Draw(t, "repeated"))
		again = rapid.Permutation(again).Draw(t, "order")
		if diff := cmp.Diff(want, reduce(t, again)); diff != "" {
			t.Fatalf("another order gives another run:\n%s", diff)
		}
	})
}

func TestEndOfAnEpochIsFinalUntilTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 20).Draw(t, "events")
		before := reduce(t, events)
		late := drawEvent(t)
		after := reduce(t, append(slices.Clone(events), late))
		newer := late.Kind == "run" && (late.Attempt > before.Attempt || late.Attempt == before.Attempt && late.Epoch > before.Epoch)
		switch {
		case newer && after.State != shown(late.State):
			t.Fatalf("%s of attempt %d, epoch %d came after attempt %d, epoch %d, and the run is %s", late.State, late.Attempt, late.Epoch, before.Attempt, before.Epoch, after.State)
		case !newer && before.State.Terminal() && !after.State.Terminal():
			t.Fatalf("a run that was %s became %s", before.State, after.State)
		}
	})
}

// shown is how an event's state lets its run appear: one whose attempt failed is PENDING.
func shown(s launcher.State) launcher.State {
	if s == launcher.AttemptFailed {
		return launcher.Pending
	}
	return s
}

func TestStateIsTheHighestOfTheLatestAttemptAndEpoch(t *testing.T) {
	rank := func(s launcher.State) int { return slices.Index(runStates, s) }
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 20).Draw(t, "events")
		want, attempt, epoch := launcher.Pending, 0, 0
		for _, e := range events {
			if e.Kind != "run" {
				continue
			}
			if e.Attempt > attempt || e.Attempt == attempt && (e.Epoch > epoch || e.Epoch == epoch && rank(e.State) > rank(want)) {
				want, attempt, epoch = e.State, e.Attempt, e.Epoch
			}
		}
		if got := reduce(t, events); got.State != shown(want) {
			t.Fatalf("the run is %s, want %s", got.State, want)
		}
	})
}

func TestEndedRunHasNoStepThatGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := reduce(t, rapid.SliceOfN(rapid.Custom(drawEvent), 1, 20).Draw(t, "events"))
		for _, s := range run.Steps {
			if run.State.Terminal() && run.State != launcher.Completed && !s.State.Terminal() {
				t.Fatalf("the run is %s, its step %s is %s", run.State, s.Step, s.State)
			}
		}
		if !run.State.Terminal() && (!run.End.IsZero() || run.Code != "" && run.State != launcher.Pending) {
			t.Fatalf("a run that is %s has the end %s and the code %q", run.State, run.End, run.Code)
		}
	})
}

func TestNoEventsAreNoRun(t *testing.T) {
	if _, found, err := launcher.Reduce(nil); found || err != nil {
		t.Errorf("found %t, %v", found, err)
	}
}

func TestUnreadablePayloadIsAnErrorThatNamesTheEvent(t *testing.T) {
	_, _, err := launcher.Reduce([]launcher.Event{{ID: "e1", RunID: "r1", Kind: "run", State: launcher.Pending, Payload: []byte("{")}})
	if err == nil || err.Error()[:len("event e1 of run r1")] != "event e1 of run r1" {
		t.Errorf("error is %v", err)
	}
}

func TestRunIsWrittenWithTheNamesOfItsFields(t *testing.T) {
	b, err := json.Marshal(launcher.Run{ID: "r", RunDate: civil.Date{Year: 2026, Month: 11, Day: 22}, Steps: []launcher.StepRun{{
		State: launcher.Running, StepResult: runfolder.StepResult{Step: "a", State: "COMPLETED", Counts: runfolder.StepCounts{Pages: 7, Adopted: 3, Refetched: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"run_id":"r"`, `"run_date":"2026-11-22"`, `"state":"RUNNING"`, `"pages":7`, `"adopted":3`, `"refetched":1`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is missing in %s", want, b)
		}
	}
	if name := regexp.MustCompile(`"[^"]*[A-Z][^"]*":`).FindString(string(b)); name != "" || strings.Contains(string(b), "COMPLETED") {
		t.Errorf("field %s in %s", name, b)
	}
}
