package sink_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	local "github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

func apiError(status int, reason, message string) *wire.Error {
	return &wire.Error{HTTPStatus: status, Reason: reason, Message: message}
}

// TestFaultMatrix holds the rows of the fault matrix that a warehouse can cause, by
// their numbers.
func TestFaultMatrix(t *testing.T) {
	for name, c := range map[string]struct {
		faults  []local.Fault
		timeout time.Duration
		code    string // "" completes
		message string
	}{
		"36 a load job fails halfway": {
			faults: []local.Fault{{Method: "jobs.upload", JobError: apiError(500, "jobBackendError", "it broke")}},
		},
		"37 the answer to a load is lost": {
			faults: []local.Fault{{Method: "jobs.upload", Cut: true, After: true}},
		},
		"37 a load is answered 503 although it is done": {
			faults: []local.Fault{{Method: "jobs.upload", Error: apiError(503, "backendError", "try again"), After: true}},
		},
		"38 the job that has the id had failed": {
			faults: []local.Fault{{Method: "jobs.upload", JobError: apiError(500, "jobBackendError", "it broke"), Cut: true, After: true}},
		},
		"39 409 for a table is no duplicate job": {
			faults: []local.Fault{{Method: "jobs.insert", Job: "pub_", Times: -1, Error: apiError(409, "duplicate", "Already Exists: Table acme:d.usage")}},
			code:   sink.CodeWarehouse, message: "Already Exists: Table",
		},
		"41 403 rateLimitExceeded": {
			faults: []local.Fault{{Method: "jobs.insert", Job: "pub_", Times: 2, Error: apiError(403, "rateLimitExceeded", "Exceeded rate limits")}},
		},
		"41 a job ends with 400 Exceeded rate limits": {
			faults: []local.Fault{{Method: "jobs.upload", Times: 4, JobError: apiError(400, "rateLimitExceeded", "Exceeded rate limits: too many table update operations")}},
		},
		"42 Could not serialize access": {
			faults: []local.Fault{{Method: "jobs.insert", Job: "pub_", Times: 4, JobError: apiError(400, "invalidQuery", "Could not serialize access to table due to concurrent update")}},
		},
		"42 Transaction is aborted": {
			faults: []local.Fault{{Method: "jobs.insert", Job: "pub_", Times: 4, JobError: apiError(400, "invalidQuery", "Transaction is aborted due to concurrent update against table")}},
		},
		"45 jobs.get answers 404 at first": {
			faults: []local.Fault{
				{Method: "jobs.upload", State: "RUNNING", Polls: 1},
				{Method: "jobs.get", Job: "load_", Times: 2, Error: apiError(404, "notFound", "Not found: Job")},
			},
		},
		"45 jobs.get answers 404 for ever": {
			faults: []local.Fault{
				{Method: "jobs.upload", State: "RUNNING", Polls: -1},
				{Method: "jobs.get", Job: "load_", Times: -1, Error: apiError(404, "notFound", "Not found: Job")},
			},
			code: sink.CodeLocation, message: "location",
		},
		"46 a job runs for ever": {
			faults: []local.Fault{{Method: "jobs.upload", State: "RUNNING", Polls: -1}}, timeout: time.Second,
		},
		"47 the answer to a publish is lost": {
			faults: []local.Fault{{Method: "jobs.insert", Job: "pub_", Cut: true, After: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var injected []*local.Injected
			for _, f := range c.faults {
				injected = append(injected, inject(t, f))
			}
			u := dayUnit(1, 1)
			o := options(sink.ModeReplacePartition, u)
			o.ReplaceScope = map[string]string{"model": "x"} // a script, which would insert twice
			o.JobTimeout = c.timeout
			r := b.write(o, partition(u, "a", 1, usageRow(1, "x", "1"), usageRow(1, "x", "2"))...)
			for _, i := range injected {
				if i.Struck() == 0 {
					t.Errorf("a fault never struck: %d calls", i.Calls())
				}
			}
			if c.code != "" {
				wantState(t, r, sink.StateFailed, c.code)
				if !strings.Contains(r.Error, c.message) {
					t.Errorf("error is %q", r.Error)
				}
				return
			}
			wantLanding(t, r, sink.Landing{Inserted: 2})
			wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-01 x 2")
			wantLines(t, b.lines("SELECT _kind, COUNT(*) FROM `"+dataset+"._stg_"+u.ID+"_1` GROUP BY 1 ORDER BY 1"), "chunk 1", "row 2")
		})
	}
}

// TestALostAnswerAtEveryMutatingCall takes away the answer to each kind of call once,
// after it was done.
func TestALostAnswerAtEveryMutatingCall(t *testing.T) {
	lost := map[string]local.Fault{"connection broken": {Cut: true, After: true}, "503": {Error: apiError(http.StatusServiceUnavailable, "backendError", "try again"), After: true}}
	for call, match := range map[string]local.Fault{
		"the stage is made":       {Method: "tables.insert", Text: "_stg_"},
		"a load":                  {Method: "jobs.upload"},
		"the fence":               {Method: "jobs.insert", Job: "pub_%s_1"},
		"the dead-letter table":   {Method: "tables.insert", Text: "pipeline_dlq"},
		"the decision":            {Method: "jobs.insert", Job: "dlq_"},
		"the destination is made": {Method: "tables.insert", Text: `"usage"`},
		"the publish":             {Method: "jobs.insert", Job: "pub_%s_2"},
	} {
		for how, f := range lost {
			for _, mode := range []string{sink.ModeAppend, sink.ModeMerge, sink.ModeReplacePartition} {
				t.Run(call+", "+how+", "+mode, func(t *testing.T) {
					b := newBench(t)
					u := dayUnit(1, 2)
					f.Method, f.Text, f.Job = match.Method, match.Text, strings.ReplaceAll(match.Job, "%s", u.ID)
					injected := inject(t, f)
					o := keyed(mode, u)
					o.MaxRejected = 0.5
					nameless := usageRow(1, "", "1")
					nameless.Cells[1] = row.Null()
					if mode == sink.ModeReplacePartition {
						nameless = usageRow(2, "late", "1")
					}
					r := b.write(o, partition(u, "a", 2, usageRow(1, "x", "1"), nameless)...)
					wantLanding(t, r, sink.Landing{Inserted: 1})
					if injected.Struck() != 1 {
						t.Errorf("the fault struck %d times", injected.Struck())
					}
					wantLines(t, b.usage(), "2025-11-01 x 1")
					wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".pipeline_dlq`"), "1")
				})
			}
		}
	}
}

func TestAPausedPublisherThatWakesAfterItsSuccessorPublishedStops(t *testing.T) {
	for _, mode := range []string{sink.ModeAppend, sink.ModeMerge, sink.ModeInsertNew, sink.ModeReplacePartition, sink.ModeOverwrite} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			asleep, awake := make(chan struct{}), make(chan struct{})
			old, next := dayUnit(1, 1), dayUnit(1, 2)
			inject(t, local.Fault{Method: "jobs.insert", Job: "dlq_" + old.ID + "_1", Until: awake, Reached: func() { close(asleep) }})
			done := make(chan sink.StepResult, 1)
			go func() { done <- b.write(keyed(mode, old), partition(old, "a", 9, usageRow(1, "x", "1"))...) }()
			<-asleep
			o := keyed(mode, next)
			o.RunID = "run-2"
			wantState(t, b.write(o, partition(next, "a", 9, usageRow(1, "x", "2"))...), sink.StateCompleted, "")
			close(awake)
			wantState(t, <-done, sink.StateFailed, sink.CodeSuperseded)
			wantLines(t, b.usage(), "2025-11-01 x 2")
		})
	}
}

func TestRestatedDaysTakeTheNewNumbers(t *testing.T) {
	for _, mode := range []string{sink.ModeMerge, sink.ModeReplacePartition, sink.ModeOverwrite} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			for generation, cost := range []string{"", "1.5", "2.25", "0.75"} {
				if cost == "" {
					continue
				}
				u := dayUnit(1, generation)
				o := keyed(mode, u)
				o.RunID = fmt.Sprint("run-", generation)
				wantState(t, b.write(o, partition(u, "a", 9, usageRow(1, "x", cost), usageRow(1, "y", cost))...), sink.StateCompleted, "")
				wantLines(t, b.usage(), "2025-11-01 x "+cost, "2025-11-01 y "+cost)
			}
		})
	}
	t.Run("plain append", func(t *testing.T) {
		b := newBench(t)
		one, two := dayUnit(1, 1), dayUnit(1, 2)
		wantState(t, b.write(options(sink.ModeAppend, one), partition(one, "a", 9, usageRow(1, "x", "1"))...), sink.StateCompleted, "")
		o := options(sink.ModeAppend, two)
		o.RunID = "run-2"
		r := b.write(o, partition(two, "a", 9, usageRow(1, "x", "2"))...)
		wantState(t, r, sink.StateCompleted, sink.CodeAlreadyLanded)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "by run run-1") {
			t.Errorf("warnings are %q", r.Warnings)
		}
		wantLines(t, b.usage(), "2025-11-01 x 1")
	})
}

func TestANarrowedRunLeavesTheRestOfTheDay(t *testing.T) {
	b := newBench(t)
	whole, narrow := dayUnit(1, 1), dayUnit(1, 2)
	wantState(t, b.write(options(sink.ModeReplacePartition, whole), partition(whole, "a", 9, usageRow(1, "x", "1"), usageRow(1, "y", "2"))...), sink.StateCompleted, "")
	o := options(sink.ModeReplacePartition, narrow)
	o.ReplaceScope, o.MaxRejectedRows = map[string]string{"model": "x"}, 1
	wantState(t, b.write(o, partition(narrow, "a", 9, usageRow(1, "x", "3"), usageRow(1, "y", "9"))...), sink.StateCompleted, "")
	wantLines(t, b.usage(), "2025-11-01 x 3", "2025-11-01 y 2")
	wantLines(t, b.lines("SELECT code FROM `"+dataset+".pipeline_dlq`"), "OUT_OF_RANGE")
}

// TestDMLNeverMeetsStreamedRows is row 44: the server refuses DML on rows of insertAll
// for an hour, and rows that were published take it at once.
func TestDMLNeverMeetsStreamedRows(t *testing.T) {
	b := newBench(t)
	for generation := 1; generation <= 2; generation++ {
		u := dayUnit(1, generation)
		wantState(t, b.write(keyed(sink.ModeMerge, u), partition(u, "a", 9, usageRow(1, "x", fmt.Sprint(generation)))...), sink.StateCompleted, "")
	}
	wantLines(t, b.usage(), "2025-11-01 x 2")
	for day := 2; day <= 3; day++ {
		u := dayUnit(day, 1)
		o := smart(u)
		wantState(t, b.write(o, partition(u, "a", 9, usageRow(day, "s", "1"))...), sink.StateCompleted, "")
	}
	u := dayUnit(4, 1)
	wantState(t, b.write(options(sink.ModeAppend, u), partition(u, "a", 9, usageRow(4, "z", "1"))...), sink.StateCompleted, "")
	wantLines(t, b.usage(), "2025-11-01 x 2", "2025-11-02 s 1", "2025-11-03 s 1", "2025-11-04 z 1")
}
