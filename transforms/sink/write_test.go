package sink_test

import (
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

func wantState(t *testing.T, r sink.StepResult, state, code string) {
	t.Helper()
	if r.State != state || r.Code != code {
		t.Fatalf("step is %s %s (%s), want %s %s", r.State, r.Code, r.Error, state, code)
	}
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Fatalf("rows differ (-want +got):\n%s", diff)
	}
}

func TestRowsOfAllPartitionsLandOnceWithTheirRun(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	pages := slices.Concat(
		partition(u, "a", 1, usageRow(1, "gpt-5", "0.000000001"), usageRow(1, "o4", "12.50")),
		partition(u, "b", 2, usageRow(1, "whisper", "3")),
		partition(u, "c", 2),
	)
	r := b.write(options(sink.ModeReplacePartition, u), pages...)
	wantState(t, r, sink.StateCompleted, "")
	if r.Published != 3 || r.Staged != 3 || r.Counts.Rows != 3 || r.Counts.Pages != 4 || r.Counts.Requests != 4 || r.Counts.Rejected != 0 {
		t.Errorf("counts: %+v", r)
	}
	wantLines(t, b.usage(), "2025-11-01 gpt-5 0.000000001", "2025-11-01 o4 12.5", "2025-11-01 whisper 3")
	wantLines(t, b.lines("SELECT DISTINCT _run_id, LENGTH(_row_id) FROM `"+dataset+".usage`"), "run-1 32")
	wantLines(t, b.lines("SELECT COUNT(DISTINCT _row_id) FROM `"+dataset+".usage`"), "3")
	md, err := b.client.Dataset(dataset).Table("usage").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if md.TimePartitioning == nil || md.TimePartitioning.Field != "usage_date" || md.Clustering == nil {
		t.Errorf("table was made without its partitioning or clustering: %+v", md)
	}
	if last := r.JobIDs[len(r.JobIDs)-1]; last != "pub_"+u.ID+"_0_0" {
		t.Errorf("publish job is %s", last)
	}
}

func TestZeroRowsReplaceOldRows(t *testing.T) {
	for name, days := range map[string]int{"one table partition": 1, "a range of two days": 2} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			unit := func(generation int) row.Unit {
				u := dayUnit(1, generation)
				u.End = date(1 + days)
				return u
			}
			first := b.write(options(sink.ModeReplacePartition, unit(0), dayUnit(9, 0)), slices.Concat(
				partition(unit(0), "a", 2, usageRow(1, "old", "1"), usageRow(days, "old", "2")),
				partition(dayUnit(9, 0), "a", 2, usageRow(9, "other day", "3")),
			)...)
			wantState(t, first, sink.StateCompleted, "")
			second := b.write(options(sink.ModeReplacePartition, unit(1)), partition(unit(1), "a", 2)...)
			wantState(t, second, sink.StateCompleted, "")
			if second.Published != 0 {
				t.Errorf("published %d rows, want none", second.Published)
			}
			wantLines(t, b.usage(), "2025-11-09 other day 3")
		})
	}
}

func TestOverwriteHoldsExactlyTheLastGeneration(t *testing.T) {
	b := newBench(t)
	for generation, rows := range [][]row.Row{
		{usageRow(1, "a", "1"), usageRow(5, "b", "2")},
		{usageRow(2, "c", "3")},
		{},
	} {
		u := dayUnit(1, generation)
		r := b.write(options(sink.ModeOverwrite, u), partition(u, "all", 10, rows...)...)
		wantState(t, r, sink.StateCompleted, "")
		if r.Published != int64(len(rows)) || len(b.usage()) != len(rows) {
			t.Fatalf("generation %d: published %d, table holds %v", generation, r.Published, b.usage())
		}
	}
	md, err := b.client.Dataset(dataset).Table("usage").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if md.TimePartitioning == nil || md.TimePartitioning.Field != "usage_date" {
		t.Error("overwriting took the table's partitioning away")
	}
}

func TestSecondGenerationReplacesEqualRows(t *testing.T) {
	for _, mode := range []string{"truncate", "transaction", "required column"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			for generation := range 2 {
				u := dayUnit(1, generation)
				o := options(sink.ModeReplacePartition, u)
				switch mode {
				case "transaction":
					o.ReplaceScope = map[string]string{"model": "gpt-5"}
				case "required column":
					o.Table.Schema[0].Required = true
				}
				r := b.write(o, partition(u, "a", 1, usageRow(1, "gpt-5", "1"), usageRow(1, "gpt-5", "2"))...)
				wantState(t, r, sink.StateCompleted, "")
				wantLines(t, b.usage(), "2025-11-01 gpt-5 1", "2025-11-01 gpt-5 2")
			}
		})
	}
}

func TestScopeLeavesRowsOfOtherStepsAlone(t *testing.T) {
	b := newBench(t)
	write := func(model string, generation int, rows ...row.Row) sink.StepResult {
		u := dayUnit(1, generation)
		u.ID = strings.Repeat(string(model[0]), 24)
		o := options(sink.ModeReplacePartition, u)
		o.ReplaceScope = map[string]string{"model": model}
		o.MaxRejected = 0.5
		return b.write(o, partition(u, "a", 9, rows...)...)
	}
	wantState(t, write("a", 0, usageRow(1, "a", "1")), sink.StateCompleted, "")
	wantState(t, write("b", 0, usageRow(1, "b", "2")), sink.StateCompleted, "")
	again := write("a", 1, usageRow(1, "a", "3"), usageRow(1, "b", "4"))
	wantState(t, again, sink.StateCompleted, "")
	if again.Counts.Rejected != 1 {
		t.Errorf("a row outside the scope was not rejected: %+v", again.Counts)
	}
	wantLines(t, b.usage(), "2025-11-01 a 3", "2025-11-01 b 2")
}

func TestUnitsPublishInAscendingOrder(t *testing.T) {
	b := newBench(t)
	first, second := dayUnit(1, 0), dayUnit(2, 0)
	pages := slices.Concat(
		partition(second, "a", 1, usageRow(2, "late", "2")),
		partition(first, "a", 1, usageRow(1, "early", "1")),
	)
	r := b.write(options(sink.ModeReplacePartition, first, second), pages...)
	wantState(t, r, sink.StateCompleted, "")
	wantLines(t, b.usage(), "2025-11-01 early 1", "2025-11-02 late 2")
	var published []string
	for _, id := range r.JobIDs {
		if strings.HasPrefix(id, "pub_") {
			published = append(published, id)
		}
	}
	wantLines(t, published, "pub_"+first.ID+"_0_0", "pub_"+second.ID+"_0_0")
}

func TestFailedPagePublishesNothingOfItsUnit(t *testing.T) {
	b := newBench(t)
	u, next := dayUnit(1, 0), dayUnit(2, 0)
	pages := partition(u, "a", 1, usageRow(1, "x", "1"), usageRow(1, "y", "2"))
	pages[1].Failure = &row.Failure{Code: "HTTP_STATUS", Message: "the provider answered 500"}
	pages = append(pages, partition(u, "b", 1, usageRow(1, "other partition", "4"))...)
	pages = append(pages, partition(next, "a", 1, usageRow(2, "fine", "3"))...)
	r := b.write(options(sink.ModeReplacePartition, u, next), pages...)
	wantState(t, r, sink.StateFailed, "HTTP_STATUS")
	if !strings.Contains(r.Error, "the provider answered 500") {
		t.Errorf("error is %q", r.Error)
	}
	wantLines(t, b.usage(), "2025-11-02 fine 3")
	wantLines(t, b.lines("SELECT _part, _first, _next FROM `"+dataset+"._stg_"+u.ID+"_0` WHERE _kind = 'chunk' ORDER BY 1"), "a  c1", "b  ")
}

func TestPartitionWithoutEndPublishesNothing(t *testing.T) {
	for name, cut := range map[string]func([]row.Page) []row.Page{
		"last page missing": func(p []row.Page) []row.Page { return p[:2] },
		"page left out":     func(p []row.Page) []row.Page { return []row.Page{p[0], p[2]} },
		"no page at all":    func([]row.Page) []row.Page { return nil },
		"pages of two passes": func(p []row.Page) []row.Page {
			p[1].Pass, p[2].Pass = "x", "x"
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			u := dayUnit(1, 0)
			pages := cut(partition(u, "a", 1, usageRow(1, "x", "1"), usageRow(1, "y", "2"), usageRow(1, "z", "3")))
			r := b.write(options(sink.ModeReplacePartition, u), pages...)
			wantState(t, r, sink.StateFailed, sink.CodeIncompleteChain)
			if _, err := b.client.Dataset(dataset).Table("usage").Metadata(t.Context()); err == nil {
				t.Error("the destination was touched")
			}
		})
	}
}

func TestFailedDependencySkipsButRowsWereStaged(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	bad := options(sink.ModeReplacePartition, dayUnit(7, 0))
	bad.Step, bad.Table.Name = "broken", "other"
	after := options(sink.ModeReplacePartition, u)
	third := options(sink.ModeReplacePartition, dayUnit(3, 0))
	third.Step = "third"
	for _, goOn := range []bool{false, true} {
		bad.ContinueOnFailure = goOn
		results := b.run(func(s beam.Scope) beam.PCollection {
			one := b.step(s, bad, nil, row.Page{Position: row.Position{Unit: bad.Units[0].ID}, Failure: &row.Failure{Code: "X", Message: "no"}})
			two := b.step(s, after, []beam.PCollection{one}, partition(u, "a", 1, usageRow(1, "x", "1"))...)
			three := b.step(s, third, []beam.PCollection{two}, partition(dayUnit(3, 0), "a", 1, usageRow(3, "x", "1"))...)
			return beam.Flatten(s, one, two, three)
		})
		states := map[string]string{}
		for _, r := range results {
			states[r.Step] = r.State + " " + r.Code
		}
		want := map[string]string{"broken": "FAILED X", "fetch": "SKIPPED DEPENDENCY_FAILED", "third": "SKIPPED DEPENDENCY_FAILED"}
		if goOn {
			want["fetch"], want["third"] = "COMPLETED ", "COMPLETED "
		}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Fatalf("continue %v (-want +got):\n%s", goOn, diff)
		}
	}
	wantLines(t, b.usage(), "2025-11-01 x 1", "2025-11-03 x 1")
}

func TestExistingTableGainsColumnsAndKeepsFloat(t *testing.T) {
	b := newBench(t)
	err := b.client.Dataset(dataset).Table("usage").Create(t.Context(), &bigquery.TableMetadata{
		Schema: bigquery.Schema{
			{Name: "note", Type: bigquery.StringFieldType},
			{Name: "cost", Type: bigquery.FloatFieldType},
			{Name: "usage_date", Type: bigquery.DateFieldType, Required: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	u := dayUnit(1, 0)
	r := b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "x", "1.5"))...)
	wantState(t, r, sink.StateCompleted, "")
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "FLOAT64 but declared NUMERIC") {
		t.Errorf("warnings: %q", r.Warnings)
	}
	wantLines(t, b.lines("SELECT usage_date, model, cost, note, _run_id FROM `"+dataset+".usage`"), "2025-11-01 x 1.5 <nil> run-1")
}

func TestChangeOfTypeIsRefusedNamingBoth(t *testing.T) {
	b := newBench(t)
	err := b.client.Dataset(dataset).Table("usage").Create(t.Context(), &bigquery.TableMetadata{
		Schema: bigquery.Schema{{Name: "model", Type: bigquery.IntegerFieldType}},
	})
	if err != nil {
		t.Fatal(err)
	}
	u := dayUnit(1, 0)
	r := b.write(options(sink.ModeReplacePartition, u), partition(u, "a", 9, usageRow(1, "x", "1.5"))...)
	wantState(t, r, sink.StateFailed, sink.CodeSchemaMismatch)
	if !strings.Contains(r.Error, "model is INTEGER but declared STRING") {
		t.Errorf("error is %q", r.Error)
	}
}

func TestDropStagesRemovesOnlyTheirStages(t *testing.T) {
	b := newBench(t)
	one, two := dayUnit(1, 0), dayUnit(2, 0)
	wantState(t, b.write(options(sink.ModeReplacePartition, one, two), slices.Concat(
		partition(one, "a", 9, usageRow(1, "x", "1")), partition(two, "a", 9, usageRow(2, "x", "1")))...), sink.StateCompleted, "")
	for range 2 {
		if err := sink.DropStages(t.Context(), b.client, dataset, []row.Unit{one}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.Dataset(dataset).Table("_stg_" + one.ID + "_0").Metadata(t.Context()); err == nil {
		t.Error("the dropped stage is still there")
	}
	md, err := b.client.Dataset(dataset).Table("_stg_" + two.ID + "_0").Metadata(t.Context())
	if err != nil || md.ExpirationTime.IsZero() {
		t.Errorf("the other stage is gone or never expires: %v", err)
	}
}
