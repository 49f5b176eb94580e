package launcher

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// crowded is a store whose tables take no projection until a moment.
type crowded struct {
	Store
	until time.Time
	tries int
	shown []Run
}

func (c *crowded) Project(_ context.Context, runs ...Run) error {
	c.tries++
	if time.Now().Before(c.until) {
		return errors.New("Too many DML statements outstanding against table org_meta_pipeline_runs, limit is 20")
	}
	c.shown = append(c.shown, runs...)
	return nil
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
		if store.tries > 15 {
			t.Errorf("a table that takes nothing was asked %d times in five minutes", store.tries)
		}
		p.add(Run{ID: "r", State: Completed})
		time.Sleep(projectGapMost + projectEvery)
		if len(store.shown) != 1 || store.shown[0].State != Completed {
			t.Errorf("shown is %+v", store.shown)
		}
		tries := store.tries
		p.add(Run{ID: "s", State: Completed})
		time.Sleep(projectGap + projectEvery)
		if len(store.shown) != 2 || store.tries != tries+1 {
			t.Errorf("afterwards %d runs were shown in %d tries", len(store.shown), store.tries-tries)
		}
		cancel()
		<-done
	})
}
