package launcher

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowded is a store whose tables take no projection until a moment.
type crowded struct {
	Store
	until time.Time

	mu    sync.Mutex
	tries int
	shown []Run
}

func (c *crowded) Project(_ context.Context, runs ...Run) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries++
	if time.Now().Before(c.until) {
		return errors.New("Too many DML statements outstanding against table org_meta_pipeline_runs, limit is 20")
	}
	c.shown = append(c.shown, runs...)
	return nil
}

// seen returns how often a projection was tried, and what is shown.
func (c *crowded) seen() (tries int, shown []Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tries, slices.Clone(c.shown)
}

// TestCrowdedTableIsLeftAloneForLonger is row 43 of the fault matrix: the projector makes
// its gap wider while the table takes nothing, and what changed is shown in the end.
func TestCrowdedTableIsLeftAloneForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &crowded{until: time.Now().Add(5 * time.Minute)}
		p := newProjector(Config{Store: store, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.loop(ctx) }()
		p.add(Run{ID: "r", State: Running})
		time.Sleep(5 * time.Minute)
		if tries, _ := store.seen(); tries > 15 {
			t.Errorf("a table that takes nothing was asked %d times in five minutes", tries)
		}
		p.add(Run{ID: "r", State: Completed})
		time.Sleep(projectGapMost + projectEvery)
		before, shown := store.seen()
		if len(shown) != 1 || shown[0].State != Completed {
			t.Errorf("shown is %+v", shown)
		}
		p.add(Run{ID: "s", State: Completed})
		time.Sleep(projectGap + projectEvery)
		if after, shown := store.seen(); len(shown) != 2 || after != before+1 {
			t.Errorf("afterwards %d runs were shown in %d tries", len(shown), after-before)
		}
		cancel()
		<-done
	})
}
