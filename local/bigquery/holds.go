package bigquery

import (
	"context"
	"sync"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// hold keeps a job from beginning until it was looked at often enough.
type hold struct {
	mu      sync.Mutex
	left    int // looks; negative for ever
	ended   bool
	release chan struct{}
}

// newHold holds a job back as the fault asks; nil when it does not.
func (f *Fault) newHold(run *jobRun) *hold {
	if f == nil || f.State == "" {
		return nil
	}
	run.shown.Status.State = f.State
	if f.State == statePending {
		run.shown.Statistics.StartTime = ""
	}
	return &hold{left: f.Polls, release: make(chan struct{})}
}

// over counts a look at the job and reports whether the job may be seen to
// end; false without a hold.
func (h *hold) over() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left > 0 {
		h.left--
		return false
	}
	if h.left == 0 && !h.ended {
		h.ended = true
		close(h.release)
	}
	return h.ended
}

func (h *hold) wait(ctx context.Context) {
	select {
	case <-h.release:
	case <-ctx.Done():
	}
}

// visible is the job as its submission is answered.
func (run *jobRun) visible() *wire.Job {
	if run.hold != nil {
		return run.copyShown()
	}
	return run.job
}

func (run *jobRun) copyShown() *wire.Job {
	shown := *run.shown
	return &shown
}

// findRequest returns the running job that a request id made.
func (j *runningJobs) findRequest(project, requestID string) *jobRun {
	j.mu.Lock()
	defer j.mu.Unlock()
	for ref, run := range j.runs {
		if ref.ProjectID == project && run.requestID == requestID {
			return run
		}
	}
	return nil
}
