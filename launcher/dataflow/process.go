package dataflow

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	typeStreaming = "JOB_TYPE_STREAMING"
	stopTimeout   = 30 * time.Second
)

// process is a followed job.
type process struct {
	runner *Runner
	folder *runfolder.Folder
	remote *gcsfolder.Folder
	spec   runfolder.Spec
	id     identity
	done   chan struct{}

	mu       sync.Mutex
	jobID    string
	jobType  string
	state    string
	started  bool
	stopping bool
	err      error
	told     map[string]bool                 // steps whose end is an event
	counts   map[string]runfolder.StepCounts // of the last progress event
}

var _ launcher.Process = (*process)(nil)

// process makes the process of a job that is ours.
func (r *Runner) process(folder *runfolder.Folder, spec runfolder.Spec, j *df.Job) (*process, error) {
	remote, err := r.folder(spec, j.Labels[labelFolder])
	if err != nil {
		return nil, err
	}
	p := &process{
		runner: r, folder: folder, remote: remote, spec: spec, id: identityOf(spec), done: make(chan struct{}), jobID: j.Id, jobType: j.Type,
		told: map[string]bool{}, counts: map[string]runfolder.StepCounts{},
	}
	events, _, err := folder.Events(0) // of an earlier launcher
	if err != nil {
		r.log.Warn("read earlier events of a job", "run", spec.RunID, "error", err)
	}
	for _, e := range events {
		p.started = p.started || e.Kind == runfolder.KindStarted
		if e.Kind == runfolder.KindStep {
			p.told[e.Step] = true
		}
	}
	return p, nil
}

// follow follows a job until it ends.
func (r *Runner) follow(folder *runfolder.Folder, spec runfolder.Spec, j *df.Job) (launcher.Process, error) {
	p, err := r.process(folder, spec, j)
	if err != nil {
		return nil, err
	}
	r.log.Info("following a Dataflow job", "run", spec.RunID, "job", j.Id, "name", j.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return nil, errors.New("the Dataflow runner is closed")
	}
	r.followed[p] = true
	r.turn = append(r.turn, p)
	r.hurry()
	return p, nil
}

// Wait implements launcher.Process: nil once the result is in the folder.
func (p *process) Wait() error {
	<-p.done
	return p.err
}

// Stop implements launcher.Process: it cancels the job, or drains it if it is a streaming
// one, and tries again until the service has heard it or the job has ended.
func (p *process) Stop() {
	p.mu.Lock()
	first := !p.stopping
	p.stopping = true
	p.mu.Unlock()
	if first {
		p.runner.wg.Go(p.stop)
	}
}

// IsRemote implements launcher.Remote.
func (r *Runner) IsRemote(string) bool { return true }

// Detach implements launcher.Remote: the job goes on, and Adopt finds it again.
func (r *Runner) Detach(p launcher.Process) {
	if one, ok := p.(*process); ok && r.forget(one) {
		one.leave(errLeft)
	}
}

var errLeft = errors.New("the launcher stopped following the job, which goes on")

func (p *process) stop() {
	for pause := range p.runner.pauses() {
		err := p.request(p.runner.ctx)
		if err == nil {
			p.runner.hurry()
			return
		}
		p.runner.log.Warn("stop a Dataflow job", "job", p.job(), "run", p.spec.RunID, "error", err)
		select {
		case <-p.done:
			return
		case <-p.runner.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// request asks the service to end the job. A job that has ended already is no error.
func (p *process) request(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	p.mu.Lock()
	want, id := stateCancelled, p.jobID
	if p.jobType == typeStreaming {
		want = stateDrained
	}
	p.mu.Unlock()
	r := p.runner
	_, err := r.cfg.Dataflow.Projects.Locations.Jobs.Update(r.cfg.Project, r.cfg.Region, id, &df.Job{RequestedState: want}).Context(ctx).Do()
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Code == http.StatusBadRequest {
		j, lookErr := r.cfg.Dataflow.Projects.Locations.Jobs.Get(r.cfg.Project, r.cfg.Region, id).Context(ctx).Do()
		if lookErr == nil && terminal(j.CurrentState) {
			return nil
		}
	}
	return err
}

func (p *process) job() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.jobID
}

// saw notes what the service says of the job; the first sight of a running one is an
// event.
func (p *process) saw(j *df.Job) {
	p.mu.Lock()
	changed := p.state != j.CurrentState
	p.state, p.jobType = j.CurrentState, j.Type
	start := j.CurrentState == stateRunning && !p.started
	p.started = p.started || start
	p.mu.Unlock()
	if changed {
		p.runner.log.Info("Dataflow job", "job", j.Id, "run", p.spec.RunID, "state", j.CurrentState)
	}
	if start {
		p.event(runfolder.Event{Kind: runfolder.KindStarted})
	}
}

// replaced follows the job that an update put in the place of this one.
func (p *process) replaced(by string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobID = by
}

func (p *process) leave(err error) {
	p.err = err
	_ = p.folder.Close()
	close(p.done)
}

// progress tells what has changed: ends of steps, and counts of those that go on.
func (p *process) progress(ctx context.Context) {
	p.mu.Lock()
	running := p.started
	p.mu.Unlock()
	if !running {
		return
	}
	steps, err := p.remote.ReadSteps(ctx)
	if err != nil {
		p.runner.log.Warn("read outcomes of steps", "run", p.spec.RunID, "error", err)
		return
	}
	p.tell(steps)
	counts, err := p.runner.metrics(ctx, p.job())
	if err != nil {
		p.runner.log.Warn("read metrics", "job", p.job(), "run", p.spec.RunID, "error", err)
		return
	}
	for _, step := range counts.steps() {
		c := counts.seen(step)
		if p.told[step] || p.counts[step] == c {
			continue
		}
		p.counts[step] = c
		p.event(runfolder.Event{Kind: runfolder.KindProgress, Step: step, StepCounts: c})
	}
}

// tell makes events of outcomes that are none yet.
func (p *process) tell(steps []runfolder.StepResult) {
	for _, s := range steps {
		if !p.told[s.Step] {
			p.told[s.Step] = true
			p.event(runfolder.Event{Kind: runfolder.KindStep, Step: s.Step, Result: &s})
		}
	}
}

func (p *process) event(e runfolder.Event) {
	e.Time = time.Now().UTC()
	if err := p.folder.Append(e); err != nil {
		p.runner.log.Warn("record progress", "run", p.spec.RunID, "error", err)
	}
}
