package launcher_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// oncePlanner plans documents that say run_once and force_param: again.
type oncePlanner struct{ planner }

func (p oncePlanner) Plan(ctx context.Context, r launcher.Request, id string, now time.Time) (*launcher.Plan, error) {
	plan, err := p.planner.Plan(ctx, r, id, now)
	if err == nil {
		plan.RunOnce, plan.ForceParam = true, "again"
	}
	return plan, err
}

func TestASliceThatRunsOnceIsAnsweredWithItsRunUnlessForced(t *testing.T) {
	b := newBench(t, childCompletes, func(c *launcher.Config) { c.Planner = oncePlanner{planner{timeout: patience}} })
	first := b.end(b.launch(request("usage_cost")).ID)
	if first.State != launcher.Completed {
		t.Fatalf("the first run is %s: %s", first.State, first.Error)
	}
	again, existing, err := b.Launch(t.Context(), request("usage_cost"))
	if err != nil || !existing || again.ID != first.ID {
		t.Errorf("the slice again: run %s, existing %t, %v; want %s", again.ID, existing, err, first.ID)
	}
	unforced := request("usage_cost")
	unforced.Params = map[string]string{"again": "false"}
	if again, existing, err = b.Launch(t.Context(), unforced); err != nil || !existing || again.ID != first.ID {
		t.Errorf("not forced: run %s, existing %t, %v; want %s", again.ID, existing, err, first.ID)
	}
	forced := request("usage_cost")
	forced.Params = map[string]string{"again": "true"}
	elsewhere := request("usage_cost")
	elsewhere.Params = map[string]string{"region": "eu"}
	for _, r := range []launcher.Request{forced, elsewhere} {
		if run := b.launch(r); run.ID == first.ID {
			t.Errorf("a run with %v was answered with the first", r.Params)
		} else {
			b.end(run.ID)
		}
	}
}

func TestARunThatDidNotCompleteDoesNotKeepItsSliceFromRunning(t *testing.T) {
	b := newBench(t, childWaits, func(c *launcher.Config) { c.Planner = oncePlanner{planner{timeout: patience}} })
	first := b.launch(request("usage_cost"))
	b.started()
	if _, err := b.Cancel(t.Context(), "acme", first.ID, false); err != nil {
		t.Fatal(err)
	}
	if r := b.end(first.ID); r.State == launcher.Completed {
		t.Fatalf("the first run is %s", r.State)
	}
	if next := b.launch(request("usage_cost")); next.ID == first.ID {
		t.Error("a cancelled run answers for its slice")
	}
}
