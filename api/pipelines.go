package api

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"github.com/danielgtaylor/huma/v2"

	"github.com/cloudact/convergence/launcher"
)

const (
	triggerAPI  = "api"
	apiUser     = "api_user"
	scopeRun    = "pipelines:execute"
	scopeRead   = "pipelines:read"
	tagPipeline = "Pipelines"
)

var (
	validOrg  = regexp.MustCompile(`^[a-z0-9_]{3,50}$`)
	validPart = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
)

var runStates = []launcher.State{
	launcher.Pending, launcher.Running, launcher.Completed, launcher.Failed, launcher.Timeout, launcher.Cancelled,
}

type runBody struct {
	TriggerBy    *string `json:"trigger_by,omitempty" nullable:"true" doc:"free text, recorded" maxLength:"200"`
	Date         *string `json:"date,omitempty" nullable:"true" doc:"one day, YYYY-MM-DD; not together with start_date or end_date"`
	StartDate    *string `json:"start_date,omitempty" nullable:"true" doc:"first day, YYYY-MM-DD"`
	EndDate      *string `json:"end_date,omitempty" nullable:"true" doc:"last day, inclusive, YYYY-MM-DD"`
	ForceRefresh *bool   `json:"force_refresh,omitempty" nullable:"true" doc:"kept as a parameter of the run"`
}

type runInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Domain   string `path:"domain"`
	Pipeline string `path:"pipeline"`
	User     string `header:"X-User-ID" maxLength:"200"`
	Body     *runBody
}

type shortRunInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Pipeline string `path:"pipeline"`
	User     string `header:"X-User-ID" maxLength:"200"`
	Body     *runBody
}

type runStarted struct {
	Body struct {
		ID         string `json:"pipeline_logging_id" doc:"id of the run"`
		PipelineID string `json:"pipeline_id" doc:"tracking id: {org}-{provider}-{domain}-{pipeline}"`
		Org        string `json:"org_slug"`
		Status     string `json:"status" doc:"PENDING for a new run, RUNNING when an equal one is active"`
		Message    string `json:"message"`
	}
}

type runView struct {
	ID         string     `json:"pipeline_logging_id"`
	PipelineID string     `json:"pipeline_id"`
	Org        string     `json:"org_slug"`
	Status     string     `json:"status"`
	Trigger    string     `json:"trigger_type"`
	TriggerBy  string     `json:"trigger_by"`
	Start      time.Time  `json:"start_time"`
	End        *time.Time `json:"end_time"`
	DurationMS *int64     `json:"duration_ms"`
	RunDate    string     `json:"run_date,omitempty"`
	Code       string     `json:"error_code,omitempty"`
	Error      string     `json:"error_message,omitempty"`
}

type stepView struct {
	Step       string     `json:"step"`
	Type       string     `json:"type"`
	Index      int        `json:"index"`
	Status     string     `json:"status"`
	Table      string     `json:"table,omitempty"`
	Rows       int64      `json:"rows" doc:"rows that reached the sink, rejected ones included"`
	Published  int64      `json:"rows_published"`
	Rejected   int64      `json:"rows_rejected"`
	Unpriced   int64      `json:"rows_unpriced"`
	Pages      int64      `json:"pages_fetched"`
	Requests   int64      `json:"requests"`
	Retries    int64      `json:"retries"`
	Start      *time.Time `json:"start_time"`
	End        *time.Time `json:"end_time"`
	DurationMS *int64     `json:"duration_ms"`
	JobIDs     []string   `json:"job_ids,omitempty"`
	Code       string     `json:"error_code,omitempty"`
	Error      string     `json:"error_message,omitempty"`
	Warnings   []string   `json:"warnings,omitempty"`
}

type listInput struct {
	PipelineID string `query:"pipeline_id" doc:"exact tracking id" maxLength:"300"`
	Status     string `query:"status" maxLength:"20"`
	Limit      int    `query:"limit" default:"20" minimum:"1" maximum:"100"`
}

type listOutput struct{ Body []runView }

type getInput struct {
	ID string `path:"id" maxLength:"64"`
}

type getOutput struct {
	Body struct {
		runView
		Parameters map[string]string `json:"parameters,omitempty"`
		Steps      []stepView        `json:"steps"`
	}
}

func (s *service) pipelines(api huma.API) {
	security := []map[string][]string{{"orgKey": {}}}
	register := func(method, path, id, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: "/api/v1/pipelines" + path, Summary: summary,
			Tags: []string{tagPipeline}, Security: security, DefaultStatus: http.StatusOK,
		}
	}
	huma.Register(api, register(http.MethodPost, "/run/{org}/{provider}/{domain}/{pipeline}", "run-pipeline", "Start a run of a pipeline"),
		func(ctx context.Context, in *runInput) (*runStarted, error) { return s.run(ctx, in) })
	huma.Register(api, register(http.MethodPost, "/run/{org}/{provider}/{pipeline}", "run-pipeline-without-domain", "Start a run of a pipeline that has no domain"),
		func(ctx context.Context, in *shortRunInput) (*runStarted, error) {
			return s.run(ctx, &runInput{Org: in.Org, Provider: in.Provider, Pipeline: in.Pipeline, User: in.User, Body: in.Body})
		})
	huma.Register(api, register(http.MethodGet, "/runs", "list-runs", "List the organisation's runs, newest first"), s.list)
	huma.Register(api, register(http.MethodGet, "/runs/{id}", "get-run", "Get a run with its steps"), s.get)
}

func (s *service) run(ctx context.Context, in *runInput) (*runStarted, error) {
	p := principal(ctx)
	if problem := checkPath(p, in); problem != nil {
		return nil, problem
	}
	request, problem := requestOf(p, in)
	if problem != nil {
		return nil, problem
	}
	run, existing, err := s.cfg.Runs.Launch(ctx, request)
	if err != nil {
		return nil, s.problem(ctx, "run refused", err)
	}
	var out runStarted
	out.Body.ID, out.Body.PipelineID, out.Body.Org, out.Body.Status = run.ID, run.PipelineID, run.Org, string(run.State)
	out.Body.Message = "Pipeline triggered; it runs asynchronously"
	if existing {
		out.Body.Status = string(launcher.Running)
		out.Body.Message = "An equal run is already active: " + run.ID
	}
	return &out, nil
}

func checkPath(p launcher.Principal, in *runInput) *Problem {
	if !validOrg.MatchString(in.Org) {
		return coded(codeInvalidPath, "organisation slugs are 3 to 50 lower-case letters, digits and underscores")
	}
	for _, part := range []string{in.Provider, in.Domain, in.Pipeline} {
		if part != "" && !validPart.MatchString(part) {
			return coded(codeInvalidPath, "providers, domains and pipelines are lower-case letters, digits, dashes and underscores")
		}
	}
	if in.Org != p.Org {
		return coded(codeOrgMismatch, "the API key belongs to organisation "+p.Org+", not to "+in.Org)
	}
	if !p.Allows(scopeRun) {
		return coded(codeForbidden, "the API key lacks the scope "+scopeRun)
	}
	return nil
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
	if !p.Allows(scopeRead) {
		return nil, coded(codeForbidden, "the API key lacks the scope "+scopeRead)
	}
	state := launcher.State(strings.ToUpper(in.Status))
	if state != "" && !slices.Contains(runStates, state) {
		problem := coded(launcher.CodeInvalidParameter, "status is not a state of runs")
		problem.Errors = []FieldError{{Loc: "query.status", Msg: fmt.Sprintf("must be one of %s, got %q", runStates, in.Status)}}
		return nil, problem
	}
	runs, err := s.cfg.Runs.List(ctx, p.Org, launcher.Filter{
		Pipeline: in.PipelineID, State: state, Limit: in.Limit,
	})
	if err != nil {
		return nil, s.problem(ctx, "list runs", err)
	}
	out := &listOutput{Body: make([]runView, len(runs))}
	for i, r := range runs {
		out.Body[i] = viewOf(r)
	}
	return out, nil
}

func (s *service) get(ctx context.Context, in *getInput) (*getOutput, error) {
	p := principal(ctx)
	if !p.Allows(scopeRead) {
		return nil, coded(codeForbidden, "the API key lacks the scope "+scopeRead)
	}
	run, err := s.cfg.Runs.Run(ctx, p.Org, in.ID)
	if err != nil {
		return nil, s.problem(ctx, "get run", err)
	}
	var out getOutput
	out.Body.runView, out.Body.Parameters = viewOf(run), run.Params
	out.Body.Steps = make([]stepView, len(run.Steps))
	for i, step := range run.Steps {
		out.Body.Steps[i] = stepOf(step)
	}
	return &out, nil
}

func viewOf(r launcher.Run) runView {
	v := runView{
		ID: r.ID, PipelineID: r.PipelineID, Org: r.Org, Status: string(r.State), Trigger: r.Trigger, TriggerBy: r.TriggerBy,
		Start: r.Start, Code: r.Code, Error: r.Error,
	}
	if r.RunDate.IsValid() {
		v.RunDate = r.RunDate.String()
	}
	v.End, v.DurationMS = span(r.Start, r.End)
	return v
}

func stepOf(s launcher.StepRun) stepView {
	v := stepView{
		Step: s.Step, Type: s.Type, Index: s.Index, Status: string(s.State), Table: s.Table, Rows: s.Counts.Rows, Published: s.Published,
		Rejected: s.Counts.Rejected, Unpriced: s.Unpriced, Pages: s.Counts.Pages, Requests: s.Counts.Requests, Retries: s.Counts.Retries,
		JobIDs: s.JobIDs, Code: s.Code, Error: s.Error, Warnings: s.Warnings,
	}
	if !s.Start.IsZero() {
		v.Start = &s.Start
	}
	v.End, v.DurationMS = span(s.Start, s.End)
	return v
}

// span returns the end and the milliseconds to it, nil while there is no end.
func span(start, end time.Time) (*time.Time, *int64) {
	if end.IsZero() {
		return nil, nil
	}
	if start.IsZero() {
		return &end, nil
	}
	ms := end.Sub(start).Milliseconds()
	return &end, &ms
}
