package source_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

type exampleFile struct {
	Processor string
	Examples  []example
}

type example struct {
	Name   string
	Config map[string]any
	Days   []string
	Schema []map[string]string
	HTTP   []*exchange
	Want   struct {
		Rows    []map[string]*string
		Rejects []row.Reject
		Failure *row.Failure
	}
}

// exchange is one expected request with its answer.
type exchange struct {
	Request struct {
		Method  string
		Path    string
		Query   string // exact, sorted by name
		Headers map[string]string
		Body    string
	}
	Status  int
	Headers map[string]string
	Body    string
	used    bool
}

// TestEveryProcessorDoesWhatItsExamplesShow runs testdata, which is also the reference
// documentation of the processors.
func TestEveryProcessorDoesWhatItsExamplesShow(t *testing.T) {
	for _, name := range registry.Names() {
		text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			t.Errorf("processor %s has no examples: %v", name, err)
			continue
		}
		var file exampleFile
		if err := yaml.Unmarshal(text, &file); err != nil || file.Processor != name || len(file.Examples) == 0 {
			t.Errorf("examples of %s: %d examples of %q, %v", name, len(file.Examples), file.Processor, err)
		}
		for _, e := range file.Examples {
			t.Run(name+"/"+e.Name, func(t *testing.T) { e.test(t, name) })
		}
	}
}

func (e example) test(t *testing.T, processor string) {
	server := e.serve(t)
	source.UseOrigins(func(string) string { return server.URL })
	source.UseOriginOverrides(map[string]string{"https://api.vendor.example": server.URL})
	j := job{processor: processor, config: e.Config, days: e.Days}
	if e.Schema != nil {
		text, _ := json.Marshal(e.Schema)
		if err := json.Unmarshal(text, &j.schema); err != nil {
			t.Fatal(err)
		}
	}
	pages := j.run(t)
	for i, x := range e.HTTP {
		if !x.used {
			t.Errorf("exchange %d (%s?%s) was not requested", i, x.Request.Path, x.Request.Query)
		}
	}
	if f := e.Want.Failure; f != nil {
		wantFailure(t, pages, f.Code, f.Message)
	}
	schema := j.columns(t)
	var rows []row.Row
	var rejects []row.Reject
	for _, page := range pages {
		rows, rejects = append(rows, page.Rows...), append(rejects, page.Rejects...)
		if page.Failure != nil && e.Want.Failure == nil {
			t.Errorf("failure %s: %s", page.Failure.Code, page.Failure.Message)
		}
	}
	compareRows(t, schema, rows, e.Want.Rows)
	compareRejects(t, rejects, e.Want.Rejects)
}

func compareRows(t *testing.T, schema row.Schema, rows []row.Row, want []map[string]*string) {
	t.Helper()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d: %#v", len(rows), len(want), rows)
	}
	for i, columns := range want {
		for name, value := range columns {
			place := schema.Index(name)
			if place < 0 {
				t.Fatalf("no column %q", name)
			}
			cell := rows[i].Cells[place]
			if cell.IsNull() != (value == nil) || value != nil && cell.Text() != *value {
				t.Errorf("row %d: %s is %#v, want %s", i, name, cell, show(value))
			}
			if !cell.IsNull() && cell.Type() != schema[place].Type {
				t.Errorf("row %d: %s has type %s, its column %s", i, name, cell.Type(), schema[place].Type)
			}
		}
	}
}

func show(value *string) string {
	if value == nil {
		return "NULL"
	}
	return *value
}

func compareRejects(t *testing.T, got, want []row.Reject) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("rejects %+v, want %d", got, len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Code != w.Code || !strings.Contains(g.Reason, w.Reason) || g.Payload != w.Payload || g.Index != w.Index || g.Step != "fetch_it" {
			t.Errorf("reject %+v, want %+v", g, w)
		}
	}
}

// serve answers each request by the first unused exchange that matches it.
func (e example) serve(t *testing.T) *httptest.Server {
	var lock sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		body, _ := io.ReadAll(r.Body)
		for _, x := range e.HTTP {
			if !x.used && x.matches(r, string(body)) {
				x.used = true
				for name, value := range x.Headers {
					w.Header().Set(name, value)
				}
				w.WriteHeader(max(x.Status, http.StatusOK))
				fmt.Fprint(w, x.Body)
				return
			}
		}
		t.Errorf("unexpected request %s %s?%s %v %s", r.Method, r.URL.Path, r.URL.Query().Encode(), r.Header, body)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return server
}

func (x *exchange) matches(r *http.Request, body string) bool {
	q := x.Request
	for name, value := range q.Headers {
		if r.Header.Get(name) != strings.ReplaceAll(value, "{secret}", canary) {
			return false
		}
	}
	query := strings.ReplaceAll(r.URL.Query().Encode(), "sk-canary-7f3a%2F9b%2Bsecret", "{secret}")
	return (q.Method == "" || q.Method == r.Method) && q.Path == r.URL.Path && q.Query == query && (q.Body == "" || q.Body == body)
}
