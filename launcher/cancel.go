package launcher

import (
	"context"
	"errors"
	"fmt"
)

// Cancel asks for the end of a run, whoever works on it. With discard its open
// generations are closed, so that no publish of them can commit any more, and their
// staging is dropped; without it a later run can resume them. A publish that had
// committed makes its step COMPLETED. The request is durable when Cancel returns; a run
// that another process works on hears of it with that process's next heartbeat.
func (l *Launcher) Cancel(ctx context.Context, org, id string, discard bool) (Run, error) {
	run, err := l.read(ctx, org, id)
	if err != nil {
		return Run{}, err
	}
	if run.State.Terminal() {
		return run, &Error{Code: CodeRunEnded, Message: fmt.Sprintf("run %s is %s; only a run that has not ended can be cancelled", id, run.State)}
	}
	seq := int64(0)
	if discard {
		seq = 1
	}
	e, err := newEvent(Run{ID: id, Org: org}, kindCancel, "", "", seq, cancelPayload{Discard: discard}, l.cfg.Now())
	if err == nil {
		err = l.appendSurely(ctx, e)
	}
	if err != nil {
		return run, &Error{Code: CodeUnavailable, Message: "the request to cancel the run could not be recorded; try again", Err: err}
	}
	run.Cancelling, run.Discard = true, run.Discard || discard
	if f := l.follower(id); f != nil {
		f.cancel(discard)
		return run, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed { // else the next launcher ends it
		l.wg.Go(func() { l.endCancelled(org, id) })
	}
	return run, nil
}

func (f *follower) cancel(discard bool) {
	f.mu.Lock()
	f.base.Discard = f.base.Discard || discard
	f.mu.Unlock()
	f.stop(cancelled)
}

// stopLeft ends the job that a launcher which is gone has left of a run that is not to go
// on, and waits a while for its end. What it publishes nevertheless is fenced.
func (l *Launcher) stopLeft(ctx context.Context, run Run) {
	adopter, ok := l.cfg.Runner.(Adopter)
	if !ok || run.Began.IsZero() {
		return
	}
	folder, err := l.folder(run.ID)
	if err != nil {
		return
	}
	process, lives, err := adopter.Adopt(ctx, folder)
	if err != nil || !lives {
		return
	}
	process.Stop()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = process.Wait()
	}()
	sleep(ctx, recordTimeout, gone)
	l.cfg.Log.Info("a job that was left was stopped", "run", run.ID, "org", run.Org)
}

// endCancelled ends a run that nobody works on.
func (l *Launcher) endCancelled(org, id string) {
	ctx, cancel := context.WithTimeout(l.ctx, 2*recordTimeout)
	defer cancel()
	err := l.Start(ctx, org, id)
	var elsewhere *Elsewhere
	if err != nil && !errors.As(err, &elsewhere) {
		l.cfg.Log.Warn("end a cancelled run; it is tried again", "run", id, "org", org, "error", err)
	}
}

// Stop asks the job of a run that this launcher works on to end, and keeps what it has
// staged: the same request goes on from there. It reports whether this launcher works on
// the run. The run ends CANCELLED unless it had already ended.
func (l *Launcher) Stop(id string) bool {
	l.mu.Lock()
	f, d := l.active[id], l.driven[id]
	l.mu.Unlock()
	if f != nil {
		f.stop(cancelled)
	}
	if d != nil {
		d.cancel()
	}
	return f != nil || d != nil
}

// abandon ends a run that this launcher was to start and will not. A service leaves it to
// the next one.
func (l *Launcher) abandon(org, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	if f := l.follower(id); f != nil {
		if !l.isClosed() { // it was claimed after Stop had looked
			f.stop(cancelled)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
		}
		return
	}
	run, err := l.read(ctx, org, id)
	if err != nil || run.State.Terminal() || l.cfg.Service && run.Trigger != TriggerCLI && l.isClosed() {
		return
	}
	if err := l.endNow(ctx, run, Cancelled, runPayload{Code: string(CodeCancelled), Error: "the run was stopped before it ended"}); err != nil {
		l.cfg.Log.Warn("record the end of a run that was not started", "run", id, "org", org, "error", err)
	}
}

// giveUp fails a run that could not be started: nobody else would.
func (l *Launcher) giveUp(ctx context.Context, org, id string) {
	run, err := l.read(ctx, org, id)
	if err == nil && !run.State.Terminal() {
		run.Attempt = next(run)
		err = l.recordEnd(ctx, run, Failed, runPayload{
			Code: string(CodeInternal), Error: "the run could not be started; the log of the service says why",
		})
	}
	if err != nil {
		l.cfg.Log.Error("record that a run could not be started", "run", id, "org", org, "error", err)
	}
}

// endNow records the end of a run that nobody works on: it takes over its claim, so that
// no late word of an earlier owner counts.
func (l *Launcher) endNow(ctx context.Context, run Run, state State, p runPayload) error {
	own, err := l.keeper.Acquire(ctx, run.Org, runName(run.ID, next(run)), run.ID)
	if err != nil {
		return err
	}
	defer func() {
		if err := l.keeper.Release(context.WithoutCancel(ctx), own); err != nil {
			l.cfg.Log.Warn("release claim", "run", run.ID, "error", err)
		}
	}()
	now, err := l.read(ctx, run.Org, run.ID)
	if err != nil || now.State.Terminal() {
		return err
	}
	now.Attempt, now.Epoch = next(now), own.Epoch
	return l.recordEnd(ctx, now, state, p)
}

// recordEnd appends the terminal event of a run under its attempt and epoch, and settles
// it.
func (l *Launcher) recordEnd(ctx context.Context, run Run, state State, p runPayload) error {
	e, err := newEvent(run, kindRun, "", state, 0, p, l.cfg.Now())
	if err != nil {
		return err
	}
	if err := l.appendSurely(ctx, e); err != nil {
		return err
	}
	ended, err := l.read(ctx, run.Org, run.ID)
	if err != nil || !ended.State.Terminal() { // the store does not show it yet
		ended = run
		ended.State, ended.End, ended.Code, ended.Error = state, e.Time, p.Code, p.Error
	}
	l.projector.add(ended)
	l.settle(ctx, ended)
	return nil
}

var lostResult = runPayload{Code: string(CodeLost), Error: "the process that worked on the run is gone; the same request goes on with what it staged"}
