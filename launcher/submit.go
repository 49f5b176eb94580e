package launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
)

const (
	firstPause = 100 * time.Millisecond // before the store is asked again
	recentFor  = 2 * time.Minute        // longer than a store takes to show what was appended
)

// submitted is a run that was recorded a moment ago.
type submitted struct {
	id string
	at time.Time
}

// Submit plans the request, asks Admission, and records the run as PENDING; it starts
// nothing. existing says that the answer is an active run equal in pipeline, interval and
// parameters, or the run whose id the request names: nothing was recorded or reserved.
// When Submit returns without an error the run's PENDING event is durable.
func (l *Launcher) Submit(ctx context.Context, r Request) (run Run, existing bool, err error) {
	if l.isClosed() {
		return Run{}, false, errClosing
	}
	now := l.cfg.Now().UTC()
	id := cmp.Or(r.RunID, uuid.NewString())
	plan, err := l.cfg.Planner.Plan(ctx, r, id, now)
	if err != nil {
		return Run{}, false, err
	}
	if r.Origin == "" {
		r.Origin = id
	}
	if r.Trace = ""; l.cfg.Trace != nil {
		r.Trace = l.cfg.Trace(ctx)
	}
	run = Run{
		ID: id, Org: r.Org, PipelineID: trackingID(r, plan), Attempt: 1, Epoch: 1, State: Pending,
		Trigger: r.Trigger, TriggerBy: r.TriggerBy, KeyID: r.KeyID, UserID: r.UserID, Priority: r.Priority,
		Start: now, RunDate: plan.Start, RunEnd: plan.End, Params: plan.Params, RetryOf: r.RetryOf,
		Request: r, Submitter: l.keeper.Owner(),
	}
	for _, key := range []string{"id/" + run.Org + "/" + run.ID, equalKey(run)} {
		unlock, err := l.gates.enter(ctx, key)
		if err != nil {
			return Run{}, false, err
		}
		defer unlock()
	}
	if known, found, err := l.known(ctx, run, r.RunID != ""); found || err != nil {
		return known, found, err
	}
	if once, found, err := l.ranOnce(ctx, run, plan); found || err != nil {
		return once, found, err
	}
	if err := l.refuseForced(ctx, r, plan); err != nil {
		return Run{}, false, err
	}
	if err := l.admit(ctx, run, plan); err != nil {
		return run, false, err
	}
	if other, found, err := l.elsewhere(ctx, run); found || err != nil {
		l.unadmit(ctx, run)
		return other, found, err
	}
	return run, false, l.record(ctx, run, plan)
}

// admit reserves what the run uses.
func (l *Launcher) admit(ctx context.Context, run Run, plan *Plan) error {
	if l.cfg.Admission == nil {
		return nil
	}
	return l.cfg.Admission.Admit(ctx, run, plan)
}

// unadmit gives back what a run has reserved that was not recorded.
func (l *Launcher) unadmit(ctx context.Context, run Run) {
	if l.cfg.Admission == nil {
		return
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := l.cfg.Admission.Release(rctx, run); err != nil {
		l.cfg.Log.Error("give back what a run reserved that was not recorded", "run", run.ID, "org", run.Org, "error", err)
	}
}

// known returns the run that stands for the one to be recorded, if there is one.
func (l *Launcher) known(ctx context.Context, run Run, named bool) (Run, bool, error) {
	if named {
		known, err := l.Run(ctx, run.Org, run.ID)
		var coded *Error
		if !errors.As(err, &coded) || coded.Code != CodeRunNotFound {
			return known, err == nil, err
		}
	}
	l.mu.Lock()
	maps.DeleteFunc(l.recent, func(_ string, s submitted) bool { return time.Since(s.at) > recentFor })
	before, found := l.recent[equalKey(run)]
	l.mu.Unlock()
	if found {
		known, err := l.Run(ctx, run.Org, before.id)
		if err == nil && !known.State.Terminal() && !known.Cancelling {
			return known, true, nil
		}
	}
	active, err := l.cfg.Store.Active(ctx, run.Org, l.cfg.Now())
	if err != nil {
		return Run{}, false, &Error{Code: CodeUnavailable, Message: "the runs that are active could not be read, so nothing was started; try again", Err: err}
	}
	for _, other := range active {
		if other.ID != run.ID && !other.State.Terminal() && !other.Cancelling && equalKey(other) == equalKey(run) {
			return other, true, nil
		}
	}
	return Run{}, false, nil
}

// record makes the run's PENDING event durable. Appending again is harmless, so that
// an answer that was lost is no reason to forget a run that others can already see.
func (l *Launcher) record(ctx context.Context, run Run, plan *Plan) error {
	l.beat()
	e, err := newEvent(run, kindRun, "", Pending, 0, runPayload{
		PipelineID: run.PipelineID, Trigger: run.Trigger, TriggerBy: run.TriggerBy, KeyID: run.KeyID, UserID: run.UserID,
		RunDate: run.RunDate, RunEnd: run.RunEnd, Params: run.Params, Steps: plan.Steps, Hooks: plan.Hooks, Request: &run.Request, Submitter: run.Submitter,
	}, run.Start)
	if err == nil {
		err = l.appendSurely(ctx, e)
	}
	if err == nil {
		l.mu.Lock()
		l.recent[equalKey(run)] = submitted{run.ID, time.Now()}
		l.mu.Unlock()
		return nil
	}
	l.unadmit(ctx, run)
	return &Error{Code: CodeUnavailable, Message: "the run could not be recorded, so it was not started; try again", Err: err}
}

// appendSurely tries again for a while when the store does not answer.
func (l *Launcher) appendSurely(ctx context.Context, events ...Event) error {
	return appendSurely(ctx, l.cfg.Store, events...)
}

func appendSurely(ctx context.Context, store Store, events ...Event) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = firstPause
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, store.Append(ctx, events...)
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(pendingPatience))
	return err
}

// refuseForced refuses to state again what is added once.
func (l *Launcher) refuseForced(ctx context.Context, r Request, plan *Plan) error {
	if r.Params["force_refresh"] != "true" {
		return nil
	}
	var once []Unit
	for _, u := range plan.Units {
		if u.Once {
			once = append(once, u)
		}
	}
	landed, err := l.landedUnits(ctx, r.Org, once, func(Unit, holder) bool { return true })
	if err != nil {
		return &Error{Code: CodeUnavailable, Message: "what has landed could not be read, so nothing was started; try again", Err: err}
	}
	for _, u := range once {
		if by, ok := landed[u.ID]; ok {
			return &Error{Code: CodeAlreadyLanded, Message: fmt.Sprintf(
				"step %s already landed %s by run %s; append without key_fields adds a slice once, so force_refresh is refused", u.Step, u.Slice, by)}
		}
	}
	return nil
}

// Retry asks for the work of a run that has ended without completing once more, as a new
// run that resumes what the old one staged.
func (l *Launcher) Retry(ctx context.Context, org, id, by string) (Run, bool, error) {
	old, err := l.read(ctx, org, id)
	if err != nil {
		return Run{}, false, err
	}
	switch {
	case !old.State.Terminal():
		return Run{}, false, &Error{Code: CodeRunNotEnded, Message: fmt.Sprintf("run %s is %s; only a run that has ended can be retried", id, old.State)}
	case old.State == Completed:
		return Run{}, false, &Error{Code: CodeRunCompleted, Message: fmt.Sprintf("run %s has completed; start its pipeline again to state its rows anew", id)}
	}
	r := old.Request
	r.RunID, r.RetryOf, r.TriggerBy = "", id, cmp.Or(by, r.TriggerBy)
	// The days are those of the old run, whatever day it is now.
	r.Start, r.End = old.RunDate, old.RunEnd
	r.Params = maps.Clone(r.Params)
	for _, name := range []string{"date", "start_date", "end_date"} {
		delete(r.Params, name)
	}
	return l.Submit(ctx, r)
}

// equalKey is the same for runs that ask for the same.
func equalKey(r Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "equal/%q/%q/%s/%s", r.Org, r.PipelineID, r.RunDate, r.RunEnd)
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		fmt.Fprintf(&b, "/%q=%q", name, r.Params[name])
	}
	return b.String()
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

// gates let one caller at a time pass for each key.
type gates struct {
	mu   sync.Mutex
	busy map[string]chan struct{}
}

// enter waits for its turn; call the function that it returns to leave.
func (g *gates) enter(ctx context.Context, key string) (leave func(), err error) {
	for {
		g.mu.Lock()
		if g.busy == nil {
			g.busy = map[string]chan struct{}{}
		}
		other, taken := g.busy[key]
		if !taken {
			done := make(chan struct{})
			g.busy[key] = done
			g.mu.Unlock()
			return func() {
				g.mu.Lock()
				delete(g.busy, key)
				g.mu.Unlock()
				close(done)
			}, nil
		}
		g.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
