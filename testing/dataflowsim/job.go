package dataflowsim

import (
	"context"
	"fmt"
	"slices"
	"time"

	df "google.golang.org/api/dataflow/v1b3"
)

// States of jobs that the simulator uses.
const (
	Queued     = "JOB_STATE_QUEUED"
	Pending    = "JOB_STATE_PENDING"
	Running    = "JOB_STATE_RUNNING"
	Done       = "JOB_STATE_DONE"
	Failed     = "JOB_STATE_FAILED"
	Cancelling = "JOB_STATE_CANCELLING"
	Cancelled  = "JOB_STATE_CANCELLED"
	Draining   = "JOB_STATE_DRAINING"
	Drained    = "JOB_STATE_DRAINED"
	Updated    = "JOB_STATE_UPDATED"
)

var terminal = []string{Done, Failed, Cancelled, Drained, Updated}

// job is a job of the service; the simulator's mutex guards it.
type job struct {
	view     df.Job
	project  string
	messages []*df.JobMessage
	metrics  []*df.MetricUpdate
	hidden   int               // lists that do not show it yet
	late     map[string]string // labels that do not show yet
	looks    int               // until they show
	pool     *pool             // nil before it runs
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

func (j *job) active() bool { return !slices.Contains(terminal, j.view.CurrentState) }

// add makes a job; s.mu is held.
func (s *Sim) add(project, location, name, state string, labels map[string]string) *job {
	at := time.Now().UTC()
	j := &job{project: project, hidden: s.faults.ListLag, view: df.Job{
		Id:   fmt.Sprintf("%s-%d", at.Format("2006-01-02_15_04_05"), len(s.jobs)+1),
		Name: name, ProjectId: project, Location: location, Type: "JOB_TYPE_BATCH", Labels: labels,
		CurrentState: state, CreateTime: now(), CurrentStateTime: now(),
	}}
	j.ctx, j.cancel = context.WithCancelCause(s.ctx)
	s.jobs = append(s.jobs, j)
	return j
}

// Plant makes a job that nobody launched, in a state, and returns its id.
func (s *Sim) Plant(project, location, name, state string, labels map[string]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(project, location, name, state, labels).view.Id
}

// SetState moves a job as an operator or the service would, without a word to its workers.
func (s *Sim) SetState(id, state string) {
	s.Change(id, func(j *df.Job) { j.CurrentState, j.CurrentStateTime = state, now() })
}

// Change edits what the service says of a job.
func (s *Sim) Change(id string, edit func(*df.Job)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.find(id); j != nil {
		edit(&j.view)
	}
}

// Say adds a message to a job.
func (s *Sim) Say(id, importance, text string) {
	s.mu.Lock()
	j := s.find(id)
	s.mu.Unlock()
	if j != nil {
		s.say(j, importance, text)
	}
}

// Measure replaces the metrics of a job.
func (s *Sim) Measure(id string, metrics ...*df.MetricUpdate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.find(id); j != nil {
		j.metrics = metrics
	}
}

// Jobs are all jobs, oldest first.
func (s *Sim) Jobs() []df.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []df.Job
	for _, j := range s.jobs {
		out = append(out, j.view)
	}
	return out
}

// Waiting says in which state the jobs are that have not ended, and what they wait for.
func (s *Sim) Waiting() string {
	s.mu.Lock()
	pools, out := map[string]*pool{}, ""
	for _, j := range s.jobs {
		if j.active() {
			pools[j.view.Id] = j.pool
			out += fmt.Sprintf("%s: %s\n", j.view.Id, j.view.CurrentState)
		}
	}
	s.mu.Unlock()
	for id, p := range pools {
		if p != nil {
			out += id + ": " + p.waiting() + "\n"
		}
	}
	return out
}

// Repeated is how many executions of bundles succeeded though another one had.
func (s *Sim) Repeated() int {
	s.mu.Lock()
	jobs := slices.Clone(s.jobs)
	s.mu.Unlock()
	sum := 0
	for _, j := range jobs {
		if j.pool != nil {
			sum += j.pool.repeated()
		}
	}
	return sum
}

func (s *Sim) find(id string) *job {
	for _, j := range s.jobs {
		if j.view.Id == id {
			return j
		}
	}
	return nil
}

func (s *Sim) activeNamed(project, location, name string) *job {
	for _, j := range s.jobs {
		if j.active() && j.project == project && j.view.Location == location && j.view.Name == name {
			return j
		}
	}
	return nil
}

// move changes the state of a job unless it has ended; false: it has.
func (s *Sim) move(j *job, state string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !j.active() {
		return false
	}
	j.view.CurrentState, j.view.CurrentStateTime = state, now()
	return true
}

func (s *Sim) say(j *job, importance, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.messages = append(j.messages, &df.JobMessage{
		Id: fmt.Sprintf("msg-%d", len(j.messages)+1), Time: now(), MessageText: text, MessageImportance: importance,
	})
}

// enter takes a job into a state, holds it there, and fails it if the faults say so.
func (s *Sim) enter(j *job, state string) error {
	if !s.move(j, state) {
		return context.Canceled
	}
	s.mu.Lock()
	f, releasing := s.faults, s.releasing
	s.mu.Unlock()
	if f.HoldIn == state {
		select {
		case <-releasing:
		case <-j.ctx.Done():
			return context.Cause(j.ctx)
		}
	}
	if f.FailIn == state && state != Running { // a running job fails while its bundles run
		return fmt.Errorf("%s", f.FailText)
	}
	return nil
}

// finish ends a job by how its work ended.
func (s *Sim) finish(j *job, err error) {
	s.mu.Lock()
	state := j.view.CurrentState
	s.mu.Unlock()
	switch {
	case state == Cancelling:
		s.move(j, Cancelled)
	case state == Draining:
		s.move(j, Drained)
	case err != nil:
		s.say(j, "JOB_MESSAGE_ERROR", err.Error())
		s.move(j, Failed)
	default:
		s.move(j, Done)
	}
	j.cancel(context.Canceled)
}
