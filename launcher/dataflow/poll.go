package dataflow

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/googleapi"
)

// States of a job that mean something to a launcher. Every other one, also one that this
// version does not know, means: keep polling.
const (
	stateRunning   = "JOB_STATE_RUNNING"
	stateDone      = "JOB_STATE_DONE"
	stateFailed    = "JOB_STATE_FAILED"
	stateCancelled = "JOB_STATE_CANCELLED"
	stateUpdated   = "JOB_STATE_UPDATED"
	stateDrained   = "JOB_STATE_DRAINED"
)

func terminal(state string) bool {
	switch state {
	case stateDone, stateFailed, stateCancelled, stateUpdated, stateDrained:
		return true
	}
	return false
}

const (
	activeJobs = "ACTIVE"
	pageSize   = 1000
	// progressPerPoll is how many jobs are asked for metrics and outcomes at one poll, in
	// turn: a launcher that follows a thousand must not ask a thousand times.
	progressPerPoll = 20
	soon            = 10 // a poll before its time comes after a tenth of the interval
)

// poll looks at all followed jobs until the runner is closed: with one list of what is
// active, and by name only at those that it does not show.
func (r *Runner) poll() {
	timer := time.NewTimer(r.cfg.Poll)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			r.abandon()
			return
		case <-r.wake:
			timer.Reset(r.cfg.Poll / soon)
			continue
		case <-timer.C:
		}
		r.look(r.ctx)
		timer.Reset(r.cfg.Poll)
	}
}

// abandon tells those who wait that nobody follows their jobs any more.
func (r *Runner) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.followed {
		p.leave(errLeft)
	}
	clear(r.followed)
}

func (r *Runner) look(ctx context.Context) {
	processes := r.following()
	if len(processes) == 0 {
		return
	}
	active := make(map[string]*df.Job, len(processes))
	call := r.cfg.Dataflow.Projects.Locations.Jobs.List(r.cfg.Project, r.cfg.Region).Filter(activeJobs).PageSize(pageSize).
		Fields("jobs(id,currentState,type)", "nextPageToken")
	err := call.Pages(ctx, func(page *df.ListJobsResponse) error {
		for _, j := range page.Jobs {
			active[j.Id] = j
		}
		return nil
	})
	if err != nil {
		r.log.Warn("list Dataflow jobs", "error", err)
		return
	}
	for _, p := range processes {
		j := active[p.job()]
		if j == nil || terminal(j.CurrentState) {
			r.lookAt(ctx, p)
			continue
		}
		p.saw(j)
	}
	for _, p := range r.nextTurn() {
		p.progress(ctx)
	}
}

// lookAt looks at a job that is not shown as active: it has ended, or lists are behind.
func (r *Runner) lookAt(ctx context.Context, p *process) {
	j, err := r.cfg.Dataflow.Projects.Locations.Jobs.Get(r.cfg.Project, r.cfg.Region, p.job()).Context(ctx).Do()
	var answer *googleapi.Error
	switch {
	case errors.As(err, &answer) && answer.Code == http.StatusNotFound:
		r.log.Error("a job has vanished", "job", p.job(), "run", p.spec.RunID)
		if !r.forget(p) {
			return
		}
		p.leave(errors.New("the Dataflow job is not known to the service any more"))
		return
	case err != nil:
		r.log.Warn("look at a Dataflow job", "job", p.job(), "error", err)
		return
	}
	p.saw(j)
	switch {
	case j.CurrentState == stateUpdated && j.ReplacedByJobId != "":
		p.replaced(j.ReplacedByJobId)
	case terminal(j.CurrentState):
		if err := p.finish(ctx, j); err != nil {
			r.log.Warn("leave the result of a job; it is tried again", "job", j.Id, "run", p.spec.RunID, "error", err)
			return
		}
		if r.forget(p) {
			p.leave(nil)
		}
	}
}

func (r *Runner) following() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*process, 0, len(r.followed))
	for p := range r.followed {
		out = append(out, p)
	}
	return out
}

// nextTurn returns whose progress is to be asked for: everybody comes up again.
func (r *Runner) nextTurn() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(progressPerPoll, len(r.turn))
	next := slices.Clone(r.turn[:n])
	r.turn = append(slices.Clone(r.turn[n:]), next...)
	return next
}

// forget reports whether the process was still followed; who forgets it tells those that
// wait for it.
func (r *Runner) forget(p *process) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.followed[p] {
		return false
	}
	delete(r.followed, p)
	r.turn = slices.DeleteFunc(r.turn, func(o *process) bool { return o == p })
	return true
}

// hurry asks for a poll before its time.
func (r *Runner) hurry() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
