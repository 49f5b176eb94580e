package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	tailEvery       = 100 * time.Millisecond
	firstPause      = 100 * time.Millisecond // before the store is asked again
	pendingPatience = 5 * time.Second
)

// follower takes one run from PENDING to its end.
type follower struct {
	l      *Launcher
	base   Run // as admitted; never changed
	plan   *Plan
	engine string

	recorded chan struct{} // closed when PENDING is durable
	done     chan struct{} // closed when the launcher has forgotten the run

	mu       sync.Mutex
	current  Run
	changed  bool
	stopped  bool
	process  Process
	started  map[string]bool
	progress map[string]runfolder.StepCounts
	events   []Event
	payloads map[string]string // of the last event of each step that is durable
}

func newFollower(l *Launcher, run Run, plan *Plan, engine string) *follower {
	if engine == "" {
		engine = l.cfg.Engine
	}
	return &follower{
		l: l, base: run, plan: plan, engine: engine, current: run,
		recorded: make(chan struct{}), done: make(chan struct{}),
		started: map[string]bool{}, progress: map[string]runfolder.StepCounts{}, payloads: map[string]string{},
	}
}

func (f *follower) snapshot() Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

func (f *follower) takeChanged() (Run, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.changed
	f.changed = false
	return f.current, was
}

func (f *follower) markChanged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = true
}

func (f *follower) isStopped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped
}

// stop asks the job to end; the run becomes CANCELLED unless it had already ended.
func (f *follower) stop() {
	f.mu.Lock()
	f.stopped = true
	p := f.process
	f.mu.Unlock()
	if p != nil {
		p.Stop()
	}
}

// overlay adds running totals that are not events.
func (f *follower) overlay(run *Run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range run.Steps {
		if counts, ok := f.progress[run.Steps[i].Step]; ok && !run.Steps[i].State.Terminal() {
			run.Steps[i].Counts = counts
		}
	}
}

// recordPending makes the run durable. Appending again is harmless, so that an answer
// that was lost is no reason to forget a run that others can already see.
func (f *follower) recordPending(ctx context.Context) error {
	e, err := f.event(kindRun, "", Pending, 0, runPayload{
		PipelineID: f.base.PipelineID, Trigger: f.base.Trigger, TriggerBy: f.base.TriggerBy,
		KeyID: f.base.KeyID, UserID: f.base.UserID, RunDate: f.base.RunDate, Params: f.base.Params, Steps: f.plan.Steps,
	})
	if err != nil {
		return err
	}
	if err := f.recordSurely(ctx, pendingPatience, e); err != nil {
		return err
	}
	close(f.recorded)
	return nil
}

func (f *follower) event(kind, step string, state State, seq int64, payload any) (Event, error) {
	return newEvent(f.base, kind, step, state, seq, payload, f.l.cfg.Now())
}

// record appends events and folds them into the current run.
func (f *follower) record(ctx context.Context, events ...Event) error {
	if err := f.l.cfg.Store.Append(ctx, events...); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
	for _, e := range events {
		if e.Kind == kindStep {
			f.payloads[e.Step] = string(e.Payload)
		}
	}
	run, _, err := Reduce(f.events)
	if err != nil {
		return err
	}
	f.current, f.changed = run, true
	return nil
}

// recordSurely tries again for a while when the store does not answer.
func (f *follower) recordSurely(ctx context.Context, patience time.Duration, events ...Event) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = firstPause
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, f.record(ctx, events...)
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(patience))
	return err
}

// run drives the run to a terminal event. Whatever fails before the job started fails
// the run, with the reason on it.
func (f *follower) run(ctx context.Context) {
	result, err := f.execute(ctx)
	if err != nil {
		result = f.failure(err)
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	f.finish(rctx, result)
}

// failure is the result of a run whose job did not start or left nothing. The text of an
// error without a code is for the log, not for the user.
func (f *follower) failure(err error) runfolder.Result {
	r := runfolder.Result{RunID: f.base.ID, State: runfolder.Failed, Code: string(CodeInternal)}
	var coded *Error
	switch {
	case f.isStopped():
		return f.stoppedResult()
	case errors.As(err, &coded):
		r.Code, r.Error = string(coded.Code), coded.Message
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

func (f *follower) execute(ctx context.Context) (runfolder.Result, error) {
	generations, err := f.openGenerations(ctx)
	if err != nil {
		return runfolder.Result{}, err
	}
	folder, err := f.l.folder(f.base.ID)
	if err != nil {
		return runfolder.Result{}, err
	}
	spec := f.spec(generations)
	if err := folder.WriteSpec(spec); err != nil {
		return runfolder.Result{}, err
	}
	process, err := f.start(ctx, folder)
	if err != nil {
		return runfolder.Result{}, err
	}
	f.recordOr(ctx, "record running", kindRun, "", Running, runPayload{})
	f.tail(folder, process, spec.Deadline)
	return f.outcome(folder, spec.Deadline)
}

// start starts the job unless the run was stopped before.
func (f *follower) start(ctx context.Context, folder *runfolder.Folder) (Process, error) {
	if f.isStopped() {
		return nil, context.Canceled
	}
	process, err := f.l.cfg.Runner.Start(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("start job: %w", err)
	}
	f.mu.Lock()
	f.process = process
	stopped := f.stopped
	f.mu.Unlock()
	if stopped {
		process.Stop()
	}
	return process, nil
}

func (f *follower) spec(generations map[string]int) runfolder.Spec {
	now := f.base.Start
	return runfolder.Spec{
		RunID: f.base.ID, Attempt: f.base.Attempt, Epoch: f.base.Epoch,
		Org: f.base.Org, Env: f.l.cfg.Env, Project: f.l.cfg.Project, Dataset: Dataset(f.base.Org, f.l.cfg.Env), Location: f.l.cfg.Location,
		Pipeline: f.plan.Pipeline, Document: f.plan.Text, File: f.plan.File, Params: f.plan.Params,
		StartDate: f.plan.Start, EndDate: f.plan.End, Now: now, Deadline: now.Add(f.plan.Timeout),
		Runner: f.engine, Generations: generations,
	}
}

// Dataset is the dataset of an org in an environment.
func Dataset(org, env string) string { return org + "_" + env }

// tail reads events until the process is gone, and stops it at the deadline.
func (f *follower) tail(folder *runfolder.Folder, process Process, deadline time.Time) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if err := process.Wait(); err != nil {
			f.l.cfg.Log.Debug("job ended", "run", f.base.ID, "error", err)
		}
	}()
	ticker := time.NewTicker(tailEvery)
	defer ticker.Stop()
	late := time.NewTimer(deadline.Sub(f.l.cfg.Now()))
	defer late.Stop()
	var offset int64
	for running := true; running; {
		select {
		case <-gone:
			running = false
		case <-late.C:
			process.Stop()
		case <-ticker.C:
		}
		offset = f.drain(folder, offset)
	}
}

// drain reads whole lines until there are no more; a line that is no event is left out.
func (f *follower) drain(folder *runfolder.Folder, offset int64) int64 {
	for {
		events, next, err := folder.Events(offset)
		if err != nil {
			f.l.cfg.Log.Warn("read job events", "run", f.base.ID, "error", err)
		}
		for _, e := range events {
			f.observe(e)
			if f.l.cfg.Watch != nil {
				f.l.cfg.Watch(f.base.ID, e)
			}
		}
		if next == offset || err == nil {
			return next
		}
		offset = next
	}
}

func (f *follower) observe(e runfolder.Event) {
	if e.Step == "" {
		return
	}
	f.mu.Lock()
	first := !f.started[e.Step]
	f.started[e.Step] = true
	if e.Kind == runfolder.KindProgress {
		f.progress[e.Step] = e.StepCounts
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	switch {
	case e.Result != nil:
		f.recordOr(ctx, "record step", kindStep, e.Step, State(e.Result.State), e.Result)
	case first:
		f.recordOr(ctx, "record step", kindStep, e.Step, Running, runfolder.StepResult{Step: e.Step, Start: e.Time})
	}
}

// recordOr records an event that is not the last word: what fails is logged, and the end
// of the run says it again.
func (f *follower) recordOr(ctx context.Context, what, kind, step string, state State, payload any) {
	e, err := f.event(kind, step, state, 0, payload)
	if err == nil {
		err = f.record(ctx, e)
	}
	if err != nil {
		f.l.cfg.Log.Warn(what, "run", f.base.ID, "step", step, "error", err)
	}
}

// outcome reads what the job left. What a job says about itself counts, but for why it
// was stopped, which only the launcher knows. A job that left nothing was lost, never
// successful.
func (f *follower) outcome(folder *runfolder.Folder, deadline time.Time) (runfolder.Result, error) {
	late := !f.l.cfg.Now().Before(deadline)
	result, err := folder.ReadResult()
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return runfolder.Result{}, err
	case err == nil && (result.RunID != f.base.ID || !slices.Contains(resultStates, result.State)):
		return runfolder.Result{}, fmt.Errorf("the job left a result of run %q in state %q", result.RunID, result.State)
	case err == nil && result.State != runfolder.Cancelled:
		return result, nil
	case f.isStopped():
		stopped := f.stoppedResult()
		stopped.Steps = result.Steps
		return stopped, nil
	case late:
		result.RunID, result.State, result.Code = f.base.ID, runfolder.Timeout, string(CodeTimeout)
		result.Error = fmt.Sprintf("the run did not end within its %s", f.plan.Timeout)
	case err != nil:
		return runfolder.Result{}, &Error{Code: CodeLost, Message: fmt.Sprintf("the job ended without a result; its log is runs/%s/%s in the data directory", f.base.ID, runfolder.LogFile)}
	}
	return result, nil
}

var resultStates = []string{runfolder.Completed, runfolder.Failed, runfolder.Timeout, runfolder.Cancelled}

// finish records, in one append, the step results that events did not bring, or not
// whole, and the terminal event; then it projects the run.
func (f *follower) finish(ctx context.Context, result runfolder.Result) {
	log := f.l.cfg.Log.With("run", f.base.ID, "org", f.base.Org, "pipeline", f.base.PipelineID)
	events, err := f.lastEvents(result)
	if err == nil {
		err = f.recordSurely(ctx, recordTimeout, events...)
	}
	if err != nil {
		log.Error("record the end of a run", "state", result.State, "error", err)
		return
	}
	f.l.project()
	log.Info("run ended", "state", result.State, "code", result.Code, "error", result.Error)
}

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
	e, err := f.event(kindRun, "", State(result.State), 0, runPayload{Code: result.Code, Error: result.Error})
	return append(events, e), err
}
