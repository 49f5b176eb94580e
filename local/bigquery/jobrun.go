package bigquery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// States of a job.
const (
	statePending = "PENDING"
	stateRunning = "RUNNING"
	stateDone    = "DONE"
)

// jobRun is a job while it runs.
type jobRun struct {
	job       *wire.Job
	shown     *wire.Job // what others see of it until it ends
	cfg       *wire.JobConfiguration
	requestID string
	data      []byte // uploaded bytes of a load
	jobless   bool   // a short query that asked not to be told of its job
	rows      *queryRows
	hold      *hold
	done      chan struct{}
	cancel    context.CancelFunc
	accepted  bool // its id is new: until then nobody may see it; guarded by runningJobs.mu
}

// runningJobs are the jobs of this process that have not ended; it also keeps
// two submissions of one id apart.
type runningJobs struct {
	mu   sync.Mutex
	runs map[wire.JobReference]*jobRun
}

func newRunningJobs() *runningJobs { return &runningJobs{runs: map[wire.JobReference]*jobRun{}} }

func (j *runningJobs) add(run *jobRun) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.runs[run.job.JobReference] != nil {
		return false
	}
	j.runs[run.job.JobReference] = run
	return true
}

// accept makes a job visible: no finished job has its id.
func (j *runningJobs) accept(run *jobRun) {
	j.mu.Lock()
	defer j.mu.Unlock()
	run.accepted = true
}

func (j *runningJobs) remove(run *jobRun) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.runs, run.job.JobReference)
	close(run.done)
}

// find returns the running job of a reference whose location may be empty.
func (j *runningJobs) find(ref wire.JobReference) *jobRun {
	j.mu.Lock()
	defer j.mu.Unlock()
	ref.Location = catalog.CanonicalLocation(ref.Location)
	locations := []string{ref.Location}
	if ref.Location == "" {
		locations = []string{"US", "EU"}
	}
	for _, ref.Location = range locations {
		if run := j.runs[ref]; run != nil && run.accepted {
			return run
		}
	}
	return nil
}

func (j *runningJobs) cancelAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, run := range j.runs {
		run.cancel()
	}
}

// submission is a job as a client hands it in.
type submission struct {
	Configuration map[string]any    `json:"configuration"`
	JobReference  wire.JobReference `json:"jobReference"`

	requestID string
	data      []byte
	jobless   bool
}

var jobID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// submit runs a job to its end. The error is for a submission that made no
// job; a job that failed is returned with its errorResult.
func (s *Server) submit(ctx context.Context, project string, sub submission) (*jobRun, error) {
	run, err := s.newRun(ctx, project, sub)
	if err != nil {
		return nil, err
	}
	if run.cfg.DryRun {
		return run, s.dryRun(ctx, run)
	}
	// A client that goes away, or cancels before the job began to work, must
	// not lose the job's record.
	lasting := context.WithoutCancel(ctx)
	if ctx, err = run.bound(lasting); err != nil {
		return nil, err
	}
	if run.hold = faultOf(ctx).newHold(run); !s.jobs.add(run) {
		run.cancel()
		return nil, wire.DuplicateJob(project, run.job.JobReference.Location, run.job.JobReference.JobID)
	}
	if err := s.requireFreshID(lasting, run); err != nil {
		run.cancel()
		s.jobs.remove(run)
		return nil, err
	}
	s.jobs.accept(run)
	if run.hold == nil {
		return run, s.finish(ctx, run)
	}
	s.wg.Go(func() {
		run.hold.wait(ctx)
		if err := s.finish(ctx, run); err != nil {
			s.cfg.Logger.ErrorContext(ctx, "a held job could not be recorded", "job", run.job.ID, "error", err)
		}
	})
	return run, nil
}

// bound makes the job's own context, which a cancel or the job's own timeout
// ends.
func (run *jobRun) bound(ctx context.Context) (context.Context, error) {
	if run.cfg.JobTimeoutMs == "" || run.cfg.JobTimeoutMs == "0" {
		ctx, run.cancel = context.WithCancel(ctx)
		return ctx, nil
	}
	ms, err := strconv.ParseInt(run.cfg.JobTimeoutMs, 10, 64)
	if err != nil || ms < 0 {
		return nil, wire.Invalid("Invalid value for jobTimeoutMs: %s", run.cfg.JobTimeoutMs)
	}
	ctx, run.cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	return ctx, nil
}

// requireFreshID refuses an id that a finished job has.
func (s *Server) requireFreshID(ctx context.Context, run *jobRun) error {
	ref := run.job.JobReference
	if _, err := catalog.Job(ctx, s.db, ref); err == nil {
		return wire.DuplicateJob(ref.ProjectID, ref.Location, ref.JobID)
	} else if !isNotFound(err) {
		return err
	}
	return nil
}

// finish does the work of a job, and records it.
func (s *Server) finish(ctx context.Context, run *jobRun) error {
	defer run.cancel()
	defer s.jobs.remove(run)
	if err := ctx.Err(); err != nil {
		return s.fail(ctx, run, err)
	}
	if err := s.execute(ctx, run); err != nil {
		return s.fail(ctx, run, err)
	}
	return nil
}

func (s *Server) newRun(ctx context.Context, project string, sub submission) (*jobRun, error) {
	text, err := json.Marshal(sub.Configuration)
	if err != nil {
		return nil, fmt.Errorf("encoding a job configuration: %w", err)
	}
	cfg := &wire.JobConfiguration{}
	if err := decodeJSON(text, cfg); err != nil {
		return nil, err
	}
	ref := sub.JobReference
	if ref.ProjectID != "" && ref.ProjectID != project {
		return nil, wire.Invalid("Value %s in jobReference.projectId does not match the project of the request: %s", ref.ProjectID, project)
	}
	ref.ProjectID = project
	if ref.JobID == "" {
		ref.JobID = "job_" + rand.Text()
	}
	if len(ref.JobID) > maxID || !jobID.MatchString(ref.JobID) {
		return nil, wire.Invalid("Invalid job ID %q. Job IDs must be alphanumeric (plus underscores and dashes) and must be at most 1024 characters long.", ref.JobID)
	}
	if ref.Location, err = s.locate(ctx, project, ref.Location, cfg); err != nil {
		return nil, err
	}
	now := decimalText(s.cfg.Clock().UnixMilli())
	job := &wire.Job{
		Kind: "bigquery#job", ID: project + ":" + ref.Location + "." + ref.JobID, UserEmail: "local@localhost",
		JobReference: ref, Configuration: sub.Configuration,
		Statistics: &wire.JobStatistics{CreationTime: now, StartTime: now},
		Status:     wire.JobStatus{State: stateRunning},
	}
	run := &jobRun{job: job, cfg: cfg, requestID: sub.requestID, data: sub.data, jobless: sub.jobless, done: make(chan struct{})}
	if err := setJobType(job, cfg); err != nil {
		return nil, err
	}
	shown := *job
	shown.Configuration, shown.Statistics = map[string]any{}, &wire.JobStatistics{CreationTime: now, StartTime: now}
	run.shown = &shown
	return run, decodeJSON(text, &shown.Configuration)
}

func setJobType(job *wire.Job, cfg *wire.JobConfiguration) error {
	kinds := []struct {
		name string
		set  bool
	}{{"QUERY", cfg.Query != nil}, {"LOAD", cfg.Load != nil}, {"COPY", cfg.Copy != nil}, {"EXTRACT", cfg.Extract != nil}}
	for _, k := range kinds {
		if k.set {
			job.Configuration["jobType"] = k.name
			return nil
		}
	}
	return wire.Invalid("Job configuration must contain exactly one job-specific configuration object (e.g., query, load, extract, spreadsheetExtract), but there were 0:")
}

// locate decides where a job runs: as asked, or where its data is.
func (s *Server) locate(ctx context.Context, project, asked string, cfg *wire.JobConfiguration) (string, error) {
	if asked != "" {
		return catalog.CanonicalLocation(asked), nil
	}
	var refs []wire.DatasetReference
	if cfg.Load != nil && cfg.Load.DestinationTable != nil {
		refs = append(refs, wire.DatasetReference{ProjectID: cfg.Load.DestinationTable.ProjectID, DatasetID: cfg.Load.DestinationTable.DatasetID})
	}
	if cfg.Copy != nil && cfg.Copy.DestinationTable != nil {
		refs = append(refs, wire.DatasetReference{ProjectID: cfg.Copy.DestinationTable.ProjectID, DatasetID: cfg.Copy.DestinationTable.DatasetID})
	}
	if cfg.Query != nil && cfg.Query.DestinationTable != nil {
		refs = append(refs, wire.DatasetReference{ProjectID: cfg.Query.DestinationTable.ProjectID, DatasetID: cfg.Query.DestinationTable.DatasetID})
	}
	if cfg.Query != nil && cfg.Query.DefaultDataset != nil {
		refs = append(refs, *cfg.Query.DefaultDataset)
	}
	for _, ref := range refs {
		if ref.ProjectID == "" {
			ref.ProjectID = project
		}
		d, err := catalog.Dataset(ctx, s.db, ref.ProjectID, ref.DatasetID)
		if err == nil {
			return d.Location, nil
		}
		if !isNotFound(err) {
			return "", err
		}
	}
	return s.cfg.Location, nil
}

// execute does the work of a job; its last transaction records the job.
func (s *Server) execute(ctx context.Context, run *jobRun) error {
	if err := faultOf(ctx).atStatement(ctx, 0); err != nil {
		return err
	}
	switch {
	case run.cfg.Query != nil:
		return s.runQuery(ctx, run)
	case run.cfg.Load != nil:
		return s.runLoad(ctx, run)
	case run.cfg.Copy != nil:
		return s.runCopy(ctx, run)
	}
	return wire.NotImplemented("extract jobs")
}

// record stores the job as done in conn's transaction: with this commit it
// and its effect exist, without it neither does.
func (s *Server) record(ctx context.Context, conn *sql.Conn, run *jobRun) error {
	now := s.cfg.Clock().UnixMilli()
	job := run.job
	job.Statistics.EndTime = decimalText(now)
	job.Status.State = stateDone
	job.Etag = jobEtag(job)
	if err := catalog.PutJob(ctx, conn, job); err != nil {
		return err
	}
	if run.rows != nil {
		if err := catalog.PutResult(ctx, conn, job.JobReference, now, run.rows.chunks); err != nil {
			return err
		}
	}
	if run.requestID == "" {
		return nil
	}
	return catalog.PutRequest(ctx, conn, run.requestID, job.JobReference, now)
}

func jobEtag(job *wire.Job) string {
	sum := sha256.Sum256([]byte(job.ID + job.Status.State + job.Statistics.EndTime))
	return base64.StdEncoding.EncodeToString(sum[:16])
}

// fail records a job as failed. Its error is returned only when even that
// could not be recorded.
func (s *Server) fail(ctx context.Context, run *jobRun, cause error) error {
	known := wireError(cause)
	switch {
	case known != nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		ms, _ := time.ParseDuration(run.cfg.JobTimeoutMs + "ms")
		known = &wire.Error{Reason: wire.ReasonStopped, Message: "Job execution was cancelled: Job timed out after " + ms.String()}
	case errors.Is(cause, context.Canceled):
		known = &wire.Error{Reason: wire.ReasonStopped, Message: "Job execution was cancelled: User requested cancellation"}
	default:
		s.cfg.Logger.ErrorContext(ctx, "job failed", "job", run.job.ID, "error", cause)
		known = &wire.Error{Reason: wire.ReasonJobInternalError, Message: "The job encountered an internal error: " + cause.Error()}
	}
	proto := known.Proto()
	run.rows = nil
	run.job.Status.ErrorResult = &proto
	run.job.Status.Errors = append([]wire.ErrorProto{proto}, known.More...)
	return s.transactAgain(context.WithoutCancel(ctx), func(ctx context.Context, conn *sql.Conn) error {
		return s.record(ctx, conn, run)
	})
}

// endInterruptedJobs fails the jobs that a killed server left running: scripts
// of which a part had committed.
func (s *Server) endInterruptedJobs(ctx context.Context, q catalog.Querier) error {
	jobs, err := catalog.UnfinishedJobs(ctx, q)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		proto := wire.ErrorProto{Reason: wire.ReasonStopped, Message: "Job execution was interrupted: the server ended while the script ran; statements that had committed stay"}
		job.Status = wire.JobStatus{State: stateDone, ErrorResult: &proto, Errors: []wire.ErrorProto{proto}}
		job.Statistics.EndTime = decimalText(s.cfg.Clock().UnixMilli())
		if err := catalog.PutJob(ctx, q, job); err != nil {
			return err
		}
	}
	return nil
}
