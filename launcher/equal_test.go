package launcher_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// late is a store that does not show yet what others have recorded.
type late struct{ *memory }

func (late) Active(context.Context, string, time.Time) ([]launcher.Run, error) { return nil, nil }

func lately(m **memory) func(*launcher.Config) {
	return func(c *launcher.Config) {
		if *m == nil {
			*m = c.Store.(*memory)
		}
		c.Store = late{*m}
	}
}

func TestEqualRequestsToTwoProcessesStartOneRun(t *testing.T) {
	var m *memory
	b := newBench(t, childWaits, lately(&m))
	other := b.another(childWaits, lately(&m))
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			run, _, err := []*bench{b, other}[i%2].Submit(t.Context(), request("usage_cost"))
			if err != nil {
				t.Error(err)
			}
			ids[i] = run.ID
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if made := slices.Compact(ids); len(made) != 1 {
		t.Errorf("20 equal requests made the runs %v", made)
	}
	if runs := m.runs("acme"); len(runs) != 1 {
		t.Errorf("%d runs are recorded", len(runs))
	}
}

func TestEqualRunsFollowEachOther(t *testing.T) {
	var m *memory
	b := newBench(t, childCompletes, lately(&m))
	other := b.another(childCompletes, lately(&m))
	seen := map[string]bool{}
	for i := range 9 {
		who := []*bench{b, b, other}[i%3]
		run := who.launch(request("usage_cost"))
		if seen[run.ID] {
			t.Fatalf("request %d is answered with a run that has ended", i)
		}
		seen[run.ID] = true
		if r := who.end(run.ID); r.State != launcher.Completed {
			t.Fatalf("run %d ended %s", i, r.State)
		}
	}
}

// A run that could not be recorded stands in nobody's way.
func TestRunThatCouldNotBeRecordedIsNoEqual(t *testing.T) {
	b := newBench(t, childCompletes)
	b.store.failFirst(1000, true, "append")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := b.Launch(ctx, request("usage_cost")); !isCode(err, launcher.CodeUnavailable) {
		t.Fatalf("error is %v", err)
	}
	b.store.failFirst(0, true)
	if r := b.end(b.launch(request("usage_cost")).ID); r.State != launcher.Completed {
		t.Errorf("the run ended %s: %s", r.State, r.Error)
	}
}
