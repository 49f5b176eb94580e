package sink_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// pointPages is how many pages a day has where jobs are killed at named points.
const pointPages = 16

// worker is a job process behind a plan: it is killed at a named point.
type worker struct {
	t    *testing.T
	b    *bench
	plan faults.Plan
	job  killed

	mu      sync.Mutex
	process *exec.Cmd
}

func newWorker(t *testing.T, o sink.Options, late int) *worker {
	t.Helper()
	w := &worker{t: t, b: newBench(t)}
	proxy, err := w.plan.Proxy(shared.address())
	if err != nil {
		t.Fatal(err)
	}
	warehouse := httptest.NewServer(proxy)
	api := httptest.NewServer(w.plan.Wrap(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		providePage(out, strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query().Get("cursor"), pointPages, late)
	}), faults.Provider))
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{warehouse, api} {
			s.CloseClientConnections()
			s.Close()
		}
		for _, call := range w.plan.Unnamed() {
			t.Errorf("a mutating call has no name in faults.Points: %s", call)
		}
	})
	o.Table.Project, o.Deadline = w.b.project, time.Now().Add(5*time.Minute)
	w.job = killed{API: api.URL, Warehouse: warehouse.URL, Options: o}
	return w
}

// start runs a job process to its end, whatever that is; the result is nil if it was
// killed.
func (w *worker) start() *sink.StepResult {
	w.t.Helper()
	text, err := json.Marshal(w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	process := exec.CommandContext(w.t.Context(), os.Args[0], "-sink.job="+string(text))
	process.Stdout, process.Stderr = &stdout, &stderr
	w.mu.Lock()
	w.process = process
	err = process.Start()
	w.mu.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	err = process.Wait()
	switch {
	case process.ProcessState.ExitCode() == -1:
		return nil
	case err != nil:
		w.t.Fatalf("the job failed: %v\n%s", err, stderr.String())
	}
	var r sink.StepResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		w.t.Fatalf("result %q: %v", stdout.String(), err)
	}
	return &r
}

// dies wants the job to be killed on one side of the nth call of an operation.
func (w *worker) dies(op string, when faults.When, nth int) {
	w.t.Helper()
	w.plan.Set(faults.Rule{Op: op, When: when, Nth: nth, Do: faults.Kill(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		_ = w.process.Process.Kill()
	})})
	if r := w.start(); r != nil || !w.plan.Hit() {
		w.t.Fatalf("the job was not killed %s %s: %+v", when, op, r)
	}
	w.plan.Set()
}

// pointScenes say when a job meets which operations; together these are all that a step
// does to the outside.
var pointScenes = []struct {
	name    string
	ops     []string
	mode    string
	unit    row.Unit
	prepare func(w *worker)
}{
	{
		name: "first", mode: sink.ModeReplacePartition, unit: dayUnit(1, 1),
		ops: []string{faults.Page, faults.StageCreate, faults.Load, faults.DeadLetters, faults.TableCreate, faults.Publish},
	},
	{name: "next generation", mode: sink.ModeMerge, unit: dayUnit(1, 2), ops: []string{faults.Fence, faults.GuardCreate}},
	{
		name: "resumed", mode: sink.ModeAppend, unit: dayUnit(1, 1), ops: []string{faults.StageRenew},
		prepare: func(w *worker) { w.dies(faults.Load, faults.Before, 1) },
	},
	{
		name: "older table", mode: sink.ModeAppend, unit: dayUnit(1, 1), ops: []string{faults.TableAlter},
		prepare: func(w *worker) {
			schema := bigquery.Schema{{Name: "usage_date", Type: bigquery.DateFieldType}, {Name: "model", Type: bigquery.StringFieldType}}
			if err := w.b.client.Dataset(dataset).Table("usage").Create(w.t.Context(), &bigquery.TableMetadata{Schema: schema}); err != nil {
				w.t.Fatal(err)
			}
		},
	},
}

// TestMatrix48AWorkerKilledAtEveryNamedPoint kills a job before and after each kind of
// call that it makes, and runs it again.
func TestMatrix48AWorkerKilledAtEveryNamedPoint(t *testing.T) {
	const late = 100 // every so-manieth record is of another day
	met := map[string]bool{faults.Read: true}
	for _, s := range pointScenes {
		for _, op := range s.ops {
			met[op] = true
		}
	}
	for _, s := range pointScenes {
		for _, op := range s.ops {
			for _, when := range []faults.When{faults.Before, faults.After} {
				t.Run(s.name+", "+string(when)+" "+op, func(t *testing.T) {
					o := keyed(s.mode, s.unit)
					o.MaxRejected = 0.5
					w := newWorker(t, o, late)
					if s.prepare != nil {
						s.prepare(w)
					}
					w.dies(op, when, 1)
					w.job.Options.RunID = "run-2"
					r := w.start()
					wantState(t, *r, sink.StateCompleted, "")
					w.landed(r, s.mode, late)
					for _, op := range slices.Sorted(maps.Keys(w.plan.Calls())) {
						if !met[op] {
							t.Errorf("no scene kills a job at %s", op)
						}
					}
				})
			}
		}
	}
}

// landed wants every record to be in exactly one place: under replace_partition what is
// of another day is a dead letter, in other modes it is a row.
func (w *worker) landed(r *sink.StepResult, mode string, late int) {
	w.t.Helper()
	rows := pointPages * rowsPerPage
	if mode == sink.ModeReplacePartition {
		w.b.wantLate(r, rows, late)
		return
	}
	if r.Counts.Rows != int64(rows) || r.Counts.Rejected != 0 {
		w.t.Errorf("of %d rows %d came, %d were rejected", rows, r.Counts.Rows, r.Counts.Rejected)
	}
	wantLines(w.t, w.b.lines("SELECT COUNT(*), COUNT(DISTINCT model), CAST(SUM(cost) AS STRING) FROM `"+dataset+".usage`"),
		fmt.Sprintf("%d %[1]d %d", rows, rows*(rows-1)/2+rows/2))
}
