package bigquery

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

func (s *Server) routeQueries(mux *http.ServeMux) {
	s.handle(mux, "jobs.query", "POST "+apiRoot+"/queries", s.query)
	s.handle(mux, "jobs.getQueryResults", "GET "+apiRoot+"/queries/{job}", s.getQueryResults)
}

// requestGate makes calls with the same request id take turns, so that the
// second finds the job of the first.
type requestGate struct {
	mu    sync.Mutex
	gates map[string]*gate
}

type gate struct {
	sync.Mutex
	users int
}

func newRequestGate() *requestGate { return &requestGate{gates: map[string]*gate{}} }

func (g *requestGate) enter(key string) (leave func()) {
	g.mu.Lock()
	one := g.gates[key]
	if one == nil {
		one = &gate{}
		g.gates[key] = one
	}
	one.users++
	g.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		g.mu.Lock()
		defer g.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(g.gates, key)
		}
	}
}

// queryRequest is the part of a jobs.query body that is not configuration.
type queryRequest struct {
	MaxResults      *int64        `json:"maxResults"`
	RequestID       string        `json:"requestId"`
	Location        string        `json:"location"`
	DryRun          bool          `json:"dryRun"`
	JobCreationMode string        `json:"jobCreationMode"`
	FormatOptions   formatOptions `json:"formatOptions"`
}

type formatOptions struct {
	UseInt64Timestamp bool `json:"useInt64Timestamp"`
}

type queryResponse struct {
	Kind                string             `json:"kind"`
	Etag                string             `json:"etag,omitempty"`
	Schema              *wire.Schema       `json:"schema,omitempty"`
	JobReference        *wire.JobReference `json:"jobReference,omitempty"`
	QueryID             string             `json:"queryId,omitempty"`
	TotalRows           string             `json:"totalRows,omitempty"`
	PageToken           string             `json:"pageToken,omitempty"`
	Rows                json.RawMessage    `json:"rows,omitempty"`
	TotalBytesProcessed string             `json:"totalBytesProcessed,omitempty"`
	TotalBytesBilled    string             `json:"totalBytesBilled,omitempty"`
	JobComplete         bool               `json:"jobComplete"`
	CacheHit            bool               `json:"cacheHit"`
	NumDMLAffectedRows  string             `json:"numDmlAffectedRows,omitempty"`
	DMLStats            *wire.DMLStats     `json:"dmlStats,omitempty"`
	StatementType       string             `json:"statementType,omitempty"`
	Location            string             `json:"location,omitempty"`
	CreationTime        string             `json:"creationTime,omitempty"`
	StartTime           string             `json:"startTime,omitempty"`
	EndTime             string             `json:"endTime,omitempty"`
}

// queryConfiguration lists the members of a jobs.query body that belong to
// the job's configuration, and the section they go to.
var queryConfiguration = map[string]string{
	"query": "query", "defaultDataset": "query", "useLegacySql": "query", "useQueryCache": "query", "queryParameters": "query",
	"parameterMode": "query", "maximumBytesBilled": "query", "destinationTable": "query", "createDisposition": "query",
	"writeDisposition": "query", "connectionProperties": "query", "createSession": "query", "labels": "", "jobTimeoutMs": "", "dryRun": "",
}

// query runs a query and answers its first page.
func (s *Server) query(r *http.Request) (any, error) {
	body := map[string]any{}
	req := queryRequest{}
	raw := json.RawMessage{}
	if err := readJSON(r, &raw); err != nil {
		return nil, err
	}
	for _, target := range []any{&body, &req} {
		if err := decodeJSON(raw, target); err != nil {
			return nil, err
		}
	}
	project := r.PathValue("project")
	config := map[string]any{}
	section := map[string]any{}
	for name, where := range queryConfiguration {
		if v, ok := body[name]; ok && where == "query" {
			section[name] = v
		} else if ok {
			config[name] = v
		}
	}
	config["query"] = section
	sub := submission{Configuration: config, JobReference: wire.JobReference{Location: req.Location}, requestID: req.RequestID}
	if req.RequestID != "" && !req.DryRun {
		defer s.requests.enter(project + "/" + req.RequestID)()
		since := s.cfg.Clock().Add(-requestWindow).UnixMilli()
		if ref, err := catalog.RequestJob(r.Context(), s.db, project, req.RequestID, since); err != nil {
			return nil, err
		} else if ref != nil {
			job, err := catalog.Job(r.Context(), s.db, *ref)
			if err != nil {
				return nil, err
			}
			return s.answerQuery(r.Context(), job, req)
		}
		if run := s.jobs.findRequest(project, req.RequestID); run != nil {
			return run.incomplete("bigquery#queryResponse"), nil
		}
	}
	run, err := s.submit(r.Context(), project, sub)
	if err != nil {
		return nil, err
	}
	if req.DryRun {
		return dryRunResponse(run.job), nil
	}
	if run.hold != nil {
		return run.incomplete("bigquery#queryResponse"), nil
	}
	return s.answerQuery(r.Context(), run.job, req)
}

func (s *Server) answerQuery(ctx context.Context, job *wire.Job, req queryRequest) (*queryResponse, error) {
	p := page{limit: -1}
	if req.MaxResults != nil {
		p.limit = *req.MaxResults
	}
	out, err := s.results(ctx, job, p, req.FormatOptions.UseInt64Timestamp)
	if err != nil {
		return nil, err
	}
	out.Kind, out.Etag = "bigquery#queryResponse", ""
	out.QueryID = job.JobReference.JobID
	return out, nil
}

// getQueryResults answers a page of a job's rows, waiting a while for a job
// that runs.
func (s *Server) getQueryResults(r *http.Request) (any, error) {
	p, err := readPage(r)
	if err != nil {
		return nil, err
	}
	ref := pathJob(r)
	if run := s.jobs.find(ref); run != nil && (run.hold != nil && !run.hold.over() || !waitFor(r, run.done)) {
		return run.incomplete("bigquery#getQueryResultsResponse"), nil
	}
	job, err := catalog.Job(r.Context(), s.db, ref)
	if err != nil {
		return nil, err
	}
	return s.results(r.Context(), job, p, isTrue(r, "formatOptions.useInt64Timestamp"))
}

// incomplete answers for a query that has not ended.
func (run *jobRun) incomplete(kind string) *queryResponse {
	ref := run.shown.JobReference
	return &queryResponse{Kind: kind, JobReference: &ref, QueryID: ref.JobID, Location: ref.Location}
}

// defaultWait is how long results are waited for without timeoutMs.
const defaultWait = 10 * time.Second

func waitFor(r *http.Request, done <-chan struct{}) bool {
	wait := defaultWait
	if ms, err := strconv.ParseInt(r.URL.Query().Get("timeoutMs"), 10, 64); err == nil && ms >= 0 {
		wait = min(time.Duration(ms)*time.Millisecond, 4*time.Minute)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-r.Context().Done():
	}
	return false
}

// results is the answer about a query job that has ended.
func (s *Server) results(ctx context.Context, job *wire.Job, p page, integerTimes bool) (*queryResponse, error) {
	if job.Status.ErrorResult != nil {
		return nil, wire.FromProto(*job.Status.ErrorResult)
	}
	if job.Statistics.Query == nil {
		return nil, wire.Invalid("Cannot get query results for a job that is not a query: %s", job.ID)
	}
	q := job.Statistics.Query
	ref := job.JobReference
	out := &queryResponse{
		Kind: "bigquery#getQueryResultsResponse", Etag: job.Etag, JobReference: &ref, JobComplete: true, Location: ref.Location,
		TotalBytesProcessed: job.Statistics.TotalBytesProcessed, TotalBytesBilled: q.TotalBytesBilled, StatementType: q.StatementType,
		NumDMLAffectedRows: q.NumDMLAffectedRows, DMLStats: q.DMLStats,
		CreationTime: job.Statistics.CreationTime, StartTime: job.Statistics.StartTime, EndTime: job.Statistics.EndTime,
	}
	local := job.Local
	if local == nil || local.Schema == nil {
		return out, nil
	}
	out.Schema = local.Schema
	var err error
	if local.Table != nil {
		err = s.destinationPage(ctx, local, p, out)
	} else {
		err = s.storedPage(ctx, job, p, out)
	}
	if err == nil && !integerTimes && len(out.Rows) > 0 {
		out.Rows, err = wire.FloatTimestamps(out.Rows, local.Schema.Fields, wire.ScientificSeconds)
	}
	return out, err
}

// dryRunResponse answers jobs.query for a query that was only checked.
func dryRunResponse(job *wire.Job) *queryResponse {
	return &queryResponse{
		Kind: "bigquery#queryResponse", Schema: job.Statistics.Query.Schema, JobComplete: true, Location: job.JobReference.Location,
		TotalBytesProcessed: job.Statistics.TotalBytesProcessed, StatementType: job.Statistics.Query.StatementType, TotalRows: "0",
	}
}
