package launcher

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	projectEvery  = 5 * time.Second
	recordTimeout = 30 * time.Second
)

// Launcher launches runs and follows them. Make one with New, end it with Close.
type Launcher struct {
	cfg Config

	ctx    context.Context // of followers; cancelled by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	active map[string]*follower // by run id

	projecting sync.Mutex     // one projection at a time, so that an older one never comes last
	unwritten  map[string]Run // ended runs whose projection failed, by run id; guarded by mu
}

// New returns a launcher and starts its projector.
func New(cfg Config) *Launcher {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Launcher{cfg: cfg, ctx: ctx, cancel: cancel, active: map[string]*follower{}, unwritten: map[string]Run{}}
	l.wg.Go(l.projectLoop)
	return l
}

// Close stops the jobs that this launcher follows, waits until they have left their
// results and those are recorded, and ends the projector. Launch is refused from then on.
func (l *Launcher) Close() {
	l.mu.Lock()
	l.closed = true
	for _, f := range l.active {
		f.stop()
	}
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
	l.project()
}

// Launch plans the request and starts it. The answer is the recorded run; existing says
// that it is an active run equal in pipeline, interval and parameters, and that nothing
// was started. When Launch returns without an error the run's PENDING event is durable.
func (l *Launcher) Launch(ctx context.Context, r Request) (run Run, existing bool, err error) {
	now := l.cfg.Now().UTC()
	runID := uuid.NewString()
	plan, err := l.cfg.Planner.Plan(ctx, r, runID, now)
	if err != nil {
		return Run{}, false, err
	}
	run = Run{
		ID: runID, Org: r.Org, PipelineID: trackingID(r, plan), Attempt: 1, Epoch: 1, State: Pending,
		Trigger: r.Trigger, TriggerBy: r.TriggerBy, KeyID: r.KeyID, UserID: r.UserID,
		Start: now, RunDate: plan.Start, Params: plan.Params,
	}
	f := newFollower(l, run, plan, r.Runner)
	other, err := l.admit(ctx, f)
	if err != nil {
		return Run{}, false, err
	}
	if other != nil {
		return other.snapshot(), true, nil
	}
	if err := f.recordPending(ctx); err != nil {
		l.forget(f)
		return Run{}, false, &Error{Code: CodeUnavailable, Message: "the run could not be recorded, so it was not started; try again", Err: err}
	}
	go func() {
		defer l.forget(f)
		f.run(l.ctx)
	}()
	return f.snapshot(), false, nil
}

// admit registers the follower unless an equal run is active, which it returns once that
// run is durable: nobody is told of a run that never was.
func (l *Launcher) admit(ctx context.Context, f *follower) (*follower, error) {
	for {
		other, err := l.register(f)
		if other == nil || err != nil {
			return nil, err
		}
		select {
		case <-other.recorded:
			select {
			case <-other.done: // it has just ended
			default:
				return other, nil
			}
		case <-other.done: // it could not be recorded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *Launcher) register(f *follower) (*follower, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, &Error{Code: CodeUnavailable, Message: "the service is shutting down"}
	}
	for _, other := range l.active {
		if other.equal(f) && !other.snapshot().State.Terminal() {
			return other, nil
		}
	}
	l.active[f.base.ID] = f
	l.wg.Add(1) // until it is forgotten
	return nil, nil
}

func (l *Launcher) forget(f *follower) {
	run, changed := f.takeChanged()
	l.mu.Lock()
	delete(l.active, f.base.ID)
	if changed && run.State.Terminal() {
		l.unwritten[run.ID] = run
	}
	l.mu.Unlock()
	close(f.done)
	l.wg.Done()
}

// Run answers from events, so it is never behind; progress of a run that this launcher
// follows is added from memory.
func (l *Launcher) Run(ctx context.Context, org, id string) (Run, error) {
	events, err := l.cfg.Store.Events(ctx, org, id)
	if err != nil {
		return Run{}, fmt.Errorf("read events of run %s: %w", id, err)
	}
	run, found, err := Reduce(events)
	if err != nil {
		return Run{}, err
	}
	if !found {
		return Run{}, &Error{Code: CodeRunNotFound, Message: fmt.Sprintf("Pipeline run %s not found for org %s", id, org)}
	}
	l.mu.Lock()
	f := l.active[id]
	l.mu.Unlock()
	if f != nil && !run.State.Terminal() {
		f.overlay(&run)
	}
	return run, nil
}

// List returns runs of one org, newest first.
func (l *Launcher) List(ctx context.Context, org string, filter Filter) ([]Run, error) {
	return l.cfg.Store.List(ctx, org, filter)
}

// Wait blocks until the run has ended or ctx is done, and returns the run.
func (l *Launcher) Wait(ctx context.Context, org, id string) (Run, error) {
	l.mu.Lock()
	f := l.active[id]
	l.mu.Unlock()
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return Run{}, ctx.Err()
		}
	}
	return l.Run(ctx, org, id)
}

// Cancel asks the job of a run to stop; it reports whether this launcher follows it.
func (l *Launcher) Cancel(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.active[id]
	if f != nil {
		f.stop()
	}
	return f != nil
}

func (l *Launcher) projectLoop() {
	ticker := time.NewTicker(projectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-ticker.C:
			l.project()
		}
	}
}

// project writes the runs that changed since the last time. What cannot be written is
// kept for the next time.
func (l *Launcher) project() {
	l.projecting.Lock()
	defer l.projecting.Unlock()
	l.mu.Lock()
	runs := slices.Collect(maps.Values(l.unwritten))
	clear(l.unwritten)
	var followers []*follower
	for _, f := range l.active {
		if run, ok := f.takeChanged(); ok {
			runs, followers = append(runs, run), append(followers, f)
		}
	}
	l.mu.Unlock()
	if len(runs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	err := l.cfg.Store.Project(ctx, runs...)
	if err == nil {
		return
	}
	l.cfg.Log.Warn("project runs", "runs", len(runs), "error", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, run := range runs {
		if run.State.Terminal() {
			l.unwritten[run.ID] = run
		}
	}
	for _, f := range followers {
		f.markChanged()
	}
}

func (l *Launcher) folder(runID string) (*runfolder.Folder, error) {
	return runfolder.Open(filepath.Join(l.cfg.Dir, "runs", runID))
}

// trackingID is the identity that the predecessor gave a pipeline of an org.
func trackingID(r Request, p *Plan) string {
	parts := []string{r.Org}
	if r.Document != nil {
		name := filepath.Base(p.Pipeline)
		return r.Org + "-" + strings.TrimSuffix(name, filepath.Ext(name))
	}
	for _, s := range []string{r.Provider, r.Domain, r.Template} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "-")
}

func (f *follower) equal(o *follower) bool {
	return f.base.Org == o.base.Org && f.base.PipelineID == o.base.PipelineID &&
		f.plan.Start == o.plan.Start && f.plan.End == o.plan.End && maps.Equal(f.plan.Params, o.plan.Params)
}
