package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	local "github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

const dataset = "acme_test"

func TestMain(m *testing.M) {
	flag.Parse()
	beam.Init()
	if *childJob != "" {
		if err := runChild(*childJob); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	for _, end := range shared.ends {
		end()
	}
	os.Exit(code)
}

// shared is the server of all tests; each test has a project of its own in it.
var shared server

// injected are the faults of the shared server; a test clears what it injects.
var injected local.Faults

type server struct {
	start    sync.Once
	url      string
	ends     []func()
	projects int
}

func (s *server) Helper()                           {}
func (s *server) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *server) Cleanup(end func())                { s.ends = append(s.ends, end) }

// address starts the server on a file: hundreds of killed jobs leave more staging behind
// than a database in memory may hold.
func (s *server) address() string {
	s.start.Do(func() {
		dir, err := os.MkdirTemp("", "sink-test-")
		if err != nil {
			s.Fatalf("make a directory for the warehouse: %v", err)
		}
		s.url = local.RunConfigT(s, local.Config{Path: filepath.Join(dir, "warehouse.duckdb"), Faults: &injected, StreamingBuffer: time.Hour})
		s.Cleanup(func() { _ = os.RemoveAll(dir) })
	})
	return s.url
}

func init() {
	register.DoFn1x0[sink.StepResult](&collectFn{})
	register.DoFn3x0[row.Page, func(*row.Position) bool, func(row.Page)](&startsFn{})
	register.DoFn2x0[row.Page, func(row.Page)](&moveFn{})
}

// moveFn gives pages to another unit, as a step does that takes the rows of another.
type moveFn struct{ To string }

func (f *moveFn) ProcessElement(p row.Page, emit func(row.Page)) {
	p.Unit, p.Pass = f.To, "reader"
	emit(p)
}

// startsFn fetches as a source does, once the starts are known, and hands those to the
// test that runs in the same process.
type startsFn struct{ Test string }

func (f *startsFn) ProcessElement(page row.Page, starts func(*row.Position) bool, emit func(row.Page)) {
	var known []row.Position
	for p := (row.Position{}); starts(&p); p = (row.Position{}) {
		known = append(known, p)
	}
	collected.Lock()
	if collected.starts == nil {
		collected.starts = map[string][]row.Position{}
	}
	collected.starts[f.Test] = known
	collected.Unlock()
	emit(page)
}

// collectFn hands results to the test that runs in the same process.
type collectFn struct{ Test string }

var collected struct {
	sync.Mutex
	results map[string][]sink.StepResult
	starts  map[string][]row.Position
}

func (f *collectFn) ProcessElement(r sink.StepResult) {
	collected.Lock()
	defer collected.Unlock()
	if collected.results == nil {
		collected.results = map[string][]sink.StepResult{}
	}
	collected.results[f.Test] = append(collected.results[f.Test], r)
}

// warehouse makes clients for one endpoint.
type warehouse struct{ url string }

func (w warehouse) Client(ctx context.Context, project string) (*bigquery.Client, error) {
	return bigquery.NewClient(ctx, project, option.WithEndpoint(w.url+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
}

// bench is an empty project with one dataset.
type bench struct {
	t       *testing.T
	project string
	client  *bigquery.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return benchAt(t, shared.address())
}

func benchAt(t *testing.T, url string) *bench {
	t.Helper()
	w := warehouse{url}
	sink.UseWarehouse(w)
	shared.projects++
	project := fmt.Sprintf("acme-%d", shared.projects)
	c, err := w.Client(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, project: project, client: c}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Dataset(dataset).Create(t.Context(), &bigquery.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatalf("create dataset: %v", err)
	}
	return b
}

// run executes a pipeline on prism and returns the step results that came out of it.
func (b *bench) run(build func(s beam.Scope) beam.PCollection) []sink.StepResult {
	b.t.Helper()
	p, s := beam.NewPipelineWithRoot()
	key := fmt.Sprint(b.t.Name(), time.Now().UnixNano())
	beam.ParDo0(s, &collectFn{Test: key}, build(s))
	if _, err := beam.Run(b.t.Context(), "prism", p); err != nil {
		b.t.Fatalf("run pipeline: %v", err)
	}
	collected.Lock()
	defer collected.Unlock()
	return collected.results[key]
}

// write runs one step over the pages and returns its result.
func (b *bench) write(o sink.Options, pages ...row.Page) sink.StepResult {
	b.t.Helper()
	results := b.run(func(s beam.Scope) beam.PCollection { return b.step(s, o, nil, pages...) })
	if len(results) != 1 {
		b.t.Fatalf("the step yielded %d results, want exactly one: %+v", len(results), results)
	}
	return results[0]
}

func (b *bench) step(s beam.Scope, o sink.Options, gates []beam.PCollection, pages ...row.Page) beam.PCollection {
	b.t.Helper()
	o.Table.Project = b.project
	out, err := sink.Write(s.Scope(o.Step), sink.Input{Pages: beam.CreateList(s, pages), Gates: gates}, o)
	if err != nil {
		b.t.Fatalf("build step: %v", err)
	}
	return out
}

// lines returns the rows of a query, cells joined by spaces.
func (b *bench) lines(sql string) []string {
	b.t.Helper()
	it, err := b.client.Query(sql).Read(b.t.Context())
	if err != nil {
		b.t.Fatalf("query %s: %v", sql, err)
	}
	out := []string{}
	for {
		var cells []bigquery.Value
		err := it.Next(&cells)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			b.t.Fatalf("read %s: %v", sql, err)
		}
		line := ""
		for i, c := range cells {
			if i > 0 {
				line += " "
			}
			line += fmt.Sprint(c)
		}
		out = append(out, line)
	}
}

// usage returns what the destination holds.
func (b *bench) usage() []string {
	b.t.Helper()
	return b.lines("SELECT usage_date, model, CAST(cost AS STRING) FROM `" + dataset + ".usage` ORDER BY 1, 2, 3")
}

func date(day int) civil.Date { return civil.Date{Year: 2025, Month: time.November, Day: day} }

// dayUnit is the unit of one day; its id must differ per test server only by day.
func dayUnit(day, generation int) row.Unit {
	return row.Unit{ID: fmt.Sprintf("%024x", day), Generation: generation, Start: date(day), End: date(day + 1)}
}

func usageSchema() row.Schema {
	return row.Schema{
		{Name: "usage_date", Type: row.TypeDate},
		{Name: "model", Type: row.TypeString},
		{Name: "cost", Type: row.TypeNumeric},
		{Name: "raw", Type: row.TypeJSON},
	}
}

func options(mode string, units ...row.Unit) sink.Options {
	return sink.Options{
		Step: "fetch", StepType: "openai.usage", Org: "acme", Pipeline: "openai/usage", RunID: "run-1",
		Table: sink.Table{
			Project: "acme-0", Dataset: dataset, Name: "usage", Location: "US", Schema: usageSchema(),
			TimePartitioning: &sink.Partitioning{Type: "DAY", Field: "usage_date"}, Clustering: []string{"model"},
		},
		WriteMode: mode, DeadLetters: deadLetters(), Units: units, Deadline: time.Now().Add(time.Minute),
	}
}

func deadLetters() sink.Table {
	text := func(name string, required bool) row.Field {
		return row.Field{Name: name, Type: row.TypeString, Required: required}
	}
	return sink.Table{
		Name: "pipeline_dlq", TimePartitioning: &sink.Partitioning{Type: "DAY", Field: "failed_at"},
		Schema: row.Schema{
			text("org_slug", true), text("source_table", true), text("error_message", true), text("error_type", true), text("raw_data", true),
			{Name: "failed_at", Type: row.TypeTimestamp, Required: true},
			text("pipeline_id", false), text("step_id", false),
			{Name: "retry_count", Type: row.TypeInt64, Required: true},
			text("run_id", false), text("step", false), text("code", false),
		},
	}
}

func usageRow(day int, model, cost string) row.Row {
	c, err := row.Numeric(cost)
	if err != nil {
		panic(err)
	}
	return row.Row{Cells: []row.Cell{row.Date(date(day)), row.String(model), c, row.JSON("{\n\"tokens\": 12}")}}
}

// partition cuts rows into the pages of one partition, n rows a page.
func partition(u row.Unit, name string, n int, rows ...row.Row) []row.Page {
	var pages []row.Page
	for first := true; first || len(rows) > 0; first = false {
		take := min(n, len(rows))
		at := len(pages)
		p := row.Page{Position: row.Position{Unit: u.ID, Partition: name, Index: int64(at), Next: fmt.Sprint("c", at+1)}, Rows: rows[:take], Requests: 1}
		if at > 0 {
			p.First = fmt.Sprint("c", at)
		}
		rows = rows[take:]
		pages = append(pages, p)
	}
	end := &pages[len(pages)-1]
	end.Next, end.Last = "", true
	return pages
}

// peek returns the body of a request and leaves it to be read again.
func peek(t *testing.T, r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("read request: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return string(body)
}

func configLabels(c bigquery.JobConfig) map[string]string {
	if q, ok := c.(*bigquery.QueryConfig); ok {
		return q.Labels
	}
	return nil
}

// writeThrough is write with a look at every job before the server gets it.
func (b *bench) writeThrough(o sink.Options, look func(jobID string), pages ...row.Page) sink.StepResult {
	b.t.Helper()
	upstream, err := url.Parse(shared.address())
	if err != nil {
		b.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := peek(b.t, r); r.Method == http.MethodPost {
			var job struct{ JobReference struct{ JobID string } }
			if json.Unmarshal([]byte(body), &job) == nil && job.JobReference.JobID != "" {
				look(job.JobReference.JobID)
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	sink.UseWarehouse(warehouse{server.URL})
	defer sink.UseWarehouse(warehouse{shared.address()})
	return b.write(o, pages...)
}
