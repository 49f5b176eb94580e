package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Entry is a pipeline of the catalogue.
type Entry struct {
	ID          string      `json:"id"` // provider/domain/name
	Provider    string      `json:"provider"`
	Domain      string      `json:"domain"`
	Name        string      `json:"name"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Schedule    string      `json:"schedule"`
	Timezone    string      `json:"timezone"`
	Integration string      `json:"required_integration"`
	Steps       []EntryStep `json:"steps"`
	Runnable    bool        `json:"runnable"`
}

// EntryStep is a step of an Entry.
type EntryStep struct {
	Step      string   `json:"step"`
	Type      string   `json:"type"`
	DependsOn []string `json:"depends_on"`
	Table     string   `json:"table"`
	WriteMode string   `json:"write_mode"`
}

// EntryDocument is an Entry with its document.
type EntryDocument struct {
	Entry
	Document json.RawMessage `json:"document"`
	Text     string          `json:"text"`
}

// Plan is what a run would do.
type Plan struct {
	Pipeline string     `json:"pipeline"`
	Start    string     `json:"start_date"`
	End      string     `json:"end_date"`
	Steps    []PlanStep `json:"steps"`
	Bytes    int64      `json:"estimated_bytes"`
	CostUSD  string     `json:"estimated_cost_usd"`
	Warnings []string   `json:"warnings"`

	Notifications []PlanNotification `json:"notifications"`
}

// PlanNotification is sent when the run has ended; nothing waits for it.
type PlanNotification struct {
	Step string `json:"step"`
	Type string `json:"type"`
}

// PlanStep is a step of a Plan.
type PlanStep struct {
	Step      string   `json:"step"`
	Type      string   `json:"type"`
	Table     string   `json:"table"`
	WriteMode string   `json:"write_mode"`
	Units     int      `json:"units"`
	DependsOn []string `json:"depends_on"`
	Skipped   bool     `json:"skipped"`
	Queries   int      `json:"queries"`
	Bytes     *int64   `json:"estimated_bytes"`
	Note      string   `json:"note"`
}

// DocumentProblem is one thing to say about a document.
type DocumentProblem struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Path       string `json:"path"`
	Severity   string `json:"severity"` // error, warning, note
	Message    string `json:"message"`
	Suggestion string `json:"suggestion"`
}

// Judgement is the answer to Validate.
type Judgement struct {
	Valid    bool              `json:"valid"`
	Problems []DocumentProblem `json:"problems"`
}

// Pipelines returns a page of the catalogue, of one provider unless that is "".
func (c *Client) Pipelines(ctx context.Context, provider string, limit int, cursor string) (entries []Entry, next string, err error) {
	query := page(limit, cursor)
	set(query, "provider", provider)
	next, err = c.list(ctx, prefix, query, &entries)
	return entries, next, err
}

// Pipeline returns a pipeline with its document.
func (c *Client) Pipeline(ctx context.Context, p Pipeline) (EntryDocument, error) {
	return fetch[EntryDocument](ctx, c, http.MethodGet, parts(prefix, p.Provider, orDash(p.Domain), p.Name), nil)
}

// Graph draws a pipeline; format is text, dot, mermaid or json.
func (c *Client) Graph(ctx context.Context, p Pipeline, format string) (string, error) {
	var out struct {
		Graph string `json:"graph"`
	}
	err := c.get(ctx, parts(prefix, p.Provider, orDash(p.Domain), p.Name, "graph")+"?format="+url.QueryEscape(format), &out)
	return out.Graph, err
}

// orDash stands in for an absent domain.
func orDash(domain string) string {
	if domain == "" {
		return "-"
	}
	return domain
}

// Validate judges a document; strict makes warnings errors.
func (c *Client) Validate(ctx context.Context, file, document string, strict bool) (Judgement, error) {
	return fetch[Judgement](ctx, c, http.MethodPost, prefix+"/validate", struct {
		Document string `json:"document"`
		File     string `json:"file,omitempty"`
		Strict   bool   `json:"strict,omitempty"`
	}{document, file, strict})
}
