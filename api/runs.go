package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// Runs is what the API needs of the launcher to start runs and to show them.
type Runs interface {
	Launch(ctx context.Context, r launcher.Request) (run launcher.Run, existing bool, err error)
	Run(ctx context.Context, org, id string) (launcher.Run, error)
	List(ctx context.Context, org string, f launcher.Filter) ([]launcher.Run, error)
}

const (
	triggerAPI = "api"
	apiUser    = "api_user"
	scopeRun   = "pipelines:execute"
	scopeRead  = "pipelines:read"
	scopeWrite = "pipelines:write"
	tagRuns    = "Runs"
	runsPath   = prefix + "/pipelines/runs"
)

var runStates = []launcher.State{
	launcher.Pending, launcher.Running, launcher.Completed, launcher.Failed, launcher.Timeout, launcher.Cancelled,
}

type runBody struct {
	TriggerBy    *string `json:"trigger_by,omitempty" nullable:"true" doc:"free text, recorded" maxLength:"200"`
	Date         *string `json:"date,omitempty" nullable:"true" doc:"one day, YYYY-MM-DD; not together with start_date or end_date"`
	StartDate    *string `json:"start_date,omitempty" nullable:"true" doc:"first day, YYYY-MM-DD"`
	EndDate      *string `json:"end_date,omitempty" nullable:"true" doc:"last day, inclusive, YYYY-MM-DD"`
	ForceRefresh *bool   `json:"force_refresh,omitempty" nullable:"true" doc:"state the days again although they have landed"`
	DryRun       bool    `json:"dry_run,omitempty" doc:"validate, plan and price the queries; start nothing"`
}

type runInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Domain   string `path:"domain"`
	Pipeline string `path:"pipeline"`
	User     string `header:"X-User-ID" maxLength:"200"`
	Key      string `header:"Idempotency-Key" maxLength:"128" doc:"the same key with the same body is answered with the same run for a day"`
	Body     *runBody
}

type shortRunInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Pipeline string `path:"pipeline"`
	User     string `header:"X-User-ID" maxLength:"200"`
	Key      string `header:"Idempotency-Key" maxLength:"128" doc:"the same key with the same body is answered with the same run for a day"`
	Body     *runBody
}

type runStarted struct {
	Body struct {
		ID         string  `json:"pipeline_logging_id" doc:"id of the run; empty for a dry run"`
		PipelineID string  `json:"pipeline_id" doc:"tracking id: {org}-{provider}-{domain}-{pipeline}"`
		Org        string  `json:"org_slug"`
		Status     string  `json:"status" doc:"PENDING for a new run, RUNNING when an equal one is active, DRY_RUN when nothing was started"`
		Message    string  `json:"message"`
		RetryOf    string  `json:"retry_of,omitempty" doc:"id of the run that this one repeats"`
		Plan       *DryRun `json:"plan,omitempty" doc:"of a dry run"`
	}
}

type listInput struct {
	PageInput
	PipelineID string `query:"pipeline_id" doc:"exact tracking id" maxLength:"300"`
	Status     string `query:"status" maxLength:"20" doc:"PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT or CANCELLED, in any case"`
}

type listOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body []RunView
}

type getInput struct {
	ID string `path:"id"`
}

type getOutput struct {
	Body struct {
		RunView
		Parameters map[string]string `json:"parameters,omitempty"`
		Steps      []StepView        `json:"steps"`
	}
}

func (s *service) runs() {
	start := func(path, id, summary string) route {
		return route{
			method: http.MethodPost, path: prefix + "/pipelines/run" + path, id: id, summary: summary, tag: tagRuns, key: keyOrg, scope: scopeRun,
			run: true, action: actionExecute, resource: resourcePipeline, also: []int{http.StatusNotFound, http.StatusConflict},
		}
	}
	read := func(path, id, summary string, also ...int) route {
		return route{
			method: http.MethodGet, path: runsPath + path, id: id, summary: summary, tag: tagRuns, key: keyOrg, scope: scopeRead,
			action: actionRead, resource: resourcePipeline, also: also,
		}
	}
	add(s, start("/{org}/{provider}/{domain}/{pipeline}", "run-pipeline", "Start a run of a pipeline"), s.run)
	add(s, start("/{org}/{provider}/{pipeline}", "run-pipeline-without-domain", "Start a run of a pipeline that has no domain, or the only one of its name"),
		func(ctx context.Context, in *shortRunInput) (*runStarted, error) {
			return s.run(ctx, &runInput{Org: in.Org, Provider: in.Provider, Pipeline: in.Pipeline, User: in.User, Key: in.Key, Body: in.Body})
		})
	add(s, read("", "list-runs", "List the organisation's runs, newest first"), s.list)
	add(s, read("/{id}", "get-run", "Get a run with its steps", http.StatusNotFound), s.get)
	add(s, read("/{id}/steps", "list-run-steps", "List the steps of a run", http.StatusNotFound), s.steps)
	if s.cfg.Catalogue != nil {
		old := start("/{pipeline_id}", "run-pipeline-by-id", "Start a run of a pipeline by its tracking id")
		old.deprecated = true
		add(s, old, s.runOld)
	}
}

func (s *service) run(ctx context.Context, in *runInput) (*runStarted, error) {
	p := principal(ctx)
	if s.cfg.Catalogue != nil {
		id, problem := s.find(ctx, in.Provider, in.Domain, in.Pipeline)
		if problem != nil {
			return nil, problem
		}
		in.Provider, in.Domain, in.Pipeline = partsOf(id)
	}
	request, problem := requestOf(p, in)
	if problem != nil {
		return nil, problem
	}
	if in.Body != nil && in.Body.DryRun {
		return s.dryRun(ctx, request)
	}
	run, existing, err := s.launch(ctx, in, request)
	if err != nil {
		return nil, s.problem(ctx, "run refused", err)
	}
	return startedOf(run, existing), nil
}

// Once remembers which run a caller's Idempotency-Key stands for. With another body the
// error is a *launcher.Error.
type Once interface {
	Once(ctx context.Context, org, key string, body []byte) (runID string, seen bool, err error)
	// Forget takes a key back whose run was never recorded.
	Forget(ctx context.Context, org, key, runID string) error
}

// launch starts a run, the same one for the same Idempotency-Key.
func (s *service) launch(ctx context.Context, in *runInput, r launcher.Request) (launcher.Run, bool, error) {
	if in.Key == "" || s.cfg.Once == nil {
		return s.cfg.Runs.Launch(ctx, r)
	}
	body, err := json.Marshal([]any{in.Provider, in.Domain, in.Pipeline, in.Body})
	if err != nil {
		return launcher.Run{}, false, fmt.Errorf("encode a request for its key: %w", err)
	}
	id, seen, err := s.cfg.Once.Once(ctx, r.Org, in.Key, body)
	if err != nil {
		return launcher.Run{}, false, err
	}
	r.RunID = id
	run, existing, err := s.cfg.Runs.Launch(ctx, r)
	if err != nil && !seen {
		if forgotten := s.cfg.Once.Forget(context.WithoutCancel(ctx), r.Org, in.Key, id); forgotten != nil {
			s.cfg.Log.Warn("an idempotency key keeps a run that never was", "error", forgotten, "request_id", requestIDOf(ctx))
		}
	}
	return run, existing, err
}

// partsOf splits provider/domain/name or provider/name.
func partsOf(id string) (provider, domain, name string) {
	parts := strings.Split(id, "/")
	provider, name = parts[0], parts[len(parts)-1]
	if len(parts) > 2 {
		domain = strings.Join(parts[1:len(parts)-1], "/")
	}
	return provider, domain, name
}

func (s *service) dryRun(ctx context.Context, r launcher.Request) (*runStarted, error) {
	if s.cfg.Documents == nil {
		return nil, refuse(launcher.CodeInvalidParameter, "this service plans nothing without running it", "body.dry_run", "leave it out")
	}
	plan, err := s.cfg.Documents.DryRun(ctx, r)
	if err != nil {
		return nil, s.problem(ctx, "dry run refused", err)
	}
	var out runStarted
	out.Body.PipelineID, out.Body.Org, out.Body.Status = r.Org+"-"+strings.ReplaceAll(plan.Pipeline, "/", "-"), r.Org, "DRY_RUN"
	out.Body.Message, out.Body.Plan = "The pipeline is valid; nothing was started", &plan
	return &out, nil
}

func requestOf(p launcher.Principal, in *runInput) (launcher.Request, *Problem) {
	r := launcher.Request{
		Org: p.Org, Provider: in.Provider, Domain: in.Domain, Template: in.Pipeline, Params: map[string]string{},
		Trigger: triggerAPI, TriggerBy: apiUser, KeyID: p.KeyID, UserID: in.User,
	}
	body := in.Body
	if body == nil {
		return r, nil
	}
	if body.TriggerBy != nil && *body.TriggerBy != "" {
		r.TriggerBy = *body.TriggerBy
	}
	for name, value := range map[string]*string{"date": body.Date, "start_date": body.StartDate, "end_date": body.EndDate} {
		if value == nil {
			continue
		}
		if _, err := civil.ParseDate(*value); err != nil {
			problem := coded(launcher.CodeInvalidParameter, name+" is not a day")
			problem.Errors = []FieldError{{Loc: "body." + name, Msg: "write it as YYYY-MM-DD, got " + strconv.Quote(*value)}}
			return r, problem
		}
		r.Params[name] = *value
	}
	if body.ForceRefresh != nil {
		r.Params["force_refresh"] = strconv.FormatBool(*body.ForceRefresh)
	}
	return r, nil
}

func (s *service) list(ctx context.Context, in *listInput) (*listOutput, error) {
	p := principal(ctx)
	state := launcher.State(strings.ToUpper(in.Status))
	if state != "" && !slices.Contains(runStates, state) {
		problem := coded(launcher.CodeInvalidParameter, "status is not a state of runs")
		problem.Errors = []FieldError{{Loc: "query.status", Msg: fmt.Sprintf("must be one of %s, got %q", runStates, in.Status)}}
		return nil, problem
	}
	after, problem := in.last()
	if problem != nil {
		return nil, problem
	}
	runs, err := s.cfg.Runs.List(ctx, p.Org, launcher.Filter{
		Pipeline: in.PipelineID, State: state, Limit: in.Limit + 1, After: after,
	})
	if err != nil {
		return nil, s.problem(ctx, "list runs", err)
	}
	out := &listOutput{}
	if len(runs) > in.Limit {
		runs = runs[:in.Limit]
		out.Link = nextLink(ctx, runs[in.Limit-1].ID)
	}
	out.Body = make([]RunView, len(runs))
	for i, r := range runs {
		out.Body[i] = viewOf(r)
	}
	return out, nil
}

func (s *service) get(ctx context.Context, in *getInput) (*getOutput, error) {
	p := principal(ctx)
	run, err := s.cfg.Runs.Run(ctx, p.Org, in.ID)
	if err != nil {
		return nil, s.problem(ctx, "get run", err)
	}
	var out getOutput
	out.Body.RunView, out.Body.Parameters, out.Body.Steps = viewOf(run), run.Params, stepsOf(run)
	return &out, nil
}

type stepsInput struct {
	PageInput
	ID     string `path:"id"`
	Status string `query:"status" maxLength:"20" doc:"PENDING, RUNNING, COMPLETED, FAILED, SKIPPED, TIMEOUT or CANCELLED, in any case"`
}

type stepsOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body []StepView
}

func (s *service) steps(ctx context.Context, in *stepsInput) (*stepsOutput, error) {
	run, err := s.cfg.Runs.Run(ctx, principal(ctx).Org, in.ID)
	if err != nil {
		return nil, s.problem(ctx, "list steps", err)
	}
	all := stepsOf(run)
	if in.Status != "" {
		all = slices.DeleteFunc(all, func(v StepView) bool { return !strings.EqualFold(v.Status, in.Status) })
	}
	page, link, problem := pageOf(ctx, in.PageInput, all, func(v StepView) string { return fmt.Sprintf("%06d", v.Index) })
	if problem != nil {
		return nil, problem
	}
	return &stepsOutput{Link: link, Body: page}, nil
}
