package launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudact/convergence/launcher/claim"
)

const (
	unsettledFor = 24 * time.Hour // how long after its end a run is still settled
	signalsLap   = 10 * time.Minute
)

// Recover goes through every run that has not ended. A run that nobody works on is gone
// on with: a job that lives is followed, a result that was left is recorded, and else its
// work is resumed from staging by a new job. A run of a `convergence run` whose process is
// gone ends FAILED with code LOST. Runs that ended but whose end has not been settled are
// settled. A service calls it at start; afterwards it is called with every heartbeat.
func (l *Launcher) Recover(ctx context.Context) error {
	l.beat()
	return l.sweep(ctx, "")
}

func (l *Launcher) sweep(ctx context.Context, org string) error {
	runs, err := l.cfg.Store.Active(ctx, org, l.cfg.Now().Add(-unsettledFor))
	if err != nil {
		return fmt.Errorf("read runs that have not ended: %w", err)
	}
	for _, run := range runs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !l.idle(run.ID) || l.isRecent(run.ID) {
			continue
		}
		if err := l.recoverRun(ctx, run); err != nil {
			l.cfg.Log.Warn("recover run", "run", run.ID, "org", run.Org, "error", err)
		}
	}
	return nil
}

// isRecent reports whether the run was submitted here a moment ago: whoever did starts it.
func (l *Launcher) isRecent(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.recent {
		if s.id == id && time.Since(s.at) < recentFor {
			return true
		}
	}
	return false
}

func (l *Launcher) recoverRun(ctx context.Context, run Run) error {
	if run.State.Terminal() {
		states, err := l.keeper.Look(ctx, run.Org, runName(run.ID, run.Attempt))
		if err == nil && !run.Settled && states[0].Open() { // else whoever ended it is at it
			l.settle(ctx, run)
		}
		return err
	}
	orphaned, err := l.orphaned(ctx, run)
	if err != nil || !orphaned {
		return err
	}
	switch {
	case run.Trigger == TriggerCLI:
		return l.endNow(ctx, run, Failed, lostResult)
	case !l.cfg.Service:
		return nil
	case l.cfg.Enqueue != nil && !run.Cancelling:
		l.cfg.Enqueue(run)
	default:
		l.drive(run.Org, run.ID)
	}
	return nil
}

// orphaned reports whether nobody works on a run or will: the process that claimed it is
// gone, or nobody has claimed it and the one that recorded it is gone or has given it up.
func (l *Launcher) orphaned(ctx context.Context, run Run) (bool, error) {
	states, err := l.keeper.Look(ctx, run.Org, runName(run.ID, next(run)))
	if err != nil {
		return false, err
	}
	s := states[0]
	if s.Epoch > 0 && !s.Free {
		return s.Gone, nil
	}
	if run.Submitter == "" || run.Submitter == l.keeper.Owner() {
		return true, nil
	}
	gone, err := l.keeper.GoneOwners(ctx, run.Submitter)
	return gone[run.Submitter] || s.Free && s.Epoch > 0 && run.Trigger != TriggerCLI, err
}

// buryEqual records runs of this org whose `convergence run` is gone as lost, so that the
// same command goes on with their work instead of waiting for them, and settles those that
// had ended before their process was gone.
func (l *Launcher) buryEqual(ctx context.Context, r Request) error {
	active, err := l.cfg.Store.Active(ctx, r.Org, l.cfg.Now().Add(-unsettledFor))
	if err != nil {
		return &Error{Code: CodeUnavailable, Message: "the runs that are active could not be read, so nothing was started; try again", Err: err}
	}
	for _, run := range active {
		if run.Trigger != TriggerCLI || !l.idle(run.ID) {
			continue
		}
		if run.State.Terminal() {
			if err := l.recoverRun(ctx, run); err != nil {
				l.cfg.Log.Warn("settle run", "run", run.ID, "org", run.Org, "error", err)
			}
			continue
		}
		orphaned, err := l.orphaned(ctx, run)
		if err == nil && orphaned {
			err = l.endNow(ctx, run, Failed, lostResult)
		}
		var held *claim.HeldError
		if err != nil && !errors.As(err, &held) { // else somebody else has been faster
			return fmt.Errorf("record the end of run %s, whose process is gone: %w", run.ID, err)
		}
	}
	return nil
}

// bury records a `convergence run` as lost whose slice is about to be taken over.
func (l *Launcher) bury(ctx context.Context, org, id string) {
	run, err := l.read(ctx, org, id)
	if err != nil || run.State.Terminal() || run.Trigger != TriggerCLI {
		return
	}
	if err := l.endNow(ctx, run, Failed, lostResult); err != nil {
		l.cfg.Log.Warn("record the end of a run whose process is gone", "run", id, "org", org, "error", err)
	}
}

// beat begins the heartbeat, once.
func (l *Launcher) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.beating || l.closed {
		return
	}
	l.beating = true
	l.loops.Go(l.beatLoop)
}

func (l *Launcher) beatLoop() {
	ticker := time.NewTicker(l.cfg.Heartbeat)
	defer ticker.Stop()
	for {
		// First what others did while this process may have slept, then that it is awake.
		l.within(recordTimeout/2, "read signals", l.listen)
		l.within(recordTimeout, "heartbeat", l.keeper.Beat)
		select {
		case <-l.ctx.Done():
			return
		case <-ticker.C:
		}
		l.sweepOwn()
	}
}

func (l *Launcher) within(patience time.Duration, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	if err := do(ctx); err != nil && l.ctx.Err() == nil {
		l.cfg.Log.Warn(what, "error", err)
	}
}

// sweepOwn looks after runs whose process is gone: a service after all, a command after
// those of the organisations that it works for.
func (l *Launcher) sweepOwn() {
	ctx, cancel := context.WithTimeout(l.ctx, 2*recordTimeout)
	defer cancel()
	orgs := map[string]bool{"": true}
	if !l.cfg.Service {
		clear(orgs)
		l.mu.Lock()
		for _, f := range l.active {
			orgs[f.base.Org] = true
		}
		l.mu.Unlock()
	}
	for org := range orgs {
		if err := l.sweep(ctx, org); err != nil && l.ctx.Err() == nil {
			l.cfg.Log.Warn("sweep", "error", err)
		}
	}
}

// listen hears what others did to the runs that this launcher works on: that they were
// cancelled, or taken over.
func (l *Launcher) listen(ctx context.Context) error {
	l.mu.Lock()
	followers := make(map[string]*follower, len(l.active))
	for id, f := range l.active {
		followers[id] = f
	}
	l.mu.Unlock()
	if len(followers) == 0 {
		return nil
	}
	events, err := l.cfg.Store.Signals(ctx, l.cfg.Now().Add(-signalsLap))
	if err != nil {
		return err
	}
	entries := make([]claim.Entry, 0, len(events))
	for _, e := range events {
		switch e.Kind {
		case claim.KindClaim:
			entries = append(entries, claim.Entry{Kind: e.Kind, Org: e.Org, Name: e.Step, Epoch: int(e.Seq)})
		case kindCancel:
			if f := followers[e.RunID]; f != nil && f.base.Org == e.Org {
				f.cancel(e.Seq > 0)
			}
		}
	}
	for _, f := range followers {
		f.mu.Lock()
		lost := claim.Lost(f.claims, entries)
		f.mu.Unlock()
		if len(lost) > 0 {
			l.cfg.Log.Warn("claims were taken over", "run", f.base.ID, "org", f.base.Org, "first", lost[0].String())
			f.stop(superseded)
		}
	}
	return nil
}
