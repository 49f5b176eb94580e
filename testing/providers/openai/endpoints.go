package openai

import (
	"net/http"
	"time"

	"github.com/cloudact/convergence/testing/providers/faults"
)

// bounds are the limits of a bucket width: how many buckets a page holds by
// default and at most.
type bounds struct {
	standard, most int
}

// endpoint is the contract of one usage or costs endpoint.
type endpoint struct {
	path    string
	groupBy []string
	filters []string // array parameters beside group_by
	widths  map[string]bounds
	batch   bool // takes the boolean filter batch
	results func(*Server, *org, query, window) ([]any, error)
}

var (
	usageWidths = map[string]bounds{"1d": {7, 31}, "1h": {24, 168}, "1m": {60, 1440}}
	costWidths  = map[string]bounds{"1d": {7, 180}}
	modelGroups = []string{"project_id", "user_id", "api_key_id", "model"}
	modelFilter = []string{"project_ids", "user_ids", "api_key_ids", "models"}
)

// endpoints are the ten usage endpoints and costs. Those without traffic in
// the traces answer empty buckets.
var endpoints = []endpoint{
	{path: "usage/completions", groupBy: with(modelGroups, "batch", "service_tier"), filters: modelFilter, widths: usageWidths, batch: true, results: completionResults},
	{path: "usage/embeddings", groupBy: modelGroups, filters: modelFilter, widths: usageWidths, results: embeddingResults},
	{path: "usage/moderations", groupBy: modelGroups, filters: modelFilter, widths: usageWidths},
	{path: "usage/images", groupBy: with(modelGroups, "size", "source"), filters: with(modelFilter, "sources", "sizes"), widths: usageWidths},
	{path: "usage/audio_speeches", groupBy: modelGroups, filters: modelFilter, widths: usageWidths},
	{path: "usage/audio_transcriptions", groupBy: modelGroups, filters: modelFilter, widths: usageWidths},
	{path: "usage/vector_stores", groupBy: []string{"project_id"}, filters: []string{"project_ids"}, widths: usageWidths},
	{path: "usage/code_interpreter_sessions", groupBy: []string{"project_id"}, filters: []string{"project_ids"}, widths: usageWidths},
	{path: "usage/file_search_calls", groupBy: []string{"project_id", "user_id", "api_key_id", "vector_store_id"}, filters: []string{"project_ids", "user_ids", "api_key_ids", "vector_store_ids"}, widths: usageWidths},
	{path: "usage/web_search_calls", groupBy: with(modelGroups, "context_level"), filters: with(modelFilter, "context_levels"), widths: usageWidths},
	{path: "costs", groupBy: []string{"project_id", "line_item", "api_key_id"}, filters: []string{"project_ids", "api_key_ids"}, widths: costWidths, results: costResults},
}

func with(names []string, more ...string) []string {
	return append(append([]string{}, names...), more...)
}

// window is the time of one bucket, its end excluded.
type window struct {
	start, end time.Time
}

type bucket struct {
	Object    string `json:"object"`
	StartTime int64  `json:"start_time"`
	EndTime   int64  `json:"end_time"`
	Results   []any  `json:"results"`
}

type page struct {
	Object   string   `json:"object"`
	Data     []bucket `json:"data"`
	HasMore  bool     `json:"has_more"`
	NextPage *string  `json:"next_page"`
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, e := range endpoints {
		mux.HandleFunc("/v1/organization/"+e.path, s.get(true, s.buckets(e)))
	}
	mux.HandleFunc("/v1/organization/projects", s.get(true, s.listProjects))
	mux.HandleFunc("/v1/models", s.get(false, s.listModels))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, newError(http.StatusNotFound, "invalid_request_error", "unknown_url",
			"Unknown request URL: "+r.Method+" "+r.URL.Path+"."))
	})
	return s.Observed(mux)
}

// get serves a GET of an authenticated caller.
func (s *Server) get(admin bool, serve func(*org, *http.Request) (any, *apiError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			writeError(w, newError(http.StatusMethodNotAllowed, "invalid_request_error", "method_not_supported",
				"Not allowed to "+r.Method+" on "+r.URL.Path+"."))
			return
		}
		o, failure := s.authenticate(r, admin)
		if failure != nil {
			writeError(w, failure)
			return
		}
		body, failure := serve(o, r)
		if failure != nil {
			writeError(w, failure)
			return
		}
		writeJSON(w, http.StatusOK, body)
	}
}

// buckets serves one page of a usage or costs endpoint. Buckets lie on UTC
// boundaries; the first and the last are cut to the time that was asked for,
// as in the provider's own example. Empty ones are part of the page.
func (s *Server) buckets(e endpoint) func(*org, *http.Request) (any, *apiError) {
	return func(o *org, r *http.Request) (any, *apiError) {
		q, failure := s.parse(e, o, r)
		if failure != nil {
			return nil, failure
		}
		faults.Pause(r.Context(), s.config.PageDelay)
		answer := page{Object: "page", Data: []bucket{}}
		at := q.start
		for at.Before(q.end) && len(answer.Data) < q.limit {
			next := at.Truncate(q.width).Add(q.width)
			if next.After(q.end) {
				next = q.end
			}
			b := bucket{Object: "bucket", StartTime: at.Unix(), EndTime: next.Unix(), Results: []any{}}
			if e.results != nil {
				results, err := e.results(s, o, q, window{at, next})
				if err != nil {
					return nil, newError(http.StatusInternalServerError, "server_error", "", err.Error())
				}
				b.Results = append(b.Results, results...)
			}
			answer.Data = append(answer.Data, b)
			at = next
		}
		if at.Before(q.end) {
			cursor := q.cursor(at)
			answer.HasMore, answer.NextPage = true, &cursor
		}
		return answer, nil
	}
}
