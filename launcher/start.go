package launcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudact/convergence/launcher/claim"
)

// Start makes the next attempt of a run: it claims the run and its slices, opens the
// generations, starts the job, or goes on with the one that a dead launcher left, and
// follows it to its end. It returns
//
//   - nil when the run has ended, now or before;
//   - *Waiting when another run holds a slice: nothing is held, call Start again;
//   - *Later when the next attempt is due later: nothing is held, call Start again;
//   - *Elsewhere when a process that lives works on the run;
//   - ctx.Err() when ctx ends first: the run goes on with this launcher. Start again joins;
//   - *Error and others when the store or the register did not answer: call Start again.
func (l *Launcher) Start(ctx context.Context, org, id string) error {
	f, err := l.begin(ctx, org, id)
	if f == nil {
		return err
	}
	select {
	case <-f.done:
		return f.answer()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin returns the follower of the run, new or known; nil if it has ended or cannot be
// started, for the reason that the error gives.
func (l *Launcher) begin(ctx context.Context, org, id string) (*follower, error) {
	leave, err := l.gates.enter(ctx, "start/"+id)
	if err != nil {
		return nil, err
	}
	defer leave()
	if f := l.follower(id); f != nil {
		return f, nil
	}
	if l.isClosed() {
		return nil, errClosing
	}
	if l.cfg.Storage != nil {
		if err := l.cfg.Storage(); err != nil {
			return nil, fmt.Errorf("run %s is not started: %w", id, err)
		}
	}
	l.beat()
	for {
		run, err := l.read(ctx, org, id)
		if err != nil || run.State.Terminal() {
			return nil, err
		}
		if run.RetryAt.After(l.cfg.Now()) && !run.Cancelling {
			return nil, &Later{Run: id, At: run.RetryAt}
		}
		if theirs, err := l.isTheirs(ctx, run); theirs || err != nil {
			return nil, err
		}
		f, again, err := l.claimRun(ctx, run)
		if !again {
			return f, err
		}
	}
}

// isTheirs reports whether the run belongs to another command: nobody else starts it, and
// it is lost with its process.
func (l *Launcher) isTheirs(ctx context.Context, run Run) (bool, error) {
	if run.Trigger != TriggerCLI || run.Cancelling || run.Submitter == "" || run.Submitter == l.keeper.Owner() {
		return false, nil
	}
	gone, err := l.keeper.GoneOwners(ctx, run.Submitter)
	if err != nil {
		return false, err
	}
	if !gone[run.Submitter] {
		return true, &Elsewhere{Run: run.ID, Owner: run.Submitter}
	}
	return true, l.endNow(ctx, run, Failed, lostResult)
}

// maxEpochs bounds how often one attempt is gone on with: a run may be what kills its
// launchers.
const maxEpochs = 20

// next is the attempt that follows what is known of a run. One that was interrupted, or
// whose launcher died, goes on; one that failed is made again.
func next(r Run) int {
	if r.State == Pending && !r.RetryAt.IsZero() {
		return r.Attempt + 1
	}
	return max(r.Attempt, 1)
}

func runName(id string, attempt int) string { return fmt.Sprintf("run/%s/%d", id, attempt) }

// claimRun claims the run and what it needs. again asks for another try with the events
// as they are by now.
func (l *Launcher) claimRun(ctx context.Context, run Run) (_ *follower, again bool, err error) {
	plan, planErr := l.cfg.Planner.Plan(ctx, run.Request, run.ID, run.Start)
	name := runName(run.ID, next(run))
	var slicesOf []string
	if planErr == nil && !run.Cancelling {
		slicesOf = sliceNames(run, plan)
	}
	if err := l.lookFirst(ctx, run, name, slicesOf); err != nil {
		var waiting *Waiting
		if errors.As(err, &waiting) { // its slices were taken over while nobody looked after it
			l.stopLeft(ctx, run)
		}
		return nil, false, err
	}
	own, err := l.keeper.Acquire(ctx, run.Org, name, run.ID)
	if err != nil {
		return nil, false, l.refusal(ctx, run, err)
	}
	claims := []claim.Claim{own}
	release := func() {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		if err := l.keeper.Release(rctx, claims...); err != nil {
			l.cfg.Log.Warn("release claims", "run", run.ID, "error", err)
		}
	}
	// What happened before the claim was won counts.
	now, err := l.read(ctx, run.Org, run.ID)
	if err != nil || now.State.Terminal() || next(now) != next(run) || now.Cancelling != run.Cancelling {
		release()
		return nil, err == nil, err
	}
	f := newFollower(l, now, plan, own)
	if landed, err := l.landedWhileWaiting(ctx, now, plan, planErr); err != nil {
		release()
		return nil, false, err
	} else if landed {
		f.landed = now.WaitingFor
		slicesOf = nil
	}
	held, err := l.keeper.AcquireAll(ctx, run.Org, run.ID, slicesOf...)
	if err != nil {
		release()
		return nil, false, l.refusal(ctx, run, err)
	}
	claims = append(claims, held...)
	f.claims, f.planErr = claims, planErr
	if own.Epoch > maxEpochs && planErr == nil {
		f.planErr = &Error{Code: CodeLost, Message: fmt.Sprintf("%d processes that worked on the run are gone; it is not tried again", own.Epoch-1)}
	}
	if !l.follow(f) {
		release()
		return nil, false, errClosing
	}
	return f, false, nil
}

// follow lets the follower run.
func (l *Launcher) follow(f *follower) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.active[f.base.ID] = f
	l.wg.Go(func() {
		f.run(l.ctx)
		l.mu.Lock()
		delete(l.active, f.base.ID)
		l.mu.Unlock()
		close(f.done)
	})
	return true
}

// lookFirst finds out, without creating anything, whether the run can be started; it
// records what the run waits for. Slices of launchers that are gone can be taken.
func (l *Launcher) lookFirst(ctx context.Context, run Run, name string, slicesOf []string) error {
	names := append([]string{name}, slices.Compact(slices.Sorted(slices.Values(slicesOf)))...)
	states, err := l.keeper.Look(ctx, run.Org, names...)
	if err != nil {
		return err
	}
	for i, s := range states {
		if s.Open() {
			continue
		}
		if i == 0 || s.Holder == run.ID {
			return &Elsewhere{Run: run.ID, Owner: s.Owner}
		}
		return l.wait(ctx, run, s.Holder)
	}
	for _, s := range states[1:] {
		if s.Gone && s.Holder != run.ID {
			l.bury(ctx, run.Org, s.Holder)
		}
	}
	return nil
}

// refusal turns a claim that somebody else won into an answer of Start.
func (l *Launcher) refusal(ctx context.Context, run Run, err error) error {
	var held *claim.HeldError
	switch {
	case !errors.As(err, &held):
		return err
	case strings.HasPrefix(held.State.Name, "run/") || held.State.Holder == run.ID:
		return &Elsewhere{Run: run.ID, Owner: held.State.Owner}
	default:
		return l.wait(ctx, run, held.State.Holder)
	}
}

// wait records what a run waits for, once for each run that it waits for.
func (l *Launcher) wait(ctx context.Context, run Run, holder string) error {
	w := &Waiting{Run: run.ID, For: holder, Changed: l.changed(holder)}
	if run.WaitingFor == holder {
		return w
	}
	now := l.cfg.Now()
	e, err := newEvent(run, kindWait, "", Pending, now.UnixMicro(), waitPayload{For: holder}, now)
	if err == nil {
		err = l.cfg.Store.Append(ctx, e)
	}
	if err != nil {
		l.cfg.Log.Warn("record what a run waits for", "run", run.ID, "holder", holder, "error", err)
	}
	run.WaitingFor = holder
	l.projector.add(run)
	return w
}

// landedWhileWaiting reports whether the run that this one waited for has stated all its
// units as this one would: what was stated under another configuration is not what it was
// asked for.
func (l *Launcher) landedWhileWaiting(ctx context.Context, run Run, plan *Plan, planErr error) (bool, error) {
	if run.WaitingFor == "" || planErr != nil || run.Cancelling || len(plan.Units) == 0 || run.WaitingFor == run.ID {
		return false, nil
	}
	other, err := l.read(ctx, run.Org, run.WaitingFor)
	if err != nil || other.State != Completed {
		return false, err
	}
	landed, err := l.landedUnits(ctx, run.Org, plan.Units, func(u Unit, h holder) bool {
		return u.Once || h.hash == token(u.Hash, hashDigits)
	})
	return len(landed) == len(plan.Units), err
}

// landedUnits returns the run that published the newest generation of each unit, for
// those of which it is published and fits.
func (l *Launcher) landedUnits(ctx context.Context, org string, units []Unit, fits func(Unit, holder) bool) (map[string]string, error) {
	if len(units) == 0 {
		return nil, nil
	}
	known, err := l.cfg.Store.Generations(ctx, org, unitIDs(units))
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	landed := map[string]string{}
	o := opener{register: l.cfg.Register}
	for _, u := range units {
		g, h, _, err := o.newest(ctx, u, known[u.ID])
		if err != nil {
			return nil, err
		}
		if g == 0 || !fits(u, h) {
			continue
		}
		s, err := l.cfg.Register.Standing(ctx, u.ID, g)
		if err != nil {
			return nil, err
		}
		if s.State == Published {
			landed[u.ID] = s.Run
		}
	}
	return landed, nil
}

func unitIDs(units []Unit) []string {
	ids := make([]string, len(units))
	for i, u := range units {
		ids[i] = u.ID
	}
	return ids
}
