package sink_test

import (
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	local "github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

func smart(units ...row.Unit) sink.Options {
	o := options(sink.ModeAppend, units...)
	o.Delivery = sink.Smart
	return o
}

func TestSmartDeliveryStreamsFewRowsAndLoadsMany(t *testing.T) {
	for _, c := range []struct {
		rows, streams, loads int
	}{{0, 0, 0}, {1, 1, 0}, {99, 1, 0}, {100, 0, 1}, {1050, 1, 1}} {
		b := newBench(t)
		streams := inject(t, local.Fault{Method: "tabledata.insertAll"})
		loads := inject(t, local.Fault{Method: "jobs.upload", Job: "load_"})
		u := dayUnit(1, 1)
		r := b.write(smart(u), partition(u, "a", 50, usageRows(1, c.rows)...)...)
		wantState(t, r, sink.StateCompleted, "")
		if r.Published != int64(c.rows) || r.Staged != r.Published || r.Counts.Rows != r.Published || streams.Calls() != c.streams || loads.Calls() != c.loads {
			t.Errorf("%d rows: published %d by %d requests and %d loads", c.rows, r.Published, streams.Calls(), loads.Calls())
		}
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "at least once") {
			t.Errorf("warnings are %q", r.Warnings)
		}
		if c.rows > 0 && len(b.usage()) != c.rows {
			t.Errorf("the table holds %d of %d rows", len(b.usage()), c.rows)
		}
		injected.Clear()
	}
}

func TestARepeatedSmartStepDoublesNothingWithinTheWindow(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	inject(t, local.Fault{Method: "jobs.insert", Job: "pub_", JobError: apiError(400, "invalid", "gone")})
	pages := partition(u, "a", 50, usageRows(1, 1050)...)
	wantState(t, b.write(smart(u), pages...), sink.StateFailed, sink.CodeWarehouse)
	o := smart(u)
	o.RunID = "run-2"
	wantState(t, b.write(o, pages...), sink.StateCompleted, "")
	if n := len(b.usage()); n != 1050 {
		t.Errorf("the table holds %d rows, want 1050", n)
	}
	o.RunID = "run-3"
	wantState(t, b.write(o, pages...), sink.StateCompleted, sink.CodeAlreadyLanded)
	if n := len(b.usage()); n != 1050 {
		t.Errorf("the table holds %d rows after a third run", n)
	}
}

func TestMatrix34ALostAnswerOfInsertAllIsOneRow(t *testing.T) {
	for name, f := range map[string]local.Fault{
		"33 503, three times":     {Times: 3, Error: apiError(503, "backendError", "try again")},
		"34 503 after it":         {Error: apiError(503, "backendError", "try again"), After: true},
		"34 connection is broken": {Cut: true, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			f.Method = "tabledata.insertAll"
			struck := inject(t, f)
			u := dayUnit(1, 1)
			wantState(t, b.write(smart(u), partition(u, "a", 9, usageRow(1, "x", "1"))...), sink.StateCompleted, "")
			if struck.Struck() == 0 {
				t.Error("the fault did not strike")
			}
			wantLines(t, b.usage(), "2025-11-01 x 1")
		})
	}
}

func TestMatrix35OneBadRowOfMany(t *testing.T) {
	b := newBench(t)
	requests := inject(t, local.Fault{Method: "tabledata.insertAll"})
	u := dayUnit(1, 1)
	rows := usageRows(1, 50)
	rows[17].Cells[3] = row.JSON("{not JSON")
	o := smart(u)
	o.MaxRejectedRows = 1
	r := b.write(o, partition(u, "a", 50, rows...)...)
	wantState(t, r, sink.StateCompleted, "")
	if r.Published != 49 || r.Counts.Rows != 50 || r.Counts.Rejected != 1 || requests.Calls() != 2 {
		t.Errorf("published %d of %+v in %d requests", r.Published, r.Counts, requests.Calls())
	}
	if n := len(b.usage()); n != 49 {
		t.Errorf("the table holds %d rows", n)
	}
	wantLines(t, b.lines("SELECT code, run_id, STRPOS(raw_data, 'm17') > 0 FROM `"+dataset+".pipeline_dlq`"), "REFUSED run-1 true")
}

func TestASmartStepWaitsForItsDependencies(t *testing.T) {
	b := newBench(t)
	failed, u := options(sink.ModeAppend, dayUnit(2, 1)), dayUnit(1, 1)
	failed.Step, failed.Table.Name = "before", "before"
	results := b.run(func(s beam.Scope) beam.PCollection {
		return b.step(s, smart(u), []beam.PCollection{b.step(s, failed, nil)}, partition(u, "a", 9, usageRow(1, "x", "1"))...)
	})
	wantState(t, results[0], sink.StateSkipped, sink.CodeDependencyFailed)
	if _, err := b.client.Dataset(dataset).Table("usage").Metadata(t.Context()); err == nil {
		t.Error("rows were written")
	}
}
