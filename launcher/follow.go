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

	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	tailEvery   = 100 * time.Millisecond
	recordEvery = 5 * time.Second // progress
)

// ending is why a job was asked to stop.
type ending int

const (
	byItself ending = iota
	interrupted
	cancelled
	superseded
)

// follower takes one attempt of a run from its claims to its end.
type follower struct {
	l       *Launcher
	base    Run   // as claimed: attempt and epoch are those of the claim
	plan    *Plan // nil with planErr
	planErr error
	engine  string
	claims  []claim.Claim // the run's first, then those of its slices
	landed  string        // run whose outcome is taken; "" = none

	done chan struct{} // closed when the launcher has forgotten the run

	mu       sync.Mutex
	current  Run
	why      ending
	process  Process
	started  map[string]bool
	progress map[string]runfolder.StepCounts
	shown    map[string]runfolder.StepCounts // of progress: what is an event
	events   []Event
	payloads map[string]string // of the last event of each step that is durable
	opened   map[string]opened // generations that it works on, by unit
	err      error             // for those who wait on Start
}

func newFollower(l *Launcher, run Run, plan *Plan, own claim.Claim) *follower {
	run.Attempt, run.Epoch = next(run), own.Epoch
	engine := run.Request.Runner
	if engine == "" && plan != nil {
		engine = plan.Runner
	}
	if engine == "" {
		engine = l.cfg.Engine
	}
	return &follower{
		l: l, base: run, plan: plan, engine: engine, current: run, done: make(chan struct{}),
		started: map[string]bool{}, progress: map[string]runfolder.StepCounts{}, shown: map[string]runfolder.StepCounts{},
		payloads: map[string]string{}, opened: map[string]opened{},
	}
}

func (f *follower) snapshot() Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

func (f *follower) answer() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *follower) reason() ending {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why
}

func (f *follower) interrupt() { f.stop(interrupted) }

// stop asks the job to end. A later and stronger reason replaces an earlier one.
func (f *follower) stop(why ending) {
	f.mu.Lock()
	f.why = max(f.why, why)
	p := f.process
	f.mu.Unlock()
	if p != nil {
		f.end(p, why)
	}
}

// overlay adds running totals that are not events yet.
func (f *follower) overlay(run *Run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range run.Steps {
		if counts, ok := f.progress[run.Steps[i].Step]; ok && !run.Steps[i].State.Terminal() {
			run.Steps[i].Counts = counts
		}
	}
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
	f.current = run
	f.l.projector.add(run)
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

// run drives the attempt to its end. Whatever fails before the job started fails the
// attempt, with the reason on it.
func (f *follower) run(ctx context.Context) {
	// What is known is the ground on which this attempt's events are folded.
	rctx := context.WithoutCancel(ctx)
	result, err := f.prepare(ctx)
	if err == nil && result == nil {
		var r runfolder.Result
		if r, err = f.work(ctx); err == nil {
			result = &r
		}
	}
	if err != nil {
		r := f.failure(err)
		result = &r
	}
	f.finish(rctx, *result)
}

// prepare loads what is recorded, and answers with a result if there is nothing to do.
func (f *follower) prepare(ctx context.Context) (*runfolder.Result, error) {
	known, err := f.l.cfg.Store.Events(ctx, f.base.Org, f.base.ID)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	f.mu.Lock()
	f.events = known
	f.mu.Unlock()
	switch {
	case f.base.Cancelling:
		f.stop(cancelled)
		f.l.stopLeft(ctx, f.base)
		return nil, context.Canceled
	case f.planErr != nil:
		return nil, f.planErr
	case f.landed != "":
		return &runfolder.Result{RunID: f.base.ID, State: runfolder.Completed}, nil
	}
	return nil, nil
}

// work makes the job state the rows: by following the one that lives, by reading what one
// has left, or by starting one. Once in a run the generations that turn out to be
// hopeless are left for the next ones.
func (f *follower) work(ctx context.Context) (runfolder.Result, error) {
	folder, err := f.l.folder(f.base.ID)
	if err != nil {
		return runfolder.Result{}, err
	}
	result, found, err := f.inherit(ctx, folder)
	if err != nil || found {
		return result, err
	}
	var leave map[string]int
	for {
		if result, err = f.execute(ctx, folder, leave); err != nil || leave != nil || f.reason() != byItself {
			return result, err
		}
		if leave = f.hopeless(ctx, result); len(leave) == 0 {
			return result, nil
		}
		f.l.cfg.Log.Info("generations are left for the next ones", "run", f.base.ID, "units", len(leave))
	}
}

// execute opens the generations and runs one job on them.
func (f *follower) execute(ctx context.Context, folder *runfolder.Folder, leave map[string]int) (runfolder.Result, error) {
	generations, err := f.openGenerations(ctx, leave)
	if err != nil {
		return runfolder.Result{}, err
	}
	if by, all := f.allLanded(); all {
		return f.alreadyLanded(by), nil
	}
	if err := folder.Clear(); err != nil {
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
	if f.reason() != byItself {
		return nil, context.Canceled
	}
	process, err := f.l.cfg.Runner.Start(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("start job: %w", err)
	}
	f.attach(process)
	return process, nil
}

// attach makes stop reach the process, also a stop that came before it.
func (f *follower) attach(process Process) {
	f.mu.Lock()
	f.process = process
	why := f.why
	f.mu.Unlock()
	if why != byItself {
		f.end(process, why)
	}
}

func (f *follower) spec(generations map[string]int) runfolder.Spec {
	return runfolder.Spec{
		RunID: f.base.ID, Attempt: f.base.Attempt, Epoch: f.base.Epoch,
		Org: f.base.Org, Env: f.l.cfg.Env, Project: f.l.cfg.Project, Dataset: Dataset(f.base.Org, f.l.cfg.Env), Location: f.l.cfg.Location,
		Pipeline: f.plan.Pipeline, Document: f.plan.Text, File: f.plan.File, Params: f.plan.Params, ProjectID: f.plan.ProjectID,
		AdminEmail: f.plan.AdminEmail, Tables: f.plan.Tables, Providers: f.plan.Providers,
		StartDate: f.plan.Start, EndDate: f.plan.End, Now: f.base.Start, Deadline: f.l.cfg.Now().Add(f.plan.Timeout),
		Runner: f.engine, Trace: f.base.Request.Trace, Generations: generations,
	}
}

// inherit goes on with what a launcher that is gone has left in the folder of this run:
// a job that lives, or the result of one.
func (f *follower) inherit(ctx context.Context, folder *runfolder.Folder) (runfolder.Result, bool, error) {
	spec, err := f.inherited(folder)
	if err != nil || spec.RunID != f.base.ID || spec.Attempt != f.base.Attempt {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.l.cfg.Log.Warn("read the spec of an earlier job", "run", f.base.ID, "error", err)
		}
		return runfolder.Result{}, false, nil
	}
	f.mu.Lock()
	for unit, g := range spec.Generations {
		f.opened[unit] = opened{generation: g}
	}
	f.mu.Unlock()
	if adopter, ok := f.l.cfg.Runner.(Adopter); ok {
		process, lives, err := adopter.Adopt(ctx, folder)
		if err != nil {
			return runfolder.Result{}, false, fmt.Errorf("adopt job: %w", err)
		}
		if lives {
			f.l.cfg.Log.Info("job adopted", "run", f.base.ID, "org", f.base.Org)
			f.attach(process)
			f.recordOr(ctx, "record running", kindRun, "", Running, runPayload{})
			f.tail(folder, process, spec.Deadline)
			result, err := f.outcome(folder, spec.Deadline)
			return result, true, err
		}
	}
	result, err := folder.ReadResult()
	if err != nil || result.State != runfolder.Completed && result.State != runfolder.Failed && result.State != runfolder.Timeout {
		return runfolder.Result{}, false, nil // it left nothing: its work is resumed from staging
	}
	f.drain(folder, 0)
	result, err = f.outcome(folder, spec.Deadline)
	return result, true, err
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
	case f.reason() != byItself:
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
