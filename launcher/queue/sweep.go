package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cloudact/convergence/launcher"
)

const (
	// orphanAge is how long a run may hold something before it is recorded. A process that
	// was paused for longer finds what it reserved given back, and reserves again.
	orphanAge = 10 * time.Minute
	// A tally is kept once its log has grown by so many entries, or so long ago: a register
	// of jobs forgets them after about half a year.
	keepEvery = 50
	keepAfter = 24 * time.Hour
)

// SweepAll gives back what runs hold that have ended, or that were never recorded because
// the process that admitted them died, and keeps the tallies that have grown. It returns
// how many runs of which organisation gave something back.
func (a *Admission) SweepAll(ctx context.Context) (map[string]int, error) {
	orgs, err := a.cfg.Accounts.Orgs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the active organisations: %w", err)
	}
	a.mu.Lock()
	known := slices.Collect(maps.Keys(a.ledgers)) // of organisations that are not ACTIVE any more, too
	a.mu.Unlock()
	scopes := append(orgs, known...)
	if a.cfg.Limit > 0 {
		scopes = append(scopes, everyone)
	}
	slices.Sort(scopes)
	given := map[string]int{}
	var errs []error
	for _, scope := range slices.Compact(scopes) {
		org := scope
		if scope == everyone {
			org = ""
		}
		n, err := a.sweep(ctx, scope, org)
		if err != nil {
			errs = append(errs, err)
		}
		if n > 0 && org != "" {
			given[org] = n
		}
	}
	return given, errors.Join(append(errs, a.keep(ctx))...)
}

func (a *Admission) sweep(ctx context.Context, scope, org string) (int, error) {
	l, err := a.ledger(ctx, scope)
	if err != nil {
		return 0, err
	}
	t, err := l.newest(ctx)
	if err != nil || len(t.Holds) == 0 {
		return 0, err
	}
	runs, err := a.cfg.Runs.Runs(ctx, org, slices.Sorted(maps.Keys(t.Holds)))
	if err != nil {
		return 0, fmt.Errorf("read the runs that hold something of %s: %w", scope, err)
	}
	given := 0
	for _, id := range slices.Sorted(maps.Keys(t.Holds)) {
		run, recorded := runs[id]
		what := returned
		switch {
		case recorded && !run.State.Terminal():
			a.seen(scope, id)
			continue
		case recorded && scope != everyone:
			a.seen(scope, id)
			what = outcome(run)
		case !recorded && !a.orphaned(scope, id):
			continue
		}
		if _, err := a.leave(ctx, scope, id, what, anyHold); err != nil {
			return given, err
		}
		a.seen(scope, id)
		given++
	}
	return given, nil
}

// outcome is what the end of a run enters.
func outcome(run launcher.Run) kind {
	switch {
	case run.State == launcher.Completed:
		return succeeded
	case run.Began.IsZero(): // no job of it was ever started, or it could not even be recorded
		return returned
	case run.State == launcher.Failed, run.State == launcher.Timeout:
		return failed
	default:
		return cancelled
	}
}

// orphaned reports whether a run that was never recorded has held something for long, by
// this process's own clock.
func (a *Admission) orphaned(scope, id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	since, known := a.unknown[scope+"/"+id]
	if !known {
		a.unknown[scope+"/"+id] = time.Now()
	}
	return known && time.Since(since) >= orphanAge
}

func (a *Admission) seen(scope, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.unknown, scope+"/"+id)
}

// keep lets Memory keep the tallies that have grown.
func (a *Admission) keep(ctx context.Context) error {
	if a.cfg.Memory == nil {
		return nil
	}
	a.mu.Lock()
	ledgers := maps.Clone(a.ledgers)
	a.mu.Unlock()
	grown := map[string]Tally{}
	for scope, l := range ledgers {
		if err := l.turn.take(ctx); err != nil {
			return err
		}
		if grew := l.tally.Seq - l.kept; grew >= keepEvery || grew > 0 && time.Since(l.since) >= keepAfter {
			grown[scope] = l.tally.clone()
		}
		l.turn.pass()
	}
	if len(grown) == 0 {
		return nil
	}
	if err := a.cfg.Memory.Keep(ctx, grown); err != nil {
		return fmt.Errorf("keep %d tallies: %w", len(grown), err)
	}
	for scope, t := range grown {
		l := ledgers[scope]
		if err := l.turn.take(ctx); err != nil {
			return err
		}
		l.kept, l.since = t.Seq, time.Now()
		l.turn.pass()
	}
	return nil
}
