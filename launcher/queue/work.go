package queue

import (
	"context"
	"errors"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// begin gives a run a slot and a worker.
func (q *Queue) begin(ctx context.Context, run launcher.Run) (bool, error) {
	slot := Slot{Org: run.Org, Run: run.ID}
	if !run.Cancelling {
		var err error
		if slot, err = q.cfg.Admission.Occupy(ctx, run.Org, run.ID); err != nil {
			q.notNow(ctx, run, err)
			return false, err
		}
	}
	q.mu.Lock()
	q.working[run.ID] = true
	delete(q.due, run.ID)
	delete(q.idle, run.ID)
	q.mu.Unlock()
	q.wg.Go(func() { q.work(run, slot) })
	return true, nil
}

// notNow puts a run off that could not get a slot. One whose organisation may not have
// runs any more is cancelled.
func (q *Queue) notNow(ctx context.Context, run launcher.Run, err error) {
	var refused *launcher.Error
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, ErrOrgFull):
	case errors.Is(err, errEnded), errors.Is(err, errTaken): // what was read of the run is old
		q.delay(run.ID, q.cfg.Poll, nil, false)
	case errors.As(err, &refused) && (refused.Code == launcher.CodeForbidden || refused.Code == launcher.CodeSubscriptionInactive):
		q.cfg.Log.Info("cancel a run whose organisation may not have runs", "run", run.ID, "org", run.Org, "reason", refused.Message)
		if _, err := q.cfg.Launcher.Cancel(ctx, run.Org, run.ID, false); err != nil {
			q.cfg.Log.Warn("cancel run", "run", run.ID, "org", run.Org, "error", err)
		}
		q.delay(run.ID, mostDelay, nil, false)
	default:
		q.cfg.Log.Warn("get a slot", "run", run.ID, "org", run.Org, "error", err)
		q.delay(run.ID, 0, nil, true)
	}
}

// delay puts a run off: for d, or for longer each time that it fails.
func (q *Queue) delay(id string, d time.Duration, changed <-chan struct{}, fault bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	entry := q.delays[id]
	if fault {
		d = min(firstDelay<<min(entry.failures, 10), mostDelay)
		entry.failures++
	} else {
		entry.failures = 0
	}
	entry.until, entry.changed, entry.blocked = q.cfg.Now().Add(d), changed, d == blockedDelay && !fault
	q.delays[id] = entry
}

// work makes an attempt of a run and gives back its slot if the run goes on waiting. The
// slot of a run that has ended is given back by the launcher, with its end.
func (q *Queue) work(run launcher.Run, slot Slot) {
	err := q.cfg.Launcher.Start(q.ctx, run.Org, run.ID)
	var waits *launcher.Waiting
	var later *launcher.Later
	var elsewhere *launcher.Elsewhere
	switch {
	case err == nil:
	case q.ctx.Err() != nil: // closing: the run goes on with the launcher, or with the next one
	case errors.As(err, &elsewhere):
		q.delay(run.ID, q.cfg.Poll, nil, false)
	case errors.As(err, &waits):
		q.vacate(slot)
		q.delay(run.ID, blockedDelay, waits.Changed, false)
	case errors.As(err, &later):
		q.vacate(slot)
		q.delay(run.ID, later.At.Sub(q.cfg.Now()), nil, false)
	default:
		q.cfg.Log.Warn("start run", "run", run.ID, "org", run.Org, "error", err)
		q.vacate(slot)
		q.delay(run.ID, 0, nil, true)
	}
	q.mu.Lock()
	delete(q.working, run.ID)
	q.mu.Unlock()
	q.nudge()
}

// vacate tries for a while; what cannot be given back is given back by the sweep when the
// run ends.
func (q *Queue) vacate(slot Slot) {
	for pause := time.Second; ; pause *= 2 {
		err := q.cfg.Admission.Vacate(q.ctx, slot)
		if err == nil || q.ctx.Err() != nil || pause > mostDelay {
			return
		}
		q.cfg.Log.Warn("give a slot back", "run", slot.Run, "org", slot.Org, "error", err)
		if !pauseFor(q.ctx, pause) {
			return
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
