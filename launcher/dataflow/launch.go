package dataflow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
	template "github.com/cloudact/convergence/templates/dataflow"
)

const allJobs = "ALL"

// find looks for the job of a run by its name, in every state, and refuses one that is
// another's. The newest job of the name counts. nil: the service shows none.
func (r *Runner) find(ctx context.Context, id identity) (*df.Job, error) {
	var jobs []*df.Job
	call := r.cfg.Dataflow.Projects.Locations.Jobs.List(r.cfg.Project, r.cfg.Region).Filter(allJobs).Name(id.name)
	_, err := retrying(ctx, r, func() (struct{}, error) {
		jobs = nil
		return struct{}{}, call.Pages(ctx, func(page *df.ListJobsResponse) error {
			jobs = append(jobs, page.Jobs...)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look for job %s: %w", id.name, err)
	}
	var newest *df.Job
	for _, j := range jobs {
		if j.Name == id.name && (newest == nil || j.CreateTime > newest.CreateTime) {
			newest = j
		}
	}
	if newest == nil {
		return nil, nil
	}
	return r.verified(ctx, id, newest)
}

// verified makes sure that a job is the run's. Labels of a launch may appear only with
// its graph, so one without is looked at again for a while.
func (r *Runner) verified(ctx context.Context, id identity, j *df.Job) (*df.Job, error) {
	deadline := time.Now().Add(r.cfg.Patience)
	for pause := range r.pauses() {
		switch id.of(j) {
		case ours:
			return j, nil
		case foreign:
			return nil, &launcher.Error{Code: CodeForeign, Message: fmt.Sprintf(
				"Dataflow has a job named %s (%s) whose labels are not this run's; it is left alone", j.Name, j.Id)}
		}
		if time.Now().After(deadline) {
			break
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		var err error
		if j, err = r.get(ctx, j.Id); err != nil {
			return nil, err
		}
	}
	return nil, &launcher.Error{Code: CodeUnknown, Message: fmt.Sprintf("job %s (%s) did not show whose it is within %s", j.Name, j.Id, r.cfg.Patience)}
}

func (r *Runner) get(ctx context.Context, id string) (*df.Job, error) {
	return retrying(ctx, r, func() (*df.Job, error) {
		return r.cfg.Dataflow.Projects.Locations.Jobs.Get(r.cfg.Project, r.cfg.Region, id).Context(ctx).Do()
	})
}

// launch uploads the spec and launches the template until it is known that the job
// exists. The name never changes between tries: it is what keeps two jobs from running.
func (r *Runner) launch(ctx context.Context, id identity, spec runfolder.Spec) (*df.Job, error) {
	id.labels[labelFolder] = fmt.Sprintf("e%d-%s", spec.Epoch, strings.ToLower(rand.Text()[:8]))
	folder, err := r.folder(spec, id.labels[labelFolder])
	if err != nil {
		return nil, err
	}
	if err := folder.WriteSpec(ctx, spec); err != nil {
		return nil, &launcher.Error{Code: launcher.CodeUnavailable, Message: "the run's spec could not be uploaded to Cloud Storage; try again", Err: err}
	}
	request := r.request(id, folder.Address(gcsfolder.SpecFile))
	deadline := time.Now().Add(r.cfg.Patience)
	for pause := range r.pauses() {
		answer, err := r.cfg.Dataflow.Projects.Locations.FlexTemplates.Launch(r.cfg.Project, r.cfg.Region, request).Context(ctx).Do()
		if err == nil && answer.Job != nil && answer.Job.Id != "" {
			return r.launched(ctx, id, answer.Job.Id)
		}
		job, err := r.unclear(ctx, id, err)
		if job != nil || err != nil {
			return job, err
		}
		if time.Now().After(deadline) {
			break
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	return nil, &launcher.Error{Code: CodeUnknown, Message: fmt.Sprintf("Dataflow did not take the job %s within %s", id.name, r.cfg.Patience)}
}

// launched looks at the job that an answer names, which may be another's of that name.
func (r *Runner) launched(ctx context.Context, id identity, jobID string) (*df.Job, error) {
	j, err := r.get(ctx, jobID)
	if err != nil {
		return nil, fmt.Errorf("look at job %s: %w", jobID, err)
	}
	return r.verified(ctx, id, j)
}

// unclear handles a launch without a job in its answer: it may have been done all the
// same. nil, nil: try again.
func (r *Runner) unclear(ctx context.Context, id identity, err error) (*df.Job, error) {
	var answer *googleapi.Error
	status := 0
	if errors.As(err, &answer) {
		status = answer.Code
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case status == http.StatusTooManyRequests:
		r.log.Warn("Dataflow has no room for a job", "job", id.name, "error", answer.Message)
		return nil, nil
	case status == http.StatusConflict: // it exists, even if lists do not show it yet
		return r.awaited(ctx, id)
	case status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusRequestTimeout:
		return nil, &launcher.Error{Code: CodeLaunch, Message: "Dataflow refuses to launch the job: " + answer.Message, Err: err}
	default:
		r.log.Warn("the answer to a launch is lost", "job", id.name, "error", err)
		return r.going(ctx, id)
	}
}

// going finds a job that is not one of an earlier launch that has ended.
func (r *Runner) going(ctx context.Context, id identity) (*df.Job, error) {
	job, err := r.find(ctx, id)
	if err != nil || job == nil || !id.goesOn(job) {
		return nil, err
	}
	return job, nil
}

// awaited waits until lists show a job that is known to exist.
func (r *Runner) awaited(ctx context.Context, id identity) (*df.Job, error) {
	deadline := time.Now().Add(r.cfg.Patience)
	for pause := range r.pauses() {
		job, err := r.going(ctx, id)
		if job != nil || err != nil {
			return job, err
		}
		if time.Now().After(deadline) {
			break
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	return nil, &launcher.Error{Code: CodeUnknown, Message: fmt.Sprintf("Dataflow says that a job named %s exists, but did not show it within %s", id.name, r.cfg.Patience)}
}

func (r *Runner) request(id identity, spec string) *df.LaunchFlexTemplateRequest {
	environment := r.cfg.Environment
	environment.AdditionalUserLabels = r.labels(id)
	parameters := maps.Clone(r.cfg.Parameters)
	if parameters == nil {
		parameters = map[string]string{}
	}
	parameters[template.ParamSpec] = spec
	return &df.LaunchFlexTemplateRequest{LaunchParameter: &df.LaunchFlexTemplateParameter{
		JobName: id.name, ContainerSpecGcsPath: r.cfg.Template, Parameters: parameters, Environment: &environment,
	}}
}

// retrying repeats a call that changes nothing while the service does not answer.
func retrying[T any](ctx context.Context, r *Runner, call func() (T, error)) (T, error) {
	return backoff.Retry(ctx, func() (T, error) {
		v, err := call()
		if err != nil && !transient(err) {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(r.exponential()), backoff.WithMaxElapsedTime(r.cfg.Patience))
}

// transient reports whether the same call may succeed later.
func transient(err error) bool {
	var answer *googleapi.Error
	if errors.As(err, &answer) {
		return answer.Code >= http.StatusInternalServerError || answer.Code == http.StatusTooManyRequests || answer.Code == http.StatusRequestTimeout
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func (r *Runner) exponential() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = r.cfg.Backoff, max(maxBackoff, r.cfg.Backoff)
	return b
}

// pauses yields pauses that grow, without end.
func (r *Runner) pauses() func(yield func(time.Duration) bool) {
	b := r.exponential()
	return func(yield func(time.Duration) bool) {
		for yield(b.NextBackOff()) {
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
