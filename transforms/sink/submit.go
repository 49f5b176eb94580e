package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/api/googleapi"
)

const (
	failedOrdinals = 3  // failed jobs of one purpose before it is given up
	lookUps        = 5  // of a job that was accepted but is not found
	patientTries   = 30 // retries without a deadline: several minutes of backoff
	labelFence     = "fence"
	labelContent   = "content"
	labelRun       = "run"
)

// errSuperseded says that a newer generation has fenced this one off.
var errSuperseded = errors.New("a newer generation of this unit has taken over")

// work is a job that must take effect once, whoever submits it and however often.
type work struct {
	client   *bigquery.Client
	project  string
	location string
	name     func(ordinal int) string // job id
	send     func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error)

	// since is when the table that the job fills was made. What a job did before is gone
	// with the table of that name, and so is the generation. Zero: its effect lasts.
	since time.Time

	timeout time.Duration // of one job
}

// done is a job that took effect.
type done struct {
	job      *bigquery.Job
	status   *bigquery.JobStatus
	id       string
	attached bool   // an earlier submit made it
	content  string // its label of that name
}

// submit sends the job under its first free ordinal, or attaches to the job that already
// has the id. A job that failed is tried again under the next ordinal, three at most;
// rate limits and serialisation conflicts are retried apart until the context ends.
func (w work) submit(ctx context.Context) (done, error) {
	pauses := newPauses(ctx)
	failed := 0
	for ordinal := 0; ; ordinal++ {
		d, err := w.once(ctx, w.name(ordinal), pauses)
		if err != nil {
			return done{}, err
		}
		jobErr := d.status.Err()
		if jobErr == nil {
			jobErr = w.lost(d)
		}
		if jobErr == nil {
			return d, nil
		}
		jobErr = fmt.Errorf("job %s: %w", d.id, jobErr)
		switch {
		case isPassing(jobErr):
			if err := pauses.wait(ctx, jobErr); err != nil {
				return done{}, err
			}
			continue
		case !d.attached && isPermanent(jobErr), d.status.Err() == nil:
			return done{}, jobErr
		}
		if failed++; failed >= failedOrdinals {
			return done{}, fmt.Errorf("%d jobs failed, the last: %w", failed, jobErr)
		}
	}
}

// lost says why the effect of a job that succeeded is gone, nil if it is there.
func (w work) lost(d done) error {
	s := d.status.Statistics
	if !d.attached || w.since.IsZero() || !s.CreationTime.Before(w.since) {
		return nil
	}
	return coded{CodeStageMissing, errors.New("the staging table that it filled is gone")}
}

// once gets the job with the given id to its end, whatever that is.
func (w work) once(ctx context.Context, id string, pauses *pauses) (done, error) {
	for unfound := 0; ; {
		d := done{id: id}
		job, err := w.send(ctx, bigquery.JobIDConfig{JobID: id, ProjectID: w.project, Location: w.location})
		accepted := err == nil
		if isDuplicateJob(err) {
			d.attached, accepted = true, true
			job, err = w.client.JobFromProject(ctx, w.project, id, w.location)
			if err == nil {
				d.content, err = contentOf(job)
			}
		}
		if err == nil {
			d.job = job
			d.status, err = w.await(ctx, job)
		}
		if err == nil {
			return d, nil
		}
		if accepted && hasStatus(err, http.StatusNotFound) {
			if unfound++; unfound > lookUps {
				return d, coded{CodeLocation, fmt.Errorf("job %s was accepted but is not found in location %q: configure the location of the dataset: %w", id, w.location, err)}
			}
			if err := pauses.wait(ctx, fmt.Errorf("job %s: %w", id, err)); err != nil {
				return d, err
			}
			continue
		}
		if ctx.Err() != nil || !isUncertain(err) {
			return d, fmt.Errorf("job %s: %w", id, err)
		}
		// Whether the job arrived is unknown: the same id finds out.
		if err := pauses.wait(ctx, fmt.Errorf("job %s: %w", id, err)); err != nil {
			return d, err
		}
	}
}

// isDuplicateJob tells a job id that is taken from a table that exists, which a job is
// refused for with the same status.
func isDuplicateJob(err error) bool {
	return hasStatus(err, http.StatusConflict) && !strings.Contains(err.Error(), "Already Exists: Table")
}

// cancelGrace is how long after its timeout the service may take to end a job by itself.
const cancelGrace = 10 * time.Second

// await is the function of that name for a job that may not run for ever.
func (w work) await(ctx context.Context, job *bigquery.Job) (*bigquery.JobStatus, error) {
	if w.timeout <= 0 {
		return await(ctx, job)
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout+cancelGrace)
	defer cancel()
	st, err := await(limited, job)
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return st, err
	}
	if err := job.Cancel(ctx); err != nil {
		return nil, fmt.Errorf("cancel job %s, which runs longer than %s: %w", job.ID(), w.timeout, err)
	}
	return await(ctx, job)
}

// contentOf returns what a query job says it carries; "" if the client cannot read the
// job's parameters back, which a fence, having none, never causes.
func contentOf(job *bigquery.Job) (string, error) {
	config, err := job.Config()
	if err != nil {
		return "", nil
	}
	q, ok := config.(*bigquery.QueryConfig)
	if !ok {
		return "", nil
	}
	if _, fence := q.Labels[labelFence]; fence {
		return "", fmt.Errorf("job %s is a fence: %w", job.ID(), errSuperseded)
	}
	return q.Labels[labelContent], nil
}

// await returns the final status of a job. A failed query job makes Wait fail, so that
// only the status tells a failed job from a failed request.
func await(ctx context.Context, job *bigquery.Job) (*bigquery.JobStatus, error) {
	if st := job.LastStatus(); st != nil && st.Done() && st.Statistics != nil {
		return st, nil
	}
	st, err := job.Wait(ctx)
	if err == nil {
		return st, nil
	}
	if st, statusErr := job.Status(ctx); statusErr == nil && st.Done() {
		return st, nil
	}
	return nil, err
}

// isUncertain reports whether a request may or may not have had its effect, or was put
// off by the service: the same request may be sent again.
func isUncertain(err error) bool {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return api.Code >= 500 || api.Code == http.StatusTooManyRequests || api.Code == http.StatusRequestTimeout || isPassing(err)
	}
	var jobErr *bigquery.Error
	return !errors.As(err, &jobErr) && !errors.Is(err, errSuperseded)
}

var passingReasons = map[string]bool{"rateLimitExceeded": true, "jobRateLimitExceeded": true}

var passingTexts = []string{
	"could not serialize access",
	"aborted due to concurrent update",
	"transaction is aborted",
	"too many dml statements outstanding",
}

// isPassing reports whether a job lost against another one or a rate limit.
func isPassing(err error) bool {
	for _, r := range reasons(err) {
		if passingReasons[r] {
			return true
		}
	}
	text := strings.ToLower(err.Error())
	for _, t := range passingTexts {
		if strings.Contains(text, t) {
			return true
		}
	}
	return false
}

var permanentReasons = map[string]bool{
	"invalid": true, "invalidQuery": true, "notFound": true, "accessDenied": true, "duplicate": true,
	"notImplemented": true, "responseTooLarge": true, "billingTierLimitExceeded": true,
}

// isPermanent reports whether the same job would fail the same way.
func isPermanent(err error) bool {
	for _, r := range reasons(err) {
		if permanentReasons[r] {
			return true
		}
	}
	return false
}

func reasons(err error) []string {
	var out []string
	var jobErr *bigquery.Error
	if errors.As(err, &jobErr) {
		out = append(out, jobErr.Reason)
	}
	var api *googleapi.Error
	if errors.As(err, &api) {
		for _, e := range api.Errors {
			out = append(out, e.Reason)
		}
	}
	return out
}

// pauses spaces retries out with jitter.
type pauses struct {
	next  *backoff.ExponentialBackOff
	tries int
	most  int // 0: until the context ends
}

func newPauses(ctx context.Context) *pauses {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 200 * time.Millisecond
	b.MaxInterval = 20 * time.Second
	p := &pauses{next: b}
	if _, ok := ctx.Deadline(); !ok {
		p.most = patientTries
	}
	return p
}

// wait pauses because of cause, or gives up with it.
func (p *pauses) wait(ctx context.Context, cause error) error {
	if p.tries++; p.most > 0 && p.tries > p.most {
		return fmt.Errorf("gave up after %d tries: %w", p.tries, cause)
	}
	timer := time.NewTimer(p.next.NextBackOff())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w while retrying: %w", ctx.Err(), cause)
	case <-timer.C:
		return nil
	}
}
