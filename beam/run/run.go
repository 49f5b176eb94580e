// Package run is a job: it plans and compiles the document of a run's spec, runs the
// graph on a runner, and turns the outcome into a Result. One process runs one job,
// because the flags, options, hooks and logger of Beam's Go SDK are process globals.
//
// It knows the run folder, through which a launcher follows it, but no launcher. It must
// not know HTTP, orgs' keys, or the warehouse behind the client that a main set.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/google/uuid"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/sink"
)

// Runners of this package. Dataflow and Flink jobs are submitted by their own launchers.
const (
	Prism    = "prism"
	Direct   = "direct"
	Dataflow = "dataflow"
)

// Error codes of a Result, beside those of its steps.
const (
	CodeInvalidPipeline = "INVALID_PIPELINE"
	CodeStepFailed      = "STEP_FAILED"
	CodeRunner          = "RUNNER"
	CodeTimeout         = "TIMEOUT"
	CodeCancelled       = "CANCELLED"
	CodeNoOutcome       = "NO_OUTCOME" // the runner took the graph and this process does not follow it
)

const progressEvery = time.Second

// Config is what a job needs beside its spec. Folder may be nil where nobody follows the
// job; a nil Now is the wall clock, a nil Log keeps nothing.
type Config struct {
	Catalog *configs.Catalog
	Folder  *runfolder.Folder
	Log     *slog.Logger
	Now     func() time.Time
}

// Plan plans the document of a spec.
func Plan(ctx context.Context, spec runfolder.Spec, catalog *configs.Catalog) (*plan.Plan, error) {
	catalog, err := catalog.WithTables(spec.Tables).WithProviders(spec.Providers)
	if err != nil {
		return nil, err
	}
	return planner(catalog).Plan(ctx, request(spec))
}

func planner(catalog *configs.Catalog) *plan.Planner {
	return plan.New(plan.Deps{Catalog: catalog, Processors: compile.Processors()})
}

func request(spec runfolder.Spec) plan.Request {
	return plan.Request{
		Source: configs.File{Name: spec.File, Text: []byte(spec.Document), ID: spec.Pipeline},
		Org:    spec.Org, Env: spec.Env, Project: spec.Project, Dataset: spec.Dataset, Location: spec.Location,
		RunID: spec.RunID, Params: spec.Params, ProjectID: spec.ProjectID, AdminEmail: spec.AdminEmail,
		Start: spec.StartDate, End: spec.EndDate, Now: spec.Now,
	}
}

// Build plans and compiles a spec.
func Build(ctx context.Context, spec runfolder.Spec, catalog *configs.Catalog) (*beam.Pipeline, *plan.Plan, error) {
	p, err := Plan(ctx, spec, catalog)
	if err != nil {
		return nil, nil, err
	}
	dlq, ok := catalog.Table("system/" + compile.DeadLetterTable)
	if !ok {
		return nil, nil, fmt.Errorf("configs declare no table system/%s", compile.DeadLetterTable)
	}
	pipeline, err := compile.Pipeline(p, compile.Options{
		Generations: spec.Generations, Deadline: spec.Deadline, Now: spec.Now, DeadLetters: dlq,
	})
	return pipeline, p, err
}

// Job runs a spec to its end and leaves result.json in the folder. Cancelling ctx
// cancels the job. The error says that the result could not be left; how the job ended
// is in the result.
func Job(ctx context.Context, spec runfolder.Spec, cfg Config) (runfolder.Result, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	j := &job{spec: spec, cfg: cfg, start: cfg.Now().UTC(), steps: map[string]runfolder.StepResult{}}
	j.event(runfolder.Event{Kind: runfolder.KindStarted})
	result := j.run(ctx)
	if cfg.Folder == nil || result.Code == CodeNoOutcome {
		return result, nil
	}
	return result, errors.Join(cfg.Folder.WriteResult(result), cfg.Folder.Close())
}

type job struct {
	spec  runfolder.Spec
	cfg   Config
	start time.Time
	plan  *plan.Plan

	mu    sync.Mutex
	steps map[string]runfolder.StepResult
}

func (j *job) run(ctx context.Context) runfolder.Result {
	pipeline, p, err := Build(ctx, j.spec, j.cfg.Catalog)
	if err != nil {
		return j.result(runfolder.Failed, CodeInvalidPipeline, err.Error())
	}
	j.plan = p
	compile.UseReporter(j.report)
	deadline := ctx
	if !j.spec.Deadline.IsZero() {
		var cancel context.CancelFunc
		deadline, cancel = context.WithDeadline(ctx, j.spec.Deadline)
		defer cancel()
	}
	counts, err := execute(deadline, pipeline, j.spec.Runner, j.progress)
	j.addCounts(counts)
	if j.spec.Runner == Dataflow && err == nil {
		return j.result(runfolder.Failed, CodeNoOutcome, "the graph was handed to Dataflow; its service says how the job ends")
	}
	// What committed has committed: a job whose steps have all completed is not late,
	// however its runner ended.
	if result := j.verdict(); result.State == runfolder.Completed || err == nil && deadline.Err() == nil {
		return result
	}
	switch {
	case errors.Is(deadline.Err(), context.DeadlineExceeded):
		return j.result(runfolder.Timeout, CodeTimeout, fmt.Sprintf("the run did not end before its deadline %s", j.spec.Deadline.Format(time.RFC3339)))
	case deadline.Err() != nil:
		return j.result(runfolder.Cancelled, CodeCancelled, "the run was stopped; start it again to go on")
	default:
		return j.result(runfolder.Failed, CodeRunner, fmt.Sprintf("runner %s: %v", cmp.Or(j.spec.Runner, Prism), err))
	}
}

// verdict is COMPLETED only if every step of the plan reported an end, and no failure
// stops the run.
func (j *job) verdict() runfolder.Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, step := range j.plan.Steps {
		r, ok := j.steps[step.ID]
		switch {
		case !ok:
			return j.resultLocked(runfolder.Failed, CodeRunner, fmt.Sprintf("step %s ended without saying how", step.ID))
		case r.State == runfolder.StepFailed && step.OnFailure != "continue" && step.OnFailure != "alert":
			return j.resultLocked(runfolder.Failed, CodeStepFailed, fmt.Sprintf("step %s failed: %s", step.ID, r.Error))
		}
	}
	return j.resultLocked(runfolder.Completed, "", "")
}

func (j *job) result(state, code, message string) runfolder.Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.resultLocked(state, code, message)
}

func (j *job) resultLocked(state, code, message string) runfolder.Result {
	r := runfolder.Result{RunID: j.spec.RunID, State: state, Code: code, Error: message, Start: j.start, End: j.cfg.Now().UTC()}
	for _, s := range j.steps {
		r.Steps = append(r.Steps, s)
	}
	slices.SortFunc(r.Steps, func(a, b runfolder.StepResult) int { return a.Index - b.Index })
	return r
}

// report takes the outcome of a step out of the graph.
func (j *job) report(r sink.StepResult) error {
	s := StepResult(r)
	j.mu.Lock()
	j.steps[r.Step] = s
	j.mu.Unlock()
	j.event(runfolder.Event{Kind: runfolder.KindStep, Step: r.Step, Result: &s})
	return nil
}

func (j *job) progress(counts Counts) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, step := range slices.Sorted(counts.steps()) {
		if _, ended := j.steps[step]; !ended {
			j.event(runfolder.Event{Kind: runfolder.KindProgress, Step: step, StepCounts: counts.step(step)})
		}
	}
}

func fetches(stepType string) bool {
	p, ok := registry.Lookup(stepType)
	return ok && p.Kind == registry.Source
}

// addCounts completes step results with what only counters know. A runner that was
// given up has none: that is no reason to forget what is known.
func (j *job) addCounts(counts Counts) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, s := range j.steps {
		c := counts.step(id)
		s.Unpriced = max(s.Unpriced, counts[Counter{id, "unpriced"}])
		s.Counts.Retries = max(s.Counts.Retries, c.Retries)
		s.Counts.Pages, s.Counts.Requests = max(s.Counts.Pages, c.Pages), max(s.Counts.Requests, c.Requests)
		j.steps[id] = s
	}
}

func (j *job) event(e runfolder.Event) {
	if j.cfg.Folder == nil {
		return
	}
	e.Time = j.cfg.Now().UTC()
	if err := j.cfg.Folder.Append(e); err != nil {
		j.cfg.Log.Warn("record progress", "error", err)
	}
}

// DryRunSpec makes a spec that compiles a document for nobody: placeholders stand where
// a run has an org, a project and a day.
func DryRunSpec(file configs.File, runner string, now time.Time) runfolder.Spec {
	return runfolder.Spec{
		RunID: uuid.Nil.String(), Attempt: 1, Epoch: 1, Org: "example", Env: "development", Project: "example-project",
		Dataset: "example_development", Location: "US", Pipeline: file.ID, Document: string(file.Text), File: file.Name,
		Now: now, Deadline: now.Add(time.Hour), Runner: runner,
	}
}
