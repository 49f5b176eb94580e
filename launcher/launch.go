package launcher

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
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
	active map[string]*follower // by run id
}

// New returns a launcher and starts its projector.
func New(cfg Config) *Launcher {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Launcher{cfg: cfg, ctx: ctx, cancel: cancel, active: map[string]*follower{}}
	l.wg.Go(l.projectLoop)
	return l
}

// Close stops the jobs that this launcher follows, waits until they have left their
// results and those are recorded, and ends the projector.
func (l *Launcher) Close() {
	l.mu.Lock()
	for _, f := range l.active {
		f.stop()
	}
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait()
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
	if other, found := l.admit(f); found {
		return other.snapshot(), true, nil
	}
	if err := f.recordPending(ctx); err != nil {
		l.forget(f)
		return Run{}, false, fmt.Errorf("record run: %w", err)
	}
	l.wg.Go(func() {
		defer l.forget(f)
		f.run(l.ctx)
	})
	return f.snapshot(), false, nil
}

// admit registers the follower unless an equal run is active.
func (l *Launcher) admit(f *follower) (*follower, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.active {
		if other.equal(f) {
			return other, true
		}
	}
	l.active[f.base.ID] = f
	return nil, false
}

func (l *Launcher) forget(f *follower) {
	l.mu.Lock()
	delete(l.active, f.base.ID)
	l.mu.Unlock()
	close(f.done)
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

// project writes the runs that changed since the last time; terminal runs are projected
// by their follower.
func (l *Launcher) project() {
	var changed []Run
	l.mu.Lock()
	for _, f := range l.active {
		if run, ok := f.takeChanged(); ok {
			changed = append(changed, run)
		}
	}
	l.mu.Unlock()
	if len(changed) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	if err := l.cfg.Store.Project(ctx, changed...); err != nil {
		l.cfg.Log.Warn("project runs", "runs", len(changed), "error", err)
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
