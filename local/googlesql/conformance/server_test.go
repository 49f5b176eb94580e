package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudact/convergence/local/bigquery"
)

const project = "p-1"

// service is a running server behind its REST API.
type service struct{ url string }

func startService(t testing.TB) *service {
	t.Helper()
	return &service{url: bigquery.RunT(t)}
}

// field is a column of an answer in the words of the wire.
type field struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Mode   string  `json:"mode"`
	Fields []field `json:"fields"`
}

// cell is a value of an answer: null, a text, {"f": [...]} or a list.
type cell struct {
	V json.RawMessage `json:"v"`
}

type row struct {
	F []cell `json:"f"`
}

// answer is what the server says to a query.
type answer struct {
	Schema             struct{ Fields []field } `json:"schema"`
	Rows               []row                    `json:"rows"`
	JobComplete        bool                     `json:"jobComplete"`
	StatementType      string                   `json:"statementType"`
	NumDMLAffectedRows string                   `json:"numDmlAffectedRows"`
	JobReference       struct {
		JobID string `json:"jobId"`
	} `json:"jobReference"`
	Error *failure `json:"error"`
}

// failure is the error body of the service.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Errors  []struct {
		Reason string `json:"reason"`
	} `json:"errors"`
}

func (f *failure) reason() string {
	if len(f.Errors) == 0 {
		return ""
	}
	return f.Errors[0].Reason
}

// unsupported reports whether the server knows that it cannot do this.
func (f *failure) unsupported() bool {
	return f.reason() == "notImplemented" || strings.Contains(f.Message, "not supported by the local server")
}

// call sends body as JSON and decodes the answer, whatever its status.
func (s *service) call(method, path string, body, out any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, s.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if len(data) == 0 || out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: status %d: %w", method, path, response.StatusCode, err)
	}
	return nil
}

func (s *service) createDataset(id string) error {
	var out answer
	err := s.call("POST", "/bigquery/v2/projects/"+project+"/datasets", map[string]any{
		"datasetReference": map[string]string{"projectId": project, "datasetId": id},
	}, &out)
	if err == nil && out.Error != nil {
		err = fmt.Errorf("creating dataset %s: %s", id, out.Error.Message)
	}
	return err
}

// query runs sql; more are further members of the request.
func (s *service) query(dataset, sql string, more map[string]any) (*answer, error) {
	body := map[string]any{
		"query": sql, "useLegacySql": false, "formatOptions": map[string]bool{"useInt64Timestamp": true},
		"defaultDataset": map[string]string{"projectId": project, "datasetId": dataset},
	}
	for k, v := range more {
		body[k] = v
	}
	out := &answer{}
	return out, s.call("POST", "/bigquery/v2/projects/"+project+"/queries", body, out)
}

// insertJob runs sql as a job, whose configuration has more than that of query.
func (s *service) insertJob(dataset, sql string, more map[string]any) (*answer, error) {
	config := map[string]any{
		"query": sql, "useLegacySql": false, "defaultDataset": map[string]string{"projectId": project, "datasetId": dataset},
	}
	for k, v := range more {
		config[k] = v
	}
	labels := config["labels"]
	delete(config, "labels")
	out := &answer{}
	err := s.call("POST", "/bigquery/v2/projects/"+project+"/jobs", map[string]any{"configuration": map[string]any{"query": config, "labels": labels}}, out)
	if err != nil || out.Error != nil {
		return out, err
	}
	id := out.JobReference.JobID
	out = &answer{}
	return out, s.call("GET", "/bigquery/v2/projects/"+project+"/queries/"+id+"?formatOptions.useInt64Timestamp=true", nil, out)
}

// understands reports whether a query that failed was at least analysed and
// translated.
func (s *service) understands(dataset, sql string, more map[string]any) (bool, error) {
	dry := map[string]any{"dryRun": true}
	for k, v := range more {
		dry[k] = v
	}
	out, err := s.query(dataset, sql, dry)
	return err == nil && out.Error == nil, err
}
