package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/cloudact/convergence/launcher"
)

// Catalogue is the pipelines that an organisation can run. Errors are *launcher.Error
// where the caller can do something.
type Catalogue interface {
	// Pipelines returns all of them by id.
	Pipelines(ctx context.Context, org string) ([]Pipeline, error)
	// Document returns one with its variables resolved as far as that is possible without
	// a run. It holds no secret.
	Document(ctx context.Context, org, id string) (PipelineDocument, error)
	// Graph draws one: format is text, dot, mermaid or json.
	Graph(ctx context.Context, org, id, format string) (string, error)
}

// Pipeline is an entry of the catalogue.
type Pipeline struct {
	ID          string         `json:"id" doc:"provider/domain/name; domain may be absent"`
	Provider    string         `json:"provider"`
	Domain      string         `json:"domain" doc:"empty when the pipeline has none"`
	Name        string         `json:"name"`
	Title       string         `json:"title,omitempty" doc:"name of the document for people"`
	Description string         `json:"description"`
	Schedule    string         `json:"schedule,omitempty" doc:"five cron fields; empty when it has none"`
	Timezone    string         `json:"timezone,omitempty"`
	Integration string         `json:"required_integration,omitempty" doc:"providers that must be set up, such as OPENAI, separated by commas"`
	Steps       []PipelineStep `json:"steps"`
	Runnable    bool           `json:"runnable" doc:"whether it passes validation as it is"`
}

// PipelineStep is a step of an entry.
type PipelineStep struct {
	Step      string   `json:"step"`
	Type      string   `json:"type"`
	DependsOn []string `json:"depends_on,omitempty"`
	Table     string   `json:"table,omitempty"`
	WriteMode string   `json:"write_mode,omitempty"`
}

// PipelineDocument is an entry with its document.
type PipelineDocument struct {
	Pipeline
	Document json.RawMessage `json:"document" doc:"the document as JSON, in canonical spelling"`
	Text     string          `json:"text" doc:"the document as it is written"`
}

type catalogueInput struct {
	PageInput
	Provider string `query:"provider" maxLength:"64" doc:"only pipelines of this provider"`
}

type catalogueOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body []Pipeline
}

type pipelineInput struct {
	Provider string `path:"provider"`
	Domain   string `path:"domain"`
	Pipeline string `path:"pipeline"`
}

type pipelineOutput struct {
	Body struct {
		Pipeline
		Document any    `json:"document" doc:"the document as JSON, in canonical spelling"`
		Text     string `json:"text" doc:"the document as it is written"`
	}
}

type graphInput struct {
	Provider string `path:"provider"`
	Domain   string `path:"domain"`
	Pipeline string `path:"pipeline"`
	Format   string `query:"format" enum:"text,dot,mermaid,json" default:"text"`
}

type graphOutput struct {
	Body struct {
		ID     string `json:"id"`
		Format string `json:"format"`
		Graph  string `json:"graph"`
	}
}

func (s *service) catalogue() {
	read := func(path, id, summary string) route {
		return route{
			method: http.MethodGet, path: prefix + "/pipelines" + path, id: id, summary: summary, tag: "Catalogue", key: keyOrg, scope: scopeRead,
			action: actionRead, resource: resourcePipeline, also: []int{http.StatusNotFound},
		}
	}
	// A pipeline without a domain has "-" in its place.
	add(s, read("", "list-pipelines", "List the pipelines that can be run"), s.listPipelines)
	add(s, read("/{provider}/{domain}/{pipeline}", "get-pipeline", "Get a pipeline with its document"), s.getPipeline)
	add(s, read("/{provider}/{domain}/{pipeline}/graph", "get-pipeline-graph", "Draw the graph that a pipeline becomes"), s.getGraph)
}

func (s *service) listPipelines(ctx context.Context, in *catalogueInput) (*catalogueOutput, error) {
	all, err := s.cfg.Catalogue.Pipelines(ctx, principal(ctx).Org)
	if err != nil {
		return nil, s.problem(ctx, "list pipelines", err)
	}
	if in.Provider != "" {
		var own []Pipeline
		for _, p := range all {
			if p.Provider == providerFolder(in.Provider) {
				own = append(own, p)
			}
		}
		all = own
	}
	page, link, problem := pageOf(ctx, in.PageInput, all, func(p Pipeline) string { return p.ID })
	if problem != nil {
		return nil, problem
	}
	return &catalogueOutput{Link: link, Body: page}, nil
}

func (s *service) getPipeline(ctx context.Context, in *pipelineInput) (*pipelineOutput, error) {
	id, problem := s.find(ctx, in.Provider, in.Domain, in.Pipeline)
	if problem != nil {
		return nil, problem
	}
	doc, err := s.cfg.Catalogue.Document(ctx, principal(ctx).Org, id)
	if err != nil {
		return nil, s.problem(ctx, "get pipeline", err)
	}
	var out pipelineOutput
	out.Body.Pipeline, out.Body.Document, out.Body.Text = doc.Pipeline, doc.Document, doc.Text
	return &out, nil
}

func (s *service) getGraph(ctx context.Context, in *graphInput) (*graphOutput, error) {
	id, problem := s.find(ctx, in.Provider, in.Domain, in.Pipeline)
	if problem != nil {
		return nil, problem
	}
	graph, err := s.cfg.Catalogue.Graph(ctx, principal(ctx).Org, id, in.Format)
	if err != nil {
		return nil, s.problem(ctx, "draw pipeline", err)
	}
	var out graphOutput
	out.Body.ID, out.Body.Format, out.Body.Graph = id, in.Format, graph
	return &out, nil
}

// noDomain stands for an absent domain where a path must have one.
const noDomain = "-"

// providerFolder is the folder of a provider in the catalogue, whichever of its names the
// caller uses.
func providerFolder(name string) string {
	switch name = strings.ToLower(name); name {
	case "claude":
		return "anthropic"
	case "gcp_sa":
		return "gcp"
	default:
		return name
	}
}

// find looks a pipeline up: by its own parts, or without a domain as the only pipeline of
// that provider and name. No path is built of what the caller wrote.
func (s *service) find(ctx context.Context, provider, domain, name string) (string, *Problem) {
	all, err := s.cfg.Catalogue.Pipelines(ctx, principal(ctx).Org)
	if err != nil {
		return "", s.problem(ctx, "find pipeline", err)
	}
	provider = providerFolder(provider)
	if domain == noDomain {
		domain = ""
	}
	var near []string
	for _, p := range all {
		switch {
		case p.Provider != provider || p.Name != name:
		case p.Domain == domain:
			return p.ID, nil
		case domain == "":
			near = append(near, p.ID)
		}
	}
	switch len(near) {
	case 1:
		return near[0], nil
	case 0:
		return "", coded(launcher.CodePipelineNotFound, "there is no pipeline "+path.Join(provider, domain, name)+"; GET "+prefix+"/pipelines lists them")
	default:
		return "", coded(launcher.CodePipelineNotFound, fmt.Sprintf("%s/%s is in several domains: %s; name one", provider, name, strings.Join(near, ", ")))
	}
}
