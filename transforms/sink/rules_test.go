package sink_test

import (
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	local "github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// inject makes the server misbehave for the length of a test.
func inject(t *testing.T, f local.Fault) *local.Injected {
	t.Helper()
	shared.address()
	t.Cleanup(injected.Clear)
	return injected.Inject(f)
}

// together runs steps side by side and returns their results by step.
func (b *bench) together(steps map[string]sink.Options, pages map[string][]row.Page) map[string]sink.StepResult {
	b.t.Helper()
	results := b.run(func(s beam.Scope) beam.PCollection {
		var out []beam.PCollection
		for name, o := range steps {
			o.Step = name
			out = append(out, b.step(s, o, nil, pages[name]...))
		}
		return beam.Flatten(s, out...)
	})
	byStep := map[string]sink.StepResult{}
	for _, r := range results {
		byStep[r.Step] = r
	}
	return byStep
}

func TestPublishesByKeyOfOneTableComeOneAfterAnother(t *testing.T) {
	for mode, want := range map[string]sink.Landing{
		sink.ModeInsertNew: {Existing: 1}, sink.ModeMerge: {Updated: 1},
	} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			one, two := dayUnit(1, 1), otherRun(dayUnit(1, 1))
			// The first publish waits within its transaction, before its MERGE, until the
			// second one has begun and met the guard.
			begun, both := make(chan struct{}), make(chan struct{})
			inject(t, local.Fault{Method: "jobs.insert", Job: "pub_" + one.ID, Statement: 3, Until: both, Reached: func() { close(begun) }})
			inject(t, local.Fault{Method: "jobs.insert", Job: "pub_" + two.ID, Until: begun})
			second := inject(t, local.Fault{Method: "jobs.insert", Job: "pub_" + two.ID, Nth: 2, Reached: func() { close(both) }})
			steps := map[string]sink.Options{"one": keyed(mode, one), "two": keyed(mode, two)}
			got := b.together(steps, map[string][]row.Page{
				"one": partition(one, "a", 1, usageRow(1, "x", "1")), "two": partition(two, "a", 1, usageRow(1, "x", "2")),
			})
			wantState(t, got["one"], sink.StateCompleted, "")
			wantState(t, got["two"], sink.StateCompleted, "")
			if second.Calls() < 2 {
				t.Fatal("the publishes did not overlap")
			}
			landings := []sink.Landing{got["one"].Landing, got["two"].Landing}
			if landings[0] != (sink.Landing{Inserted: 1}) || landings[1] != want {
				t.Errorf("landings are %+v", landings)
			}
			wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".usage`"), "1")
			wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+"._guard_usage`"), "1")
		})
	}
}

func TestTheDeadLetterJobDecidesWhatIsPublished(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeReplacePartition, u)
	o.MaxRejected = 0.5
	// The first attempt decides for a chain with a reject and dies before it publishes.
	first := inject(t, local.Fault{Method: "jobs.insert", Job: "pub_" + u.ID, JobError: &wire.Error{HTTPStatus: 400, Reason: "invalid", Message: "gone"}})
	bad := usageRow(2, "late", "9")
	wantState(t, b.write(o, partition(u, "a", 2, usageRow(1, "x", "1"), bad)...), sink.StateFailed, sink.CodeWarehouse)
	if first.Struck() != 1 {
		t.Fatalf("%d publishes failed", first.Struck())
	}
	// The second sees other rows, none of them rejected: those of the first are published,
	// whose letters are in the table.
	r := b.write(o, partition(u, "a", 2, usageRow(1, "y", "2"), usageRow(1, "z", "3"))...)
	wantState(t, r, sink.StateCompleted, "")
	if r.Published != 1 || r.Counts.Rejected != 1 || r.Counts.Rows != 2 || len(r.Warnings) != 1 {
		t.Errorf("published %d, counts %+v, warnings %q", r.Published, r.Counts, r.Warnings)
	}
	wantLines(t, b.usage(), "2025-11-01 x 1")
	wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".pipeline_dlq`"), "1")
}

func TestADecisionWithoutRejectsIsADecision(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeReplacePartition, u)
	o.MaxRejected = 0.9
	inject(t, local.Fault{Method: "jobs.insert", Job: "pub_" + u.ID, JobError: &wire.Error{HTTPStatus: 400, Reason: "invalid", Message: "gone"}})
	wantState(t, b.write(o, partition(u, "a", 2, usageRow(1, "x", "1"))...), sink.StateFailed, sink.CodeWarehouse)
	r := b.write(o, partition(u, "a", 2, usageRow(1, "y", "2"), usageRow(2, "late", "9"))...)
	wantState(t, r, sink.StateCompleted, "")
	if r.Counts.Rejected != 0 {
		t.Errorf("%d rows were rejected", r.Counts.Rejected)
	}
	wantLines(t, b.usage(), "2025-11-01 x 1")
	wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".pipeline_dlq`"), "0")
}

func TestAStageThatIsDroppedBeforeThePublishEndsTheGeneration(t *testing.T) {
	for name, job := range map[string]string{"before the decision": "dlq_", "before the publish": "pub_"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			u := dayUnit(1, 1)
			o := options(sink.ModeAppend, u)
			o.MaxRejected = 0.5
			nameless := usageRow(1, "x", "1")
			o.Table.Schema = usageSchema()
			o.Table.Schema[1].Required = true
			nameless.Cells[1] = row.Null()
			dropped := false
			r := b.writeThrough(o, func(id string) {
				if strings.HasPrefix(id, job) && !dropped {
					dropped = true
					if err := sink.DropStages(t.Context(), b.client, dataset, []row.Unit{u}); err != nil {
						t.Error(err)
					}
				}
			}, partition(u, "a", 2, usageRow(1, "x", "1"), nameless)...)
			wantState(t, r, sink.StateFailed, sink.CodeStageMissing)
			if !dropped {
				t.Fatal("the stage was not dropped")
			}
		})
	}
}

func TestASourceStopsWhileFourChunksAreNotDurable(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeAppend, u)
	held := make(chan struct{})
	var pages []row.Page
	for _, p := range partition(u, "a", 1000, usageRows(1, 40_000)...) {
		p.Index = int64(len(pages))
		pages = append(pages, p)
	}
	// The first load is held; three more chunks may follow it, in loads that end. The
	// fifth chunk must not begin before it.
	uploads := inject(t, local.Fault{Method: "jobs.upload", Job: "load_", Until: held})
	others := inject(t, local.Fault{Method: "jobs.upload", Job: "load_", Nth: 5, Reached: func() {
		select {
		case <-held:
		default:
			t.Error("a fifth chunk was loaded while the first one was not durable")
		}
	}})
	third := inject(t, local.Fault{Method: "jobs.upload", Job: "load_", Nth: 3, Reached: func() { close(held) }})
	r := b.write(o, pages...)
	wantLanding(t, r, sink.Landing{Inserted: 40_000})
	if uploads.Struck() != 1 || third.Struck() != 1 || others.Calls() < 5 {
		t.Errorf("%d loads were held, %d sent", uploads.Struck(), others.Calls())
	}
}

func TestRejectsMayBeLimitedByNumber(t *testing.T) {
	for most, want := range map[int64]string{0: sink.StateFailed, 1: sink.StateFailed, 2: sink.StateCompleted} {
		b := newBench(t)
		u := dayUnit(1, 1)
		o := options(sink.ModeReplacePartition, u)
		o.MaxRejectedRows = most
		r := b.write(o, partition(u, "a", 9, usageRow(1, "x", "1"), usageRow(2, "x", "2"), usageRow(3, "x", "3"))...)
		if r.State != want {
			t.Errorf("at most %d: %s %s", most, r.State, r.Error)
		}
		wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".pipeline_dlq`"), "2")
	}
}

func TestAQueryThatFillsItsLimitIsTruncated(t *testing.T) {
	for limit, code := range map[int64]string{0: "", 2: sink.CodeTruncated, 3: ""} {
		b := newBench(t)
		u := dayUnit(1, 1)
		o := options(sink.ModeOverwrite, u)
		q := sink.Query{Limit: limit, SQL: "SELECT DATE '2025-11-01' AS usage_date, 'x' AS model, NUMERIC '1' AS cost, JSON '{}' AS raw FROM UNNEST([1, 2]) LIMIT 5"}
		r := b.run(func(s beam.Scope) beam.PCollection { return b.query(s, o, q) })[0]
		wantState(t, r, sink.StateCompleted, code)
		if told := len(r.Warnings) == 1; told != (code != "") {
			t.Errorf("limit %d: warnings are %q", limit, r.Warnings)
		}
		wantLines(t, b.lines("SELECT COUNT(*) FROM `"+dataset+".usage`"), "2")
	}
}

func envelope(id, text string) row.Row {
	return row.Row{Cells: []row.Cell{row.Date(date(1)), row.String(fmt.Sprintf(`{"item": {"id": %s}, "text": %q}`, id, text))}}
}

func TestKeysAreLookedUpInsideTheRawText(t *testing.T) {
	for mode, want := range map[string][]string{
		sink.ModeAppend: {"1 old", "2 new"}, sink.ModeInsertNew: {"1 old", "2 new"}, sink.ModeMerge: {"1 new", "2 new"},
	} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			write := func(generation int, rows ...row.Row) sink.StepResult {
				u := dayUnit(1, generation)
				o := options(mode, u)
				o.KeyFields, o.MaxRejected = []string{"item.id"}, 0.5
				o.Table.Schema = row.Schema{{Name: "usage_date", Type: row.TypeDate}, {Name: "raw_data", Type: row.TypeString}}
				o.Table.Clustering = nil
				return b.write(o, partition(u, "a", 9, rows...)...)
			}
			wantState(t, write(1, envelope("1", "old")), sink.StateCompleted, "")
			r := write(2, envelope("1", "new"), envelope(`"2"`, "new"), envelope("null", "none"))
			wantState(t, r, sink.StateCompleted, "")
			if r.Counts.Rejected != 1 {
				t.Errorf("%d rows were rejected", r.Counts.Rejected)
			}
			wantLines(t, b.lines("SELECT JSON_VALUE(raw_data, '$.item.id'), JSON_VALUE(raw_data, '$.text') FROM `"+dataset+".usage` ORDER BY 1"), want...)
		})
	}
}

func TestATableIsMadeAnew(t *testing.T) {
	b := newBench(t)
	if err := b.client.Dataset(dataset).Table("usage").Create(t.Context(), &bigquery.TableMetadata{
		Schema: bigquery.Schema{{Name: "model", Type: bigquery.IntegerFieldType}, {Name: "old", Type: bigquery.StringFieldType}},
	}); err != nil {
		t.Fatal(err)
	}
	u := dayUnit(1, 1)
	o := options(sink.ModeOverwrite, u)
	wantState(t, b.write(o, partition(u, "a", 9, usageRow(1, "x", "1"))...), sink.StateFailed, sink.CodeSchemaMismatch)
	o.Recreate = true
	wantLanding(t, b.write(o, partition(u, "a", 9, usageRow(1, "x", "1"))...), sink.Landing{Inserted: 1})
	wantLines(t, b.usage(), "2025-11-01 x 1")
	md, err := b.client.Dataset(dataset).Table("usage").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if md.TimePartitioning == nil || md.TimePartitioning.Field != "usage_date" || md.Clustering == nil || len(md.Schema) != 6 {
		t.Errorf("the table is %+v", md)
	}
}
