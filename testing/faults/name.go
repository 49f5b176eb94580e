package faults

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
)

// Namer says what a call is for. mutates is true for a call that may change something;
// one without a name is then an error of the catalogue.
type Namer func(r *http.Request, body []byte) (op string, mutates bool)

// Provider names calls to a provider: all are pages.
func Provider(*http.Request, []byte) (string, bool) { return Page, false }

// job is what the body of a job or of a query says about itself.
type job struct {
	Reference struct {
		ID string `json:"jobId"`
	} `json:"jobReference"`
	Configuration struct {
		Labels map[string]string `json:"labels"`
		Query  *struct {
			Text        string          `json:"query"`
			Destination json.RawMessage `json:"destinationTable"`
		} `json:"query"`
	} `json:"configuration"`
	Text string `json:"query"` // of jobs.query
}

var bigQueryPath = regexp.MustCompile(`^(?:/upload|/resumable/upload)?/bigquery/v2/projects/[^/]+/(.+)$`)

// Warehouse names calls of the BigQuery REST API by method, path, job id and statement.
func Warehouse(r *http.Request, body []byte) (op string, mutates bool) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return Read, false
	}
	m := bigQueryPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return "", true
	}
	parts := strings.Split(strings.TrimSuffix(m[1], "/"), "/")
	switch {
	case parts[0] == "jobs" && len(parts) == 3 && parts[2] == "cancel":
		return CancelJob, true
	case parts[0] == "jobs" && len(parts) == 1, parts[0] == "queries" && len(parts) == 1:
		return nameJob(jobOf(r, body))
	case parts[0] == "datasets":
		return nameTable(r.Method, parts[1:], body), true
	}
	return "", true
}

// jobOf reads the job of a request, which an upload carries in its first part.
func jobOf(r *http.Request, body []byte) (j job) {
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && params["boundary"] != "" {
		part, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).NextPart()
		if err != nil {
			return j
		}
		if body, err = io.ReadAll(part); err != nil {
			return j
		}
	}
	_ = json.Unmarshal(body, &j) // what cannot be read has no name
	return j
}

var jobPrefixes = map[string]string{"reg_": Register, "load_": Load, "sql_": SQL, "dlq_": DeadLetters}

func nameJob(j job) (string, bool) {
	id := j.Reference.ID
	if strings.HasPrefix(id, "pub_") {
		if _, fence := j.Configuration.Labels["fence"]; fence {
			return Fence, true
		}
		return Publish, true
	}
	for prefix, op := range jobPrefixes {
		if strings.HasPrefix(id, prefix) {
			return op, true
		}
	}
	text, into := j.Text, false
	if q := j.Configuration.Query; q != nil {
		text, into = q.Text, len(q.Destination) > 0
	}
	return nameStatement(text, into)
}

// readOnly matches a single statement that only reads.
var (
	readOnly      = regexp.MustCompile(`(?is)^\s*(?:SELECT|WITH)\b[^;]*;?\s*$`)
	writtenTables = regexp.MustCompile("(?is)\\b(?:INSERT\\s+(?:INTO\\s+)?|DELETE\\s+(?:FROM\\s+)?|UPDATE\\s+|MERGE\\s+(?:INTO\\s+)?)`?(?:[A-Za-z0-9_-]+\\.)*([A-Za-z0-9_]+)`?")
)

// centralTables are the tables that only one operation writes to.
var centralTables = map[string]string{
	"org_meta_run_events": EventsAppend, "org_meta_pipeline_runs": Project, "org_meta_step_logs": Project,
	"org_integration_credentials": Credential,
	"pipeline_dlq":                LettersMark,
}

// priceTables are those that an organisation gets with an integration.
var priceTables = regexp.MustCompile(`_(pricing|plans|subscriptions)$`)

// guardTables are those whose row makes publishes of different units wait for each other.
var guardTables = regexp.MustCompile("(?is)^\\s*CREATE\\s+TABLE\\s+IF\\s+NOT\\s+EXISTS\\s+`[^`]*\\._guard_[A-Za-z0-9_]+`")

// nameStatement names a statement whose job has no id of ours by the first table that it
// writes to.
func nameStatement(text string, into bool) (string, bool) {
	if readOnly.MatchString(text) && !into {
		return Read, false
	}
	if guardTables.MatchString(text) {
		return GuardCreate, true
	}
	if m := writtenTables.FindStringSubmatch(text); m != nil {
		if op := centralTables[m[1]]; op != "" {
			return op, true
		}
		if priceTables.MatchString(m[1]) {
			return Prices, true
		}
		return "", true
	}
	return "", true
}

const stagePrefix = "_stg_"

// nameTable names calls below /datasets.
func nameTable(method string, parts []string, body []byte) string {
	var table string
	if len(parts) >= 3 {
		table = parts[2]
	}
	stage := strings.HasPrefix(table, stagePrefix)
	switch {
	case method == http.MethodPost && len(parts) == 0:
		return DatasetCreate
	case method == http.MethodPost && len(parts) == 2:
		var created struct {
			Reference struct {
				ID string `json:"tableId"`
			} `json:"tableReference"`
		}
		_ = json.Unmarshal(body, &created) // what cannot be read is a table
		if strings.HasPrefix(created.Reference.ID, stagePrefix) {
			return StageCreate
		}
		return TableCreate
	case method == http.MethodPost && len(parts) == 4 && parts[3] == "insertAll":
		if table == "org_meta_run_events" {
			return EventsStream
		}
		return RowsStream
	case (method == http.MethodPatch || method == http.MethodPut) && stage:
		return StageRenew
	case (method == http.MethodPatch || method == http.MethodPut) && len(parts) == 3:
		return TableAlter
	case method == http.MethodDelete && stage:
		return StageDrop
	}
	return ""
}
