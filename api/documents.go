package api

import (
	"context"
	"net/http"

	"github.com/cloudact/convergence/launcher"
)

// Documents judges pipelines without starting anything.
type Documents interface {
	// Validate returns everything that can be said against a document; strict makes
	// warnings errors.
	Validate(ctx context.Context, org string, d launcher.Document, strict bool) []DocumentProblem
	// DryRun validates and plans a request as a run would, and asks the warehouse what its
	// queries would read.
	DryRun(ctx context.Context, r launcher.Request) (DryRun, error)
}

// DocumentProblem is one thing to say about a document, at its place.
type DocumentProblem struct {
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty" doc:"from 1; absent when the problem has no place in the text"`
	Column     int    `json:"column,omitempty"`
	Path       string `json:"path,omitempty" doc:"of the value, such as steps[1].config.auth.type"`
	Severity   string `json:"severity" enum:"error,warning,note"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty" doc:"a spelling that would be right"`
}

// DryRun is what a run would do.
type DryRun struct {
	Pipeline string       `json:"pipeline" doc:"provider/domain/name"`
	Start    string       `json:"start_date"`
	End      string       `json:"end_date" doc:"inclusive"`
	Steps    []DryRunStep `json:"steps"`
	Bytes    int64        `json:"estimated_bytes" doc:"that the queries would read, where the warehouse could tell"`
	CostUSD  string       `json:"estimated_cost_usd" doc:"of those bytes at the on-demand list price"`
	Warnings []string     `json:"warnings,omitempty"`

	Notifications []DryRunNotification `json:"notifications,omitempty" doc:"sent when the run has ended, as each asks for; nothing waits for them"`
}

// DryRunNotification is a hook of the pipeline.
type DryRunNotification struct {
	Step string `json:"step"`
	Type string `json:"type"`
}

// DryRunStep is a step of it.
type DryRunStep struct {
	Step      string   `json:"step"`
	Type      string   `json:"type"`
	Table     string   `json:"table,omitempty"`
	WriteMode string   `json:"write_mode,omitempty"`
	Units     int      `json:"units" doc:"slices that the step states, one each"`
	DependsOn []string `json:"depends_on,omitempty"`
	Skipped   bool     `json:"skipped,omitempty"`
	Queries   int      `json:"queries,omitempty"`
	Bytes     *int64   `json:"estimated_bytes,omitempty" doc:"absent when the step has no query or the warehouse could not tell"`
	Note      string   `json:"note,omitempty" doc:"why the bytes are not known"`
}

type validateInput struct {
	Body struct {
		Document string `json:"document" minLength:"1" maxLength:"900000" doc:"YAML text"`
		File     string `json:"file,omitempty" maxLength:"200" pattern:"^[A-Za-z0-9][A-Za-z0-9._/-]*$" doc:"name in the problems; pipeline.yml when absent"`
		Strict   bool   `json:"strict,omitempty" doc:"warnings are errors"`
	}
}

type validateOutput struct {
	Body struct {
		Valid    bool              `json:"valid"`
		Problems []DocumentProblem `json:"problems"`
	}
}

func (s *service) documents() {
	add(s, route{
		method: http.MethodPost, path: prefix + "/pipelines/validate", id: "validate-pipeline", tag: "Catalogue",
		summary: "Validate a document: every problem with its line and column",
		about:   "The answer is 200 whether the document is valid or not. Nothing is stored.",
		key:     keyOrg, scope: scopeRead, action: actionRead, resource: resourcePipeline,
	}, s.validate)
}

func (s *service) validate(ctx context.Context, in *validateInput) (*validateOutput, error) {
	d := launcher.Document{File: in.Body.File, Text: in.Body.Document}
	if d.File == "" {
		d.File = "pipeline.yml"
	}
	var out validateOutput
	out.Body.Valid = true
	out.Body.Problems = append([]DocumentProblem{}, s.cfg.Documents.Validate(ctx, principal(ctx).Org, d, in.Body.Strict)...)
	for _, p := range out.Body.Problems {
		out.Body.Valid = out.Body.Valid && p.Severity != "error"
	}
	return &out, nil
}
