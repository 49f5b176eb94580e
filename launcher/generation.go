package launcher

import (
	"context"
	"fmt"
	"time"
)

const maxProbe = 10_000

// openGenerations opens one generation for every unit that the run states: the newest
// open one if it can be resumed, else the next.
func (f *follower) openGenerations(ctx context.Context) (map[string]int, error) {
	ids := make([]string, len(f.plan.Units))
	for i, u := range f.plan.Units {
		ids[i] = u.ID
	}
	known, err := f.l.cfg.Store.Generations(ctx, f.base.Org, ids)
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	opened := make(map[string]int, len(ids))
	events := make([]Event, 0, len(ids))
	for _, u := range f.plan.Units {
		g, err := f.open(ctx, u, max(known[u.ID], 1))
		if err != nil {
			return nil, fmt.Errorf("open a generation of step %s: %w", u.Step, err)
		}
		opened[u.ID] = g
		e, err := f.event(kindGeneration, u.ID, Pending, int64(g), struct{}{})
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	if err := f.recordSurely(ctx, pendingPatience, events...); err != nil {
		return nil, fmt.Errorf("record generations: %w", err)
	}
	return opened, nil
}

// open probes up from a generation that events name: the register knows better, because
// a launcher may have died between acquiring and recording. A unit whose rows land once
// keeps the generation that was published, whatever its config: the job finds that
// publish done and adds nothing.
func (f *follower) open(ctx context.Context, u Unit, from int) (int, error) {
	for g := from; g < from+maxProbe; g++ {
		claim, err := f.l.cfg.Register.Acquire(ctx, fmt.Sprintf("gen/%s/%d", u.ID, g), f.base.ID, u.Hash)
		if err != nil {
			return 0, err
		}
		if claim.Won {
			return g, nil
		}
		published, err := f.l.cfg.Register.Published(ctx, u.ID, g)
		if err != nil {
			return 0, err
		}
		if resumable := !published && claim.Value == u.Hash; resumable || published && u.Once {
			return g, nil
		}
	}
	return 0, fmt.Errorf("unit %s has more than %d generations", u.ID, maxProbe)
}

// Clock returns UTC wall time.
func Clock() time.Time { return time.Now().UTC() }
