package launcher

import (
	"context"
	"errors"
	"time"

	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const maxBackoff = time.Hour

// failure is the result of an attempt whose job did not start or left nothing. The text
// of an error without a code is for the log, not for the user.
func (f *follower) failure(err error) runfolder.Result {
	r := runfolder.Result{RunID: f.base.ID, State: runfolder.Failed, Code: string(CodeInternal)}
	var coded *Error
	switch {
	case f.reason() != byItself:
		return f.stoppedResult()
	case errors.Is(err, errSuperseded):
		r.Code, r.Error = string(CodeSuperseded), errSuperseded.Error()
	case errors.As(err, &coded):
		r.Code, r.Error = string(coded.Code), coded.Message
		for _, problem := range coded.Problems {
			r.Error += "\n" + problem
		}
	default:
		r.Error = "the job could not be started; the log of the service says why"
	}
	f.l.cfg.Log.Error("run without a job", "run", f.base.ID, "org", f.base.Org, "error", err)
	return r
}

func (f *follower) stoppedResult() runfolder.Result {
	return runfolder.Result{
		RunID: f.base.ID, State: runfolder.Cancelled, Code: string(CodeCancelled), Error: "the run was stopped before it ended",
	}
}

// finish records how the attempt ended, gives the claims up, and does what follows the
// end of a run. An attempt that was taken over says nothing: its successor does.
func (f *follower) finish(ctx context.Context, result runfolder.Result) {
	if f.left() && result.State != runfolder.Completed && result.State != runfolder.Failed {
		f.l.cfg.Log.Info("a job is left to the next launcher", "run", f.base.ID, "org", f.base.Org)
		if f.l.keeper.Doubtful() { // it may have slept, and another may have ended the run
			f.projectAnew(ctx)
		}
		f.setErr(&Elsewhere{Run: f.base.ID})
		return
	}
	defer f.release(ctx)
	log := f.l.cfg.Log.With("run", f.base.ID, "org", f.base.Org, "pipeline", f.base.PipelineID)
	if f.l.keeper.Doubtful() { // what others did meanwhile may not have been heard yet
		f.l.within(recordTimeout/2, "read signals", f.l.listen)
	}
	if f.reason() == superseded {
		log.Warn("the run was taken over by another process")
		f.projectAnew(ctx)
		f.setErr(&Elsewhere{Run: f.base.ID})
		return
	}
	if f.reason() == cancelled && result.State != runfolder.Completed {
		result = f.afterCancel(ctx, result)
	}
	events, err := f.lastEvents(result)
	if err == nil {
		err = f.recordUntilClosed(ctx, events)
	}
	if err != nil {
		log.Error("record the end of a run", "state", result.State, "error", err)
		f.setErr(err)
		return
	}
	run := f.snapshot()
	log.Info("run ended", "state", run.State, "attempt", run.Attempt, "code", result.Code, "error", result.Error)
	if !run.State.Terminal() {
		f.setErr(&Later{Run: f.base.ID, At: run.RetryAt})
		return
	}
	// Its own claim is held until the run is settled: it says that somebody is at it.
	f.releaseSlices(ctx)
	f.l.settle(ctx, run)
}

// projectAnew has the run projected as its events are: what this process has projected
// since it was taken over may have hidden what the successor did.
func (f *follower) projectAnew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if now, err := f.l.read(ctx, f.base.Org, f.base.ID); err == nil {
		f.l.projector.add(now)
	}
}

func (f *follower) setErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// release gives up the claims that are left.
func (f *follower) release(ctx context.Context) {
	f.mu.Lock()
	claims := f.claims
	f.claims = nil
	f.mu.Unlock()
	f.giveUp(ctx, claims)
}

// releaseSlices gives up all claims but that of the run.
func (f *follower) releaseSlices(ctx context.Context) {
	f.mu.Lock()
	claims := f.claims
	f.claims = claims[:1:1]
	f.mu.Unlock()
	f.giveUp(ctx, claims[1:])
}

func (f *follower) giveUp(ctx context.Context, claims []claim.Claim) {
	rctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := f.l.keeper.Release(rctx, claims...); err != nil {
		f.l.cfg.Log.Warn("release claims", "run", f.base.ID, "error", err)
	}
}

// afterCancel makes sure that what is reported as cancelled takes no effect any more.
func (f *follower) afterCancel(ctx context.Context, result runfolder.Result) runfolder.Result {
	cctx, cancel := context.WithTimeout(ctx, 2*recordTimeout)
	defer cancel()
	committed, err := f.close(cctx)
	if err != nil {
		f.l.cfg.Log.Error("close the generations of a cancelled run", "run", f.base.ID, "error", err)
		return result
	}
	steps := 0
	if f.plan != nil {
		steps = len(f.plan.Steps)
	}
	return withCommitted(result, committed, steps)
}

// recordUntilClosed does not give up while the store does not answer: until the end of
// the run is recorded, this process holds its claims, and nobody else can record it.
func (f *follower) recordUntilClosed(ctx context.Context, events []Event) error {
	for {
		rctx, cancel := context.WithTimeout(ctx, recordTimeout)
		err := f.recordSurely(rctx, recordTimeout, events...)
		cancel()
		if err == nil || f.l.isClosed() {
			return err
		}
		f.l.cfg.Log.Warn("the end of a run cannot be recorded yet", "run", f.base.ID, "error", err)
	}
}

// lastEvents are the step results that events did not bring, or not whole, and the event
// that ends the attempt.
func (f *follower) lastEvents(result runfolder.Result) ([]Event, error) {
	var events []Event
	for _, s := range result.Steps {
		// A result may know more than the step's event did, such as retries; as another
		// event it has another sequence number.
		e, err := f.event(kindStep, s.Step, State(s.State), 1, s)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		known := f.payloads[s.Step] == string(e.Payload)
		f.mu.Unlock()
		if !known {
			events = append(events, e)
		}
	}
	state, p := f.verdict(result)
	e, err := f.event(kindRun, "", state, 0, p)
	return append(events, e), err
}

// verdict is what the end of the attempt means for the run.
func (f *follower) verdict(result runfolder.Result) (State, runPayload) {
	p := runPayload{Code: result.Code, Error: result.Error}
	switch {
	case result.State == runfolder.Completed:
		p.LandedBy = f.landed
	case f.reason() == interrupted && f.l.cfg.Service && f.base.Trigger != TriggerCLI:
		p.Code, p.Error = string(CodeInterrupted), "the service was stopped; the next one goes on with the run"
		return AttemptFailed, p
	case f.reason() == byItself && worthRetry(result) && f.base.Attempt <= f.retries():
		p.RetryAt = f.l.cfg.Now().Add(f.backoff()).UTC()
		return AttemptFailed, p
	}
	return State(result.State), p
}

func (f *follower) retries() int {
	switch {
	case f.plan != nil && f.plan.Retries != nil:
		return *f.plan.Retries
	case f.base.Trigger == TriggerCLI:
		return 0
	default:
		return f.l.cfg.Retries
	}
}

func (f *follower) backoff() time.Duration {
	pause := f.l.cfg.RetryBackoff
	if f.plan != nil && f.plan.Backoff > 0 {
		pause = f.plan.Backoff
	}
	for range f.base.Attempt - 1 {
		pause = min(2*pause, maxBackoff)
	}
	return pause
}

// settle does what follows a terminal event, in whatever process and however often it is
// begun: staging of a completed run is dropped, what it reserved is given back, who waits
// for its end is told, once, and the tables that others read show it.
func (l *Launcher) settle(ctx context.Context, run Run) {
	ctx, cancel := context.WithTimeout(ctx, 2*recordTimeout)
	defer cancel()
	log := l.cfg.Log.With("run", run.ID, "org", run.Org)
	if run.State == Completed && l.cfg.Stages != nil && len(run.Generations) > 0 {
		if err := l.cfg.Stages.Drop(ctx, Dataset(run.Org, l.cfg.Env), run.Generations); err != nil {
			log.Warn("drop staging tables; they expire by themselves", "error", err)
		}
	}
	if l.cfg.Admission != nil {
		if err := l.cfg.Admission.Release(ctx, run); err != nil {
			log.Error("give back what a run reserved; it is tried again", "error", err)
			return
		}
	}
	if l.cfg.Ended == nil || run.Told {
		l.recordSettled(ctx, run)
		return
	}
	l.mu.Lock()
	closed := l.closed
	if !closed { // people and their servers are slow: nobody waits for them
		l.wg.Go(func() { l.tell(context.WithoutCancel(ctx), run) })
	}
	l.mu.Unlock()
	if closed {
		l.tell(context.WithoutCancel(ctx), run)
	}
}

func (l *Launcher) recordSettled(ctx context.Context, run Run) {
	e, err := newEvent(run, kindSettled, "", run.State, 0, struct{}{}, l.cfg.Now())
	if err != nil {
		l.cfg.Log.Error("record that a run is settled", "run", run.ID, "org", run.Org, "error", err)
		return
	}
	l.projector.settle(ctx, run, e)
}
