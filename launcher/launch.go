package launcher

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	recordTimeout   = 30 * time.Second
	pendingPatience = 5 * time.Second

	startTries = 3  // of a command, while the store or the register do not answer
	maxSlower  = 30 // times the poll interval, between the tries of a service
)

// Launcher launches runs and follows them. Make one with New, end it with Close. It is
// safe for concurrent use.
type Launcher struct {
	cfg    Config
	keeper *claim.Keeper

	ctx    context.Context // of followers; cancelled by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // followers and drivers
	loops  sync.WaitGroup // projector and heartbeat

	mu      sync.Mutex
	closed  bool
	active  map[string]*follower // runs that this launcher works on, by id
	driven  map[string]*driver   // runs that it starts by itself, by id
	recent  map[string]submitted // by what makes runs equal
	told    map[string]bool      // runs whose end this process has told
	beating bool

	gates     gates
	projector projector
}

// New returns a launcher and starts its projector.
func New(cfg Config) *Launcher {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	l := &Launcher{
		cfg: cfg, ctx: ctx, cancel: cancel, active: map[string]*follower{}, driven: map[string]*driver{},
		recent: map[string]submitted{}, told: map[string]bool{},
		keeper: claim.New(claim.Config{Register: cfg.Register, Log: cfg.Store, Owner: cfg.Owner}),
	}
	l.projector = newProjector(cfg)
	l.loops.Go(func() { l.projector.loop(ctx) })
	return l
}

// Close stops the jobs that this launcher follows, waits until they have left their
// results and those are recorded, and ends the projector. A service leaves its runs
// PENDING for the next one; staging is kept either way. Everything is refused from then
// on. It is safe to call twice.
func (l *Launcher) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	for _, f := range l.active {
		f.interrupt()
	}
	l.mu.Unlock()
	if first {
		l.cancel()
	}
	l.wg.Wait()
	l.loops.Wait()
	l.projector.flush()
}

func (l *Launcher) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

var errClosing = &Error{Code: CodeUnavailable, Message: "the service is shutting down"}

// Launch is Submit and Start: it starts the run in the background, waits while another
// run holds its slices, and makes its further attempts. The answer is the recorded run;
// existing says that it is an active run equal in pipeline, interval and parameters, and
// that nothing was started. When Launch returns without an error the run's PENDING event
// is durable. See Wait for its end.
func (l *Launcher) Launch(ctx context.Context, r Request) (run Run, existing bool, err error) {
	if r.Trigger == TriggerCLI {
		if err := l.buryEqual(ctx, r); err != nil {
			return Run{}, false, err
		}
	}
	run, existing, err = l.Submit(ctx, r)
	if err != nil || existing {
		return run, existing, err
	}
	if !l.drive(run.Org, run.ID) {
		return Run{}, false, errClosing
	}
	return run, false, nil
}

// driver starts one run again and again until it has ended.
type driver struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// drive reports whether it has begun to start the run, or somebody here already does.
func (l *Launcher) drive(org, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.driven[id] != nil {
		return true
	}
	ctx, cancel := context.WithCancel(l.ctx)
	d := &driver{cancel: cancel, done: make(chan struct{})}
	l.driven[id] = d
	l.wg.Go(func() {
		defer close(d.done)
		defer cancel()
		l.driveLoop(ctx, org, id)
		l.mu.Lock()
		delete(l.driven, id)
		l.mu.Unlock()
	})
	return true
}

func (l *Launcher) driveLoop(ctx context.Context, org, id string) {
	for failures := 0; ; {
		err := l.Start(ctx, org, id)
		if ctx.Err() != nil {
			l.abandon(org, id)
			return
		}
		pause, changed := l.cfg.Poll, (<-chan struct{})(nil)
		var waiting *Waiting
		var later *Later
		var elsewhere *Elsewhere
		var coded *Error
		switch {
		case err == nil:
			return
		case errors.As(err, &waiting):
			changed = waiting.Changed
		case errors.As(err, &later):
			pause = later.At.Sub(l.cfg.Now())
		case errors.As(err, &elsewhere):
		case errors.As(err, &coded) && coded.Code == CodeRunNotFound: // the store does not show it yet
		default:
			l.cfg.Log.Warn("start run", "run", id, "org", org, "error", err)
			if failures++; failures == startTries && !l.cfg.Service {
				l.giveUp(ctx, org, id)
				return
			}
			pause *= time.Duration(min(failures, maxSlower))
		}
		sleep(ctx, max(pause, 0), changed)
	}
}

// sleep returns after d, when wake is closed, or when ctx ends.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// Run answers from events, so it is never behind; progress of a run that this launcher
// follows is added from memory.
func (l *Launcher) Run(ctx context.Context, org, id string) (Run, error) {
	run, err := l.read(ctx, org, id)
	if err != nil {
		return Run{}, err
	}
	if f := l.follower(id); f != nil && !run.State.Terminal() {
		f.overlay(&run)
	}
	return run, nil
}

func (l *Launcher) read(ctx context.Context, org, id string) (Run, error) {
	events, err := l.cfg.Store.Events(ctx, org, id)
	if err != nil {
		return Run{}, fmt.Errorf("read events of run %s: %w", id, err)
	}
	run, found, err := Reduce(events)
	if err != nil {
		return Run{}, err
	}
	if !found || run.Start.IsZero() {
		return Run{}, &Error{Code: CodeRunNotFound, Message: fmt.Sprintf("Pipeline run %s not found for org %s", id, org)}
	}
	return run, nil
}

func (l *Launcher) follower(id string) *follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active[id]
}

// List returns runs of one org, newest first.
func (l *Launcher) List(ctx context.Context, org string, filter Filter) ([]Run, error) {
	return l.cfg.Store.List(ctx, org, filter)
}

// Wait blocks until the run has ended or ctx is done, and returns the run. A run of a
// launcher that closed may not have ended. A run of a command whose process is gone ends
// as lost meanwhile: nobody else may be there to say so.
func (l *Launcher) Wait(ctx context.Context, org, id string) (Run, error) {
	for looked := time.Now(); ; {
		run, err := l.Run(ctx, org, id)
		if err != nil || run.State.Terminal() && l.idle(id) {
			return run, err
		}
		if l.isClosed() && l.idle(id) {
			return run, nil
		}
		if changed := l.changed(id); changed != nil { // it is worked on here: nothing to ask the store for
			select {
			case <-changed:
			case <-ctx.Done():
			}
		} else {
			sleep(ctx, l.cfg.Poll, nil)
			if run.Trigger == TriggerCLI && time.Since(looked) >= l.cfg.Heartbeat {
				if err := l.recoverRun(ctx, run); err != nil {
					l.cfg.Log.Warn("recover run", "run", id, "org", org, "error", err)
				}
				looked = time.Now()
			}
		}
		if ctx.Err() != nil {
			return Run{}, ctx.Err()
		}
	}
}

// idle reports whether nothing here works on the run any more.
func (l *Launcher) idle(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active[id] == nil && l.driven[id] == nil
}

// changed is closed when this launcher has done with the run; nil if it has nothing to do
// with it.
func (l *Launcher) changed(id string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.driven[id]; d != nil {
		return d.done
	}
	if f := l.active[id]; f != nil {
		return f.done
	}
	return nil
}

func (l *Launcher) folder(runID string) (*runfolder.Folder, error) {
	return runfolder.Open(filepath.Join(l.cfg.Dir, "runs", runID))
}
