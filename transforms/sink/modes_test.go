package sink_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// keyed are options of a mode whose rows are known by day and model.
func keyed(mode string, units ...row.Unit) sink.Options {
	o := options(mode, units...)
	o.KeyFields = []string{"usage_date", "model"}
	return o
}

// otherRun is a unit that no other test step has: units, not runs, have identity.
func otherRun(u row.Unit) row.Unit {
	u.ID = "f" + u.ID[1:]
	return u
}

func wantLanding(t *testing.T, r sink.StepResult, want sink.Landing) {
	t.Helper()
	wantState(t, r, sink.StateCompleted, "")
	if r.Landing != want || r.Published != want.Inserted+want.Updated {
		t.Errorf("published %d: %+v, want %+v", r.Published, r.Landing, want)
	}
	if sum := r.Inserted + r.Updated + r.Existing + r.Superseded; sum != r.Staged {
		t.Errorf("%d rows are accounted for, %d were staged", sum, r.Staged)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	b := newBench(t)
	one, two := dayUnit(1, 1), otherRun(dayUnit(1, 1))
	wantLanding(t, b.write(options(sink.ModeAppend, one), partition(one, "a", 1, usageRow(1, "x", "1"), usageRow(1, "x", "1"))...), sink.Landing{Inserted: 2})
	wantLanding(t, b.write(options(sink.ModeAppend, two), partition(two, "a", 1, usageRow(1, "x", "1"))...), sink.Landing{Inserted: 1})
	wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-01 x 1", "2025-11-01 x 1")
	empty := dayUnit(2, 1)
	wantLanding(t, b.write(options(sink.ModeAppend, empty), partition(empty, "a", 1)...), sink.Landing{})
}

func TestAppendByKeyLandsEachKeyOfAUnitOnce(t *testing.T) {
	b := newBench(t)
	first := dayUnit(1, 1)
	pages := partition(first, "a", 2, usageRow(1, "x", "1"), usageRow(1, "y", "2"), usageRow(1, "x", "3"))
	wantLanding(t, b.write(keyed(sink.ModeAppend, first), pages...), sink.Landing{Inserted: 2, Superseded: 1})
	wantLines(t, b.usage(), "2025-11-01 x 3", "2025-11-01 y 2")
	// The next generation adds what is missing and touches nothing.
	again := dayUnit(1, 2)
	pages = partition(again, "a", 2, usageRow(1, "x", "9"), usageRow(1, "z", "4"))
	wantLanding(t, b.write(keyed(sink.ModeAppend, again), pages...), sink.Landing{Inserted: 1, Existing: 1})
	// Another unit with the same keys is a snapshot of its own.
	other := otherRun(dayUnit(1, 1))
	wantLanding(t, b.write(keyed(sink.ModeAppend, other), partition(other, "a", 2, usageRow(1, "x", "5"))...), sink.Landing{Inserted: 1})
	wantLines(t, b.usage(), "2025-11-01 x 3", "2025-11-01 x 5", "2025-11-01 y 2", "2025-11-01 z 4")
}

func TestInsertNewLeavesKnownKeysAlone(t *testing.T) {
	b := newBench(t)
	one, two := dayUnit(1, 1), otherRun(dayUnit(1, 1))
	wantLanding(t, b.write(keyed(sink.ModeInsertNew, one), partition(one, "a", 1, usageRow(1, "x", "1"))...), sink.Landing{Inserted: 1})
	pages := slices.Concat(
		partition(two, "b", 2, usageRow(1, "y", "7"), usageRow(2, "x", "8")),
		partition(two, "a", 2, usageRow(1, "x", "5"), usageRow(1, "y", "6")),
	)
	wantLanding(t, b.write(keyed(sink.ModeInsertNew, two), pages...), sink.Landing{Inserted: 2, Existing: 1, Superseded: 1})
	wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-01 y 7", "2025-11-02 x 8")
}

func TestMergeUpdatesKnownKeysAndAddsOthers(t *testing.T) {
	for name, layout := range map[string]*sink.Partitioning{
		"partitioned by a key field": {Type: "DAY", Field: "usage_date"},
		"not partitioned":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			write := func(o sink.Options, pages []row.Page) sink.StepResult {
				o.Table.TimePartitioning = layout
				return b.write(o, pages...)
			}
			one, two := dayUnit(1, 1), dayUnit(1, 2)
			wantLanding(t, write(keyed(sink.ModeMerge, one), partition(one, "a", 2, usageRow(1, "x", "1"), usageRow(1, "y", "2"), usageRow(9, "x", "3"))), sink.Landing{Inserted: 3})
			o := keyed(sink.ModeMerge, two)
			o.RunID = "run-2"
			wantLanding(t, write(o, partition(two, "a", 2, usageRow(1, "x", "4"), usageRow(5, "x", "5"), usageRow(1, "x", "6"))), sink.Landing{Inserted: 1, Updated: 1, Superseded: 1})
			wantLines(t, b.lines("SELECT usage_date, model, CAST(cost AS STRING), _run_id FROM `"+dataset+".usage` ORDER BY 1, 2"),
				"2025-11-01 x 6 run-2", "2025-11-01 y 2 run-1", "2025-11-05 x 5 run-2", "2025-11-09 x 3 run-1")
			three := dayUnit(1, 3)
			wantLanding(t, write(keyed(sink.ModeMerge, three), partition(three, "a", 2)), sink.Landing{})
		})
	}
}

func TestMergeReadsOnlyTheTablePartitionsOfItsKeys(t *testing.T) {
	for name, c := range map[string]struct {
		keys    []string
		bounded bool
	}{
		"partitioning column in the key":     {[]string{"usage_date", "model"}, true},
		"partitioning column not in the key": {[]string{"model"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var text atomic.Value
			watch := &fault{match: func(r *http.Request, body string) bool {
				if jobNamed("pub_")(r, body) {
					text.Store(body)
				}
				return false
			}}
			b := watch.spoil(t)
			u := dayUnit(1, 1)
			o := keyed(sink.ModeMerge, u)
			o.KeyFields = c.keys
			wantLanding(t, b.write(o, partition(u, "a", 2, usageRow(1, "x", "1"), usageRow(4, "y", "2"))...), sink.Landing{Inserted: 2})
			if bounded := strings.Contains(fmt.Sprint(text.Load()), "BETWEEN @low AND @high"); bounded != c.bounded {
				t.Errorf("bounded is %v in %v", bounded, text.Load())
			}
			// A row moves to another day when the day is no part of its key.
			v := dayUnit(1, 2)
			o.Units = []row.Unit{v}
			r := b.write(o, partition(v, "a", 2, usageRow(9, "y", "3"))...)
			if c.bounded {
				wantLanding(t, r, sink.Landing{Inserted: 1})
				return
			}
			wantLanding(t, r, sink.Landing{Updated: 1})
			wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-09 y 3")
		})
	}
}

func TestRowsWithoutAKeyAreRejected(t *testing.T) {
	for _, mode := range []string{sink.ModeAppend, sink.ModeInsertNew, sink.ModeMerge} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			u := dayUnit(1, 1)
			o := keyed(mode, u)
			o.MaxRejected = 0.5
			nameless := usageRow(1, "", "1")
			nameless.Cells[1] = row.Null()
			wantLanding(t, b.write(o, partition(u, "a", 2, usageRow(1, "x", "1"), nameless)...), sink.Landing{Inserted: 1})
			wantLines(t, b.lines("SELECT code, error_message FROM `"+dataset+".pipeline_dlq`"), "NULL_KEY key field model is NULL")
		})
	}
}

func TestAQueryMergesByKey(t *testing.T) {
	for _, c := range []struct {
		mode string
		want []string
	}{
		{sink.ModeAppend, []string{"2025-11-01 x 1", "2025-11-01 x 2", "2025-11-01 y 3"}},
		{sink.ModeInsertNew, []string{"2025-11-01 x 1", "2025-11-01 y 3"}},
		{sink.ModeMerge, []string{"2025-11-01 x 2", "2025-11-01 y 3"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			b := newBench(t)
			before := otherRun(dayUnit(1, 1))
			wantLanding(t, b.write(keyed(c.mode, before), partition(before, "a", 2, usageRow(1, "x", "1"))...), sink.Landing{Inserted: 1})
			for attempt := range 2 {
				u := dayUnit(1, 1+attempt)
				o := keyed(c.mode, u)
				o.Step, o.MaxRejected = "query", 0.5
				q := sink.Query{SQL: "SELECT DATE '2025-11-01' AS usage_date, model, NUMERIC '1' * n AS cost, JSON '{}' AS raw FROM UNNEST([STRUCT('x' AS model, 2 AS n), ('y', 3), (NULL, 4)])"}
				r := b.run(func(s beam.Scope) beam.PCollection { return b.query(s, o, q) })[0]
				wantState(t, r, sink.StateCompleted, "")
				if r.Counts.Rejected != 1 {
					t.Errorf("%d rows were rejected, want the one without a key", r.Counts.Rejected)
				}
				wantLines(t, b.usage(), c.want...)
			}
		})
	}
}

func TestAnotherAttemptOfTheSameGenerationDoublesNothing(t *testing.T) {
	for _, mode := range []string{sink.ModeAppend, sink.ModeInsertNew, sink.ModeMerge} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			u := dayUnit(1, 1)
			o := options(mode, u)
			if mode != sink.ModeAppend {
				o = keyed(mode, u)
			}
			for range 2 {
				wantLanding(t, b.write(o, partition(u, "a", 2, usageRow(1, "x", "1"), usageRow(1, "y", "1"))...), sink.Landing{Inserted: 2})
			}
			wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-01 y 1")
		})
	}
}

func TestAFailedSliceHoldsBackOnlyWhatActsOnItsRows(t *testing.T) {
	for mode, want := range map[string][]string{
		sink.ModeAppend:    {"2025-11-01 a 1", "2025-11-03 c 3"},
		sink.ModeInsertNew: {"2025-11-01 a 1"},
		sink.ModeMerge:     {"2025-11-01 a 1"},
	} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			units := []row.Unit{dayUnit(1, 1), dayUnit(2, 1), dayUnit(3, 1)}
			broken := partition(units[1], "a", 2, usageRow(2, "b", "2"))
			broken[0].Failure = &row.Failure{Code: "HTTP_STATUS", Message: "the provider answered 500"}
			r := b.write(keyed(mode, units...), slices.Concat(
				partition(units[2], "a", 2, usageRow(3, "c", "3")), broken, partition(units[0], "a", 2, usageRow(1, "a", "1")))...)
			wantState(t, r, sink.StateFailed, "HTTP_STATUS")
			wantLines(t, b.usage(), want...)
			if told := len(r.Warnings) == 1 && strings.Contains(r.Warnings[0], "1 later slices were not published"); told != (mode != sink.ModeAppend) {
				t.Errorf("warnings are %q", r.Warnings)
			}
		})
	}
}

func TestKeysOfAnOlderFloatColumnAreCompared(t *testing.T) {
	b := newBench(t)
	if err := b.client.Dataset(dataset).Table("usage").Create(t.Context(), &bigquery.TableMetadata{
		Schema: bigquery.Schema{{Name: "cost", Type: bigquery.FloatFieldType}},
	}); err != nil {
		t.Fatal(err)
	}
	for generation, want := range []sink.Landing{{Inserted: 1}, {Updated: 1}} {
		u := dayUnit(1, generation)
		o := keyed(sink.ModeMerge, u)
		o.KeyFields = []string{"cost"}
		wantLanding(t, b.write(o, partition(u, "a", 2, usageRow(1, "x", "0.1"))...), want)
	}
}
