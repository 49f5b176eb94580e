package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/cloudact/convergence/launcher"
)

// Control is what the API needs of the launcher to end runs and to repeat them.
type Control interface {
	Cancel(ctx context.Context, org, id string, discard bool) (launcher.Run, error)
	Retry(ctx context.Context, org, id, by string) (run launcher.Run, existing bool, err error)
}

type cancelInput struct {
	ID      string `path:"id"`
	Discard bool   `query:"discard" default:"false" doc:"drop what the run has staged, so that nothing can resume it"`
}

type cancelOutput struct {
	Body struct {
		ID      string `json:"pipeline_logging_id"`
		Status  string `json:"status" doc:"state of the run when it was asked to end"`
		Message string `json:"message"`
	}
}

type retryInput struct {
	ID   string `path:"id"`
	User string `header:"X-User-ID" maxLength:"200"`
}

type oldRunInput struct {
	ID   string `path:"pipeline_id"`
	User string `header:"X-User-ID" maxLength:"200"`
	Key  string `header:"Idempotency-Key" maxLength:"128" doc:"the same key with the same body is answered with the same run for a day"`
	Body *runBody
}

func (s *service) control() {
	end := route{
		method: http.MethodDelete, path: runsPath + "/{id}", id: "cancel-run", summary: "Ask for the end of a run", tag: tagRuns,
		about: "The run is CANCELLED as soon as whoever works on it has heard of it. A step that had published stays COMPLETED.",
		key:   keyOrg, scope: scopeRun, action: actionDelete, resource: resourcePipeline, also: []int{http.StatusNotFound, http.StatusConflict},
	}
	add(s, end, s.cancel)
	again := end
	again.method, again.path, again.id, again.action, again.run = http.MethodPost, runsPath+"/{id}/retry", "retry-run", actionExecute, true
	again.summary, again.about = "Repeat a run that has not completed", "The new run resumes what the old one has staged, and states the same days."
	add(s, again, s.retry)
}

func (s *service) cancel(ctx context.Context, in *cancelInput) (*cancelOutput, error) {
	run, err := s.cfg.Control.Cancel(ctx, principal(ctx).Org, in.ID, in.Discard)
	if err != nil {
		return nil, s.problem(ctx, "cancel run", err)
	}
	var out cancelOutput
	out.Body.ID, out.Body.Status = run.ID, string(run.State)
	out.Body.Message = "The run was asked to end; what it has staged is kept for a retry"
	if in.Discard {
		out.Body.Message = "The run was asked to end; what it has staged is dropped"
	}
	return &out, nil
}

func (s *service) retry(ctx context.Context, in *retryInput) (*runStarted, error) {
	by := in.User
	if by == "" {
		by = apiUser
	}
	run, existing, err := s.cfg.Control.Retry(ctx, principal(ctx).Org, in.ID, by)
	if err != nil {
		return nil, s.problem(ctx, "retry refused", err)
	}
	out := startedOf(run, existing)
	out.Body.RetryOf = in.ID
	return out, nil
}

func startedOf(run launcher.Run, existing bool) *runStarted {
	var out runStarted
	out.Body.ID, out.Body.PipelineID, out.Body.Org, out.Body.Status = run.ID, run.PipelineID, run.Org, string(run.State)
	out.Body.Message = "Pipeline triggered; it runs asynchronously"
	if existing {
		out.Body.Status = string(launcher.Running)
		out.Body.Message = "An equal run is already active: " + run.ID
	}
	return &out
}

// runOld starts a pipeline by its tracking id, its catalogue id with dashes, or its name
// if that is the only one.
func (s *service) runOld(ctx context.Context, in *oldRunInput) (*runStarted, error) {
	p := principal(ctx)
	all, err := s.cfg.Catalogue.Pipelines(ctx, p.Org)
	if err != nil {
		return nil, s.problem(ctx, "find pipeline", err)
	}
	id := strings.TrimPrefix(in.ID, p.Org+"-")
	var found []Pipeline
	for _, candidate := range all {
		if dashed := strings.ReplaceAll(candidate.ID, "/", "-"); dashed == id {
			found = []Pipeline{candidate}
			break
		}
		if candidate.Name == id {
			found = append(found, candidate)
		}
	}
	if len(found) != 1 {
		return nil, coded(launcher.CodePipelineNotFound, "there is no one pipeline "+in.ID+"; GET "+prefix+"/pipelines lists them, POST "+prefix+"/pipelines/run/{org}/{provider}/{domain}/{name} starts one")
	}
	domain := found[0].Domain
	if domain == "" {
		domain = noDomain
	}
	return s.run(ctx, &runInput{Org: p.Org, Provider: found[0].Provider, Domain: domain, Pipeline: found[0].Name, User: in.User, Key: in.Key, Body: in.Body})
}
