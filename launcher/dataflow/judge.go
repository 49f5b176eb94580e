package dataflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	df "google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	errorMessages = "JOB_MESSAGE_ERROR"
	mostMessages  = 3
	longestText   = 2000
)

// finish leaves the result of a job that has ended, as a child process would.
func (p *process) finish(ctx context.Context, j *df.Job) error {
	steps, err := p.remote.ReadSteps(ctx)
	if err != nil {
		return err
	}
	plan, err := p.remote.ReadPlan(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	totals, err := p.runner.metrics(ctx, j.Id)
	if err != nil {
		// They are never worth a result: jobs that never ran have none.
		p.runner.log.Warn("read metrics", "job", j.Id, "run", p.spec.RunID, "error", err)
	}
	p.tell(steps)
	for i, s := range steps {
		c := totals.final(s.Step)
		steps[i].Unpriced = max(s.Unpriced, totals.committed[counter{s.Step, "unpriced"}])
		steps[i].Counts.Retries = max(s.Counts.Retries, c.Retries)
		steps[i].Counts.Pages, steps[i].Counts.Requests = max(s.Counts.Pages, c.Pages), max(s.Counts.Requests, c.Requests)
	}
	result := p.judge(ctx, j, plan, steps)
	result.RunID, result.Steps = p.spec.RunID, steps
	result.Start, result.End = moment(j.CreateTime), moment(j.CurrentStateTime)
	return p.folder.WriteResult(result)
}

// judge says how the job ended. What committed has committed: a job whose steps have all
// completed has completed, however the service ended it.
func (p *process) judge(ctx context.Context, j *df.Job, plan gcsfolder.Plan, steps []runfolder.StepResult) runfolder.Result {
	result := verdict(plan, steps)
	if result.State == runfolder.Completed || result.Code == codeStepFailed || j.CurrentState == stateDone {
		return result
	}
	p.mu.Lock()
	stopping := p.stopping
	p.mu.Unlock()
	switch j.CurrentState {
	case stateCancelled:
		result = runfolder.Result{State: runfolder.Cancelled, Code: codeCancelled, Error: "the Dataflow job was cancelled by somebody else than this service"}
		if stopping {
			result.Error = "the run was stopped; start it again to go on"
		}
	case stateDrained, stateUpdated:
		result = runfolder.Result{State: runfolder.Cancelled, Code: CodeDrained, Error: fmt.Sprintf("the Dataflow job became %s before all steps had ended; start the run again to go on", j.CurrentState)}
	default:
		result = runfolder.Result{State: runfolder.Failed, Code: codeRunner, Error: "Dataflow: " + p.messages(ctx, j)}
	}
	return result
}

// verdict is COMPLETED only if every step of the plan left an outcome, and no failure
// stops the run.
func verdict(plan gcsfolder.Plan, steps []runfolder.StepResult) runfolder.Result {
	ended := map[string]runfolder.StepResult{}
	for _, s := range steps {
		ended[s.Step] = s
	}
	var silent string
	for _, s := range plan.Steps {
		r, ok := ended[s.ID]
		switch {
		case ok && r.State == runfolder.StepFailed && !s.MayFail:
			return runfolder.Result{State: runfolder.Failed, Code: codeStepFailed, Error: fmt.Sprintf("step %s failed: %s", s.ID, r.Error)}
		case !ok && silent == "":
			silent = s.ID
		}
	}
	switch {
	case len(plan.Steps) == 0:
		return runfolder.Result{State: runfolder.Failed, Code: codeRunner, Error: "the job ended without a plan"}
	case silent != "":
		return runfolder.Result{State: runfolder.Failed, Code: codeRunner, Error: fmt.Sprintf("step %s ended without saying how", silent)}
	}
	return runfolder.Result{State: runfolder.Completed}
}

// messages are the last error messages of a job, the newest first.
func (p *process) messages(ctx context.Context, j *df.Job) string {
	var texts []string
	r := p.runner
	err := r.cfg.Dataflow.Projects.Locations.Jobs.Messages.List(r.cfg.Project, r.cfg.Region, j.Id).MinimumImportance(errorMessages).
		Pages(ctx, func(page *df.ListJobMessagesResponse) error {
			for _, m := range page.JobMessages {
				texts = append(texts, strings.TrimSpace(m.MessageText))
			}
			return nil
		})
	if err != nil {
		r.log.Warn("read messages of a job", "job", j.Id, "error", err)
	}
	if len(texts) == 0 {
		return fmt.Sprintf("job %s failed and left no message; its log says why", j.Id)
	}
	var out []string
	for i := len(texts) - 1; i >= 0 && len(out) < mostMessages; i-- {
		out = append(out, texts[i])
	}
	text := strings.Join(out, "; ")
	return strings.ToValidUTF8(text[:min(len(text), longestText)], "")
}

func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Now().UTC()
	}
	return t
}
