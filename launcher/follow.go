package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/cloudact/convergence/launcher/runfolder"
)

const tailEvery = 100 * time.Millisecond

// follower takes one run from PENDING to its end.
type follower struct {
	l      *Launcher
	base   Run // as admitted; never changed
	plan   *Plan
	engine string
	done   chan struct{}

	mu       sync.Mutex
	current  Run
	changed  bool
	stopped  bool
	process  Process
	started  map[string]bool
	progress map[string]runfolder.StepCounts
	events   []Event
}

func newFollower(l *Launcher, run Run, plan *Plan, engine string) *follower {
	if engine == "" {
		engine = l.cfg.Engine
	}
	return &follower{
		l: l, base: run, plan: plan, engine: engine, current: run, done: make(chan struct{}),
		started: map[string]bool{}, progress: map[string]runfolder.StepCounts{},
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

func (f *follower) recordPending(ctx context.Context) error {
	return f.record(ctx, kindRun, "", Pending, runPayload{
		PipelineID: f.base.PipelineID, Trigger: f.base.Trigger, TriggerBy: f.base.TriggerBy,
		KeyID: f.base.KeyID, UserID: f.base.UserID, RunDate: f.base.RunDate, Params: f.base.Params, Steps: f.plan.Steps,
	})
}

// record appends one event and folds it into the current run.
func (f *follower) record(ctx context.Context, kind, step string, state State, payload any) error {
	e, err := newEvent(f.base, kind, step, state, 0, payload, f.l.cfg.Now())
	if err != nil {
		return err
	}
	if err := f.l.cfg.Store.Append(ctx, e); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	run, _, err := Reduce(f.events)
	if err != nil {
		return err
	}
	f.current, f.changed = run, true
	return nil
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

func (f *follower) failure(err error) runfolder.Result {
	r := runfolder.Result{RunID: f.base.ID, State: runfolder.Failed, Code: string(CodeInternal), Error: err.Error()}
	var coded *Error
	if errors.As(err, &coded) {
		r.Code = string(coded.Code)
	}
	return r
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
	process, err := f.l.cfg.Runner.Start(ctx, folder)
	if err != nil {
		return runfolder.Result{}, fmt.Errorf("start job: %w", err)
	}
	f.mu.Lock()
	f.process = process
	stopped := f.stopped
	f.mu.Unlock()
	if stopped {
		process.Stop()
	}
	if err := f.record(ctx, kindRun, "", Running, runPayload{}); err != nil {
		f.l.cfg.Log.Warn("record running", "run", f.base.ID, "error", err)
	}
	f.tail(folder, process, spec.Deadline)
	return f.outcome(folder, spec.Deadline)
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
	late := time.NewTimer(time.Until(deadline))
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

func (f *follower) drain(folder *runfolder.Folder, offset int64) int64 {
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
	return next
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
	var err error
	switch {
	case e.Result != nil:
		err = f.record(ctx, kindStep, e.Step, State(e.Result.State), e.Result)
	case first:
		err = f.record(ctx, kindStep, e.Step, Running, runfolder.StepResult{Step: e.Step, Start: e.Time})
	}
	if err != nil {
		f.l.cfg.Log.Warn("record step", "run", f.base.ID, "step", e.Step, "error", err)
	}
}

// outcome reads what the job left. A job that left nothing was lost, never successful.
func (f *follower) outcome(folder *runfolder.Folder, deadline time.Time) (runfolder.Result, error) {
	f.mu.Lock()
	stopped := f.stopped
	f.mu.Unlock()
	result, err := folder.ReadResult()
	switch {
	case err == nil && result.State == runfolder.Completed:
		return result, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return runfolder.Result{}, err
	case stopped:
		result.State, result.Code, result.Error = runfolder.Cancelled, "CANCELLED", "the run was stopped before it ended"
	case !f.l.cfg.Now().Before(deadline):
		result.State, result.Code = runfolder.Timeout, string(CodeTimeout)
		result.Error = fmt.Sprintf("the run did not end within its %s", f.plan.Timeout)
	case err != nil:
		return runfolder.Result{}, &Error{Code: CodeLost, Message: "the job ended without a result; its log is " + folder.Path(runfolder.LogFile)}
	}
	return result, nil
}

// finish records step results that events did not bring, then the terminal event, then
// the projection.
func (f *follower) finish(ctx context.Context, result runfolder.Result) {
	log := f.l.cfg.Log.With("run", f.base.ID, "org", f.base.Org, "pipeline", f.base.PipelineID)
	for _, s := range result.Steps {
		if err := f.record(ctx, kindStep, s.Step, State(s.State), s); err != nil {
			log.Warn("record step", "step", s.Step, "error", err)
		}
	}
	if err := f.record(ctx, kindRun, "", State(result.State), runPayload{Code: result.Code, Error: result.Error}); err != nil {
		log.Error("record the end of a run", "state", result.State, "error", err)
		return
	}
	if err := f.l.cfg.Store.Project(ctx, f.snapshot()); err != nil {
		log.Warn("project run", "error", err)
	}
	log.Info("run ended", "state", result.State, "code", result.Code, "error", result.Error)
}
