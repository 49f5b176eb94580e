package run_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/launcher/runfolder"
	local "github.com/cloudact/convergence/local/bigquery"
)

const (
	dataset  = "acme_local"
	project  = "platform"
	patience = 2 * time.Minute
)

// world is a warehouse and the folder of one run.
type world struct {
	t      *testing.T
	url    string
	client *bigquery.Client
	folder *runfolder.Folder
	temp   string
	origin string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, url: local.RunT(t), temp: t.TempDir()}
	client, err := warehouse{w.url}.Client(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	w.client = client
	if err := client.Dataset(dataset).Create(t.Context(), &bigquery.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatal(err)
	}
	w.folder, err = runfolder.Open(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// spec is a run of a document over two days.
func spec(document, runner string) runfolder.Spec {
	now := time.Now().UTC()
	return runfolder.Spec{
		RunID: "0b5c1f0e-0000-5000-8000-000000000001", Attempt: 1, Epoch: 1, Org: "acme", Env: "local", Project: project,
		Dataset: dataset, Location: "US", Pipeline: "openai/cost/p", Document: document, File: "p.yml",
		StartDate: civil.Date{Year: 2026, Month: 8, Day: 19}, EndDate: civil.Date{Year: 2026, Month: 8, Day: 20},
		Now: now, Deadline: now.Add(patience), Runner: runner,
	}
}

// start starts a job process over the spec.
func (w *world) start(s runfolder.Spec) *exec.Cmd {
	w.t.Helper()
	if err := w.folder.WriteSpec(s); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	w.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = []string{
		envFolder + "=" + filepath.Dir(w.folder.Path("x")), envWarehouse + "=" + w.url, envOrigin + "=" + w.origin, "TMPDIR=" + w.temp,
	}
	log, err := os.Create(w.folder.Path(runfolder.LogFile))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = log.Close()
	return cmd
}

// wait waits for the process and reads what it left.
func (w *world) wait(cmd *exec.Cmd) runfolder.Result {
	w.t.Helper()
	err := cmd.Wait()
	log, _ := os.ReadFile(w.folder.Path(runfolder.LogFile))
	if err != nil {
		w.t.Fatalf("the job process ended with %v\n%s", err, tail(log))
	}
	result, err := w.folder.ReadResult()
	if errors.Is(err, fs.ErrNotExist) {
		w.t.Fatalf("the job left no result\n%s", tail(log))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if w.t.Failed() {
		w.t.Logf("job log:\n%s", tail(log))
	}
	return result
}

func tail(log []byte) []byte {
	const most = 6000
	return log[max(0, len(log)-most):]
}

func (w *world) job(s runfolder.Spec) runfolder.Result {
	w.t.Helper()
	return w.wait(w.start(s))
}

// events are all events of the job.
func (w *world) events() []runfolder.Event {
	w.t.Helper()
	events, _, err := w.folder.Events(0)
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

// scalar returns the only cell of a query.
func (w *world) scalar(sql string) string {
	w.t.Helper()
	it, err := w.client.Query(sql).Read(w.t.Context())
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	var cells []bigquery.Value
	if err := it.Next(&cells); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	if err := it.Next(new([]bigquery.Value)); !errors.Is(err, iterator.Done) {
		w.t.Fatalf("%s has more than one row", sql)
	}
	return fmt.Sprint(cells[0])
}

func step(t *testing.T, r runfolder.Result, id string) runfolder.StepResult {
	t.Helper()
	for _, s := range r.Steps {
		if s.Step == id {
			return s
		}
	}
	t.Fatalf("the result has no step %s: %+v", id, r)
	return runfolder.StepResult{}
}

// items is an API of several pages whose answers the test times.
type items struct {
	*httptest.Server
	requests atomic.Int64
	pages    int
	rows     int           // a page
	before   func(int64)   // called before answer n, from 1
	broken   func(int) int // status of page n, from 0; nil or 0 = 200
}

func newItems(t *testing.T, pages, rows int) *items {
	t.Helper()
	s := &items{pages: pages, rows: rows}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *items) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	if s.before != nil {
		s.before(n)
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if s.broken != nil {
		if status := s.broken(page); status != 0 {
			http.Error(w, `{"error":"refused"}`, status)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, `{"data":[`)
	for i := range s.rows {
		if i > 0 {
			_, _ = fmt.Fprint(w, ",")
		}
		_, _ = fmt.Fprintf(w, `{"id":%d}`, page*s.rows+i)
	}
	next := "null"
	if page+1 < s.pages {
		next = fmt.Sprintf(`"%d"`, page+1)
	}
	_, _ = fmt.Fprintf(w, `],"next":%s}`, next)
}

// extractor is a step that reads the API into a table.
func (s *items) extractor(id, extra string) string {
	return fmt.Sprintf(`
  - step_id: %s
    ps_type: generic.api_extractor
    %s
    config:
      url: %s/items
      data_path: data
      pagination: {type: cursor, param: page, response_path: next}
      rate_limit: {requests_per_second: 0, max_retries: 0}
    destination: {table: %s, write_mode: overwrite}
`, id, extra, s.URL, id)
}
