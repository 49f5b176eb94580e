package sink_test

import (
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

const selectCosts = "SELECT usage_date, 'sum' AS model, SUM(cost) AS cost, JSON '{}' AS raw FROM `" + dataset + ".usage` WHERE usage_date = @day AND model != @no GROUP BY 1;"

func costs(u row.Unit) sink.Options {
	o := options(sink.ModeReplacePartition, u)
	o.Step, o.StepType, o.Index, o.Table.Name = "sum", "generic.local_bq_transformer", 1, "costs"
	return o
}

func dayQuery(day int) sink.Query {
	return sink.Query{SQL: selectCosts, Params: []sink.Param{
		{Name: "day", Type: row.TypeDate, Value: date(day).String()},
		{Name: "no", Type: row.TypeString, Value: "none"},
	}}
}

func (b *bench) query(s beam.Scope, o sink.Options, q sink.Query, gates ...beam.PCollection) beam.PCollection {
	b.t.Helper()
	o.Table.Project = b.project
	out, err := sink.WriteQuery(s.Scope(o.Step), gates, map[string]sink.Query{o.Units[0].ID: q}, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func TestQueryStepReadsWhatItsDependencyPublished(t *testing.T) {
	b := newBench(t)
	u, after := dayUnit(1, 0), dayUnit(1, 0)
	after.ID = strings.Repeat("f", 24)
	for range 2 {
		results := b.run(func(s beam.Scope) beam.PCollection {
			one := b.step(s, options(sink.ModeReplacePartition, u), nil, partition(u, "a", 1, usageRow(1, "x", "0.1"), usageRow(1, "y", "0.2"))...)
			two := b.query(s, costs(after), dayQuery(1), one)
			return beam.Flatten(s, one, two)
		})
		for _, r := range results {
			wantState(t, r, sink.StateCompleted, "")
			if r.Step == "sum" && (r.Published != 1 || r.Counts.Rows != 1) {
				t.Errorf("result of the query step: %+v", r)
			}
		}
		wantLines(t, b.lines("SELECT usage_date, model, CAST(cost AS STRING), _run_id, LENGTH(_row_id) FROM `"+dataset+".costs`"), "2025-11-01 sum 0.3 run-1 32")
	}
}

func TestQueryStepIsSkippedWhenItsDependencyFailed(t *testing.T) {
	b := newBench(t)
	u, after := dayUnit(1, 0), dayUnit(1, 0)
	after.ID = strings.Repeat("f", 24)
	results := b.run(func(s beam.Scope) beam.PCollection {
		one := b.step(s, options(sink.ModeReplacePartition, u), nil)
		return b.query(s, costs(after), dayQuery(1), one)
	})
	if len(results) != 1 {
		t.Fatalf("results: %+v", results)
	}
	wantState(t, results[0], sink.StateSkipped, sink.CodeDependencyFailed)
	if _, err := b.client.Dataset(dataset).Table("_stg_" + after.ID + "_0").Metadata(t.Context()); err == nil {
		t.Error("the query ran")
	}
}

func TestQueryRowsOutsideTheSliceAreRejected(t *testing.T) {
	b := newBench(t)
	o := costs(dayUnit(1, 0))
	o.Table.Schema = o.Table.Schema[:3]
	o.MaxRejected = 1
	results := b.run(func(s beam.Scope) beam.PCollection {
		return b.query(s, o, sink.Query{SQL: "SELECT DATE '2025-11-01' AS usage_date, 'in' AS model, NUMERIC '1' AS cost UNION ALL SELECT DATE '2025-11-02', 'out', NUMERIC '2'"})
	})
	wantState(t, results[0], sink.StateCompleted, "")
	if c := results[0].Counts; c.Rows != 2 || c.Rejected != 1 || results[0].Published != 1 {
		t.Errorf("result: %+v", results[0])
	}
	wantLines(t, b.lines("SELECT model FROM `"+dataset+".costs`"), "in")
	wantLines(t, b.lines("SELECT code, step_id FROM `"+dataset+".pipeline_dlq`"), "OUT_OF_RANGE sum")
}

func TestBadQueryFailsItsStepOnly(t *testing.T) {
	b := newBench(t)
	results := b.run(func(s beam.Scope) beam.PCollection {
		return b.query(s, costs(dayUnit(1, 0)), sink.Query{SQL: "SELECT nonsense FROM `" + dataset + ".nowhere`"})
	})
	wantState(t, results[0], sink.StateFailed, sink.CodeWarehouse)
	if !strings.Contains(results[0].Error, "nowhere") {
		t.Errorf("error is %q", results[0].Error)
	}
}

func TestQueriesAreCheckedWhenBuilt(t *testing.T) {
	u := dayUnit(1, 0)
	for want, queries := range map[string]map[string]sink.Query{
		"has no query":                 {},
		"do not begin with sink_":      {u.ID: {SQL: "SELECT 1", Params: []sink.Param{{Name: "sink_x", Type: row.TypeString}}}},
		`"p" has type NULL`:            {u.ID: {SQL: "SELECT 1", Params: []sink.Param{{Name: "p"}}}},
		`query parameter "a b": names`: {u.ID: {SQL: "SELECT 1", Params: []sink.Param{{Name: "a b", Type: row.TypeString}}}},
	} {
		_, s := beam.NewPipelineWithRoot()
		_, err := sink.WriteQuery(s, nil, queries, costs(u))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}
