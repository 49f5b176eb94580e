package sink_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// fault spoils the first answer to a matching request after the server did what it asks.
type fault struct {
	match  func(r *http.Request, body string) bool
	status int // 0: the connection breaks
	struck atomic.Int64
	sent   atomic.Int64 // matching requests

	// failures are jobs that the server never sees: the answer says that they ran and
	// failed for this reason.
	failures        int64
	reason, message string
}

// failed answers a job as one that has ended with the fault's error.
func (f *fault) failed(w http.ResponseWriter, body string) {
	var job map[string]any
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cause := map[string]any{"reason": f.reason, "message": f.message}
	job["status"] = map[string]any{"state": "DONE", "errorResult": cause, "errors": []any{cause}}
	job["statistics"] = map[string]any{"query": map[string]any{}}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(job)
}

// spoil puts a proxy with the fault before the server.
func (f *fault) spoil(t *testing.T) *bench {
	t.Helper()
	upstream, err := url.Parse(shared.address())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := peek(t, r)
		if !f.match(r, body) {
			proxy.ServeHTTP(w, r)
			return
		}
		if sent := f.sent.Add(1); sent <= f.failures {
			f.failed(w, body)
			return
		}
		if f.failures > 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		if !f.struck.CompareAndSwap(0, 1) {
			proxy.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		if f.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.status)
		_, _ = w.Write([]byte(`{"error":{"code":503,"message":"try again","errors":[{"reason":"backendError"}]}}`))
	}))
	t.Cleanup(server.Close)
	return benchAt(t, server.URL)
}

func loadJob(r *http.Request, _ string) bool { return strings.HasPrefix(r.URL.Path, "/upload/") }

func jobNamed(prefix string) func(*http.Request, string) bool {
	return func(r *http.Request, body string) bool {
		return r.Method == http.MethodPost && strings.Contains(body, `"jobId":"`+prefix)
	}
}

func TestLostAnswerDoublesNothing(t *testing.T) {
	for name, f := range map[string]*fault{
		"load, connection broken":         {match: loadJob},
		"load, 503 after doing it":        {match: loadJob, status: http.StatusServiceUnavailable},
		"publish, connection broken":      {match: jobNamed("pub_")},
		"publish, 503 after doing it":     {match: jobNamed("pub_"), status: http.StatusServiceUnavailable},
		"dead letters, connection broken": {match: jobNamed("dlq_")},
	} {
		t.Run(name, func(t *testing.T) {
			b := f.spoil(t)
			u := dayUnit(1, 0)
			o := options(sink.ModeReplacePartition, u)
			o.ReplaceScope = map[string]string{"model": "x"} // a script, which would insert twice
			o.MaxRejected = 0.5
			r := b.write(o, partition(u, "a", 1, usageRow(1, "x", "1"), usageRow(1, "x", "2"), usageRow(2, "x", "3"))...)
			wantState(t, r, sink.StateCompleted, "")
			if r.Published != 2 {
				t.Errorf("published %d rows, want 2", r.Published)
			}
			if f.struck.Load() != 1 || f.sent.Load() < 2 {
				t.Errorf("the fault struck %d times over %d requests", f.struck.Load(), f.sent.Load())
			}
			wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-01 x 2")
			wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".pipeline_dlq`"), "1")
			wantLines(t, b.lines("SELECT _kind, COUNT(*) FROM `"+dataset+"._stg_"+u.ID+"_0` GROUP BY 1 ORDER BY 1"), "chunk 1", "reject 1", "row 2")
		})
	}
}

func TestSameJobTwiceAttachesAndDoublesNothing(t *testing.T) {
	for _, mode := range []string{sink.ModeAppend, sink.ModeReplacePartition, sink.ModeOverwrite} {
		t.Run(mode, func(t *testing.T) {
			loads := &fault{match: loadJob}
			loads.struck.Store(1) // only counts
			b := loads.spoil(t)
			u := dayUnit(1, 0)
			var first sink.StepResult
			for attempt := range 2 {
				o := options(mode, u)
				o.RunID = []string{"run-1", "run-2"}[attempt]
				r := b.write(o, partition(u, "a", 1, usageRow(1, "x", "1"), usageRow(1, "x", "1"))...)
				wantState(t, r, sink.StateCompleted, "")
				if attempt == 0 {
					first = r
				}
				wantLines(t, r.JobIDs, first.JobIDs...)
				if r.Published != 2 || len(r.Warnings) != 0 {
					t.Errorf("attempt %d: published %d, warnings %q", attempt, r.Published, r.Warnings)
				}
			}
			if loads.sent.Load() != 2 {
				t.Errorf("%d loads were sent, want one per attempt", loads.sent.Load())
			}
			wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-01 x 1")
			wantLines(t, b.lines("SELECT DISTINCT _run_id FROM `"+dataset+".usage`"), "run-1")
			wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+"._stg_"+u.ID+"_0`"), "3")
		})
	}
}

func TestPublishOfAnEarlierAttemptIsTheTruth(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	wantState(t, b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "x", "1"))...), sink.StateCompleted, "")
	r := b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "y", "2"), usageRow(1, "z", "3"))...)
	wantState(t, r, sink.StateCompleted, "")
	if r.Published != 1 || r.Staged != 1 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "earlier attempt") {
		t.Errorf("published %d, warnings %q", r.Published, r.Warnings)
	}
	wantLines(t, b.usage(), "2025-11-01 x 1")
}

func TestFencedGenerationStops(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	q := b.client.Query("SELECT 1")
	q.JobID, q.Location = "pub_"+u.ID+"_0_0", "US"
	q.Labels = map[string]string{"fence": "1"}
	if _, err := q.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "x", "1"))...)
	wantState(t, r, sink.StateFailed, sink.CodeSuperseded)
	wantLines(t, b.usage())
}

func TestLostStageIsNeverPublishedAsEmpty(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	o := options(sink.ModeReplacePartition, u)
	// Staged, then refused: the table has a column of another type.
	if err := b.client.Dataset(dataset).Table("usage").Create(t.Context(), &bigquery.TableMetadata{
		Schema: bigquery.Schema{{Name: "model", Type: bigquery.IntegerFieldType}},
	}); err != nil {
		t.Fatal(err)
	}
	pages := partition(u, "a", 9, usageRow(1, "x", "1"))
	wantState(t, b.write(o, pages...), sink.StateFailed, sink.CodeSchemaMismatch)
	if err := sink.DropStages(t.Context(), b.client, dataset, []row.Unit{u}); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Dataset(dataset).Table("usage").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The load of the first attempt is done, but its rows are gone, and a publisher that
	// was paused meanwhile may believe that they are not: the generation is over.
	wantState(t, b.write(o, pages...), sink.StateFailed, sink.CodeStageMissing)
	wantLines(t, b.lines("SELECT table_name FROM `"+dataset+"`.INFORMATION_SCHEMA.TABLES WHERE table_name = 'usage'"))
	next := dayUnit(1, 1)
	o.Units = []row.Unit{next}
	wantState(t, b.write(o, partition(next, "a", 9, usageRow(1, "x", "1"))...), sink.StateCompleted, "")
	wantLines(t, b.usage(), "2025-11-01 x 1")
}

func TestFailedJobsAreTriedAgainAsTheirReasonAllows(t *testing.T) {
	const many = 1000
	for name, c := range map[string]struct {
		fault     *fault
		published string // last publish job when it succeeds
		sent      int64
	}{
		"serialisation conflicts do not count": {
			fault:     &fault{failures: 3, reason: "invalidQuery", message: "Transaction is aborted due to concurrent update against table acme:t.usage"},
			published: "_0_3", sent: 4,
		},
		"rate limits do not count":       {fault: &fault{failures: 3, reason: "jobRateLimitExceeded", message: "slow down"}, published: "_0_3", sent: 4},
		"two failures leave a third try": {fault: &fault{failures: 2, reason: "jobBackendError", message: "try again"}, published: "_0_2", sent: 3},
		"three failures are given up":    {fault: &fault{failures: many, reason: "jobBackendError", message: "try again"}, sent: 3},
		"a wrong query is not repeated":  {fault: &fault{failures: many, reason: "invalidQuery", message: "Unrecognized name: x"}, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.fault
			f.match = jobNamed("pub_")
			b := f.spoil(t)
			u := dayUnit(1, 0)
			r := b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "x", "1"))...)
			if f.sent.Load() != c.sent {
				t.Errorf("%d publish jobs were sent, want %d", f.sent.Load(), c.sent)
			}
			if c.published == "" {
				wantState(t, r, sink.StateFailed, sink.CodeWarehouse)
				if !strings.Contains(r.Error, f.message) {
					t.Errorf("error is %q", r.Error)
				}
				wantLines(t, b.usage())
				return
			}
			wantState(t, r, sink.StateCompleted, "")
			if last := r.JobIDs[len(r.JobIDs)-1]; last != "pub_"+u.ID+c.published {
				t.Errorf("published by job %s", last)
			}
			wantLines(t, b.usage(), "2025-11-01 x 1")
		})
	}
}

func TestFailedJobOfAnEarlierAttemptDoesNotBlockTheNext(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	q := b.client.Query("SELECT nonsense")
	q.JobID, q.Location = "pub_"+u.ID+"_0_0", "US"
	if job, err := q.Run(t.Context()); err == nil {
		_, _ = job.Wait(t.Context())
	}
	r := b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "x", "1"))...)
	wantState(t, r, sink.StateCompleted, "")
	if last := r.JobIDs[len(r.JobIDs)-1]; last != "pub_"+u.ID+"_0_1" {
		t.Errorf("published by job %s", last)
	}
}

func TestDeadlineEndsAStepThatTheWarehouseKeepsWaiting(t *testing.T) {
	f := &fault{match: jobNamed("pub_"), failures: 1000, reason: "rateLimitExceeded", message: "slow down"}
	b := f.spoil(t)
	u := dayUnit(1, 0)
	o := options(sink.ModeReplacePartition, u)
	o.Deadline = time.Now().Add(4 * time.Second)
	r := b.write(o, partition(u, "a", 9, usageRow(1, "x", "1"))...)
	wantState(t, r, sink.StateFailed, sink.CodeTimeout)
	if f.sent.Load() == 0 {
		t.Error("no publish job was sent")
	}
}
