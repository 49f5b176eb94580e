package sink_test

import (
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

func TestRejectedRowsReachTheDeadLetterTable(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	o := options(sink.ModeReplacePartition, u)
	o.Table.Schema[1].Required = true
	o.MaxRejected = 0.75
	nameless := usageRow(1, "", "1")
	nameless.Cells[1] = row.Null()
	pages := partition(u, "a", 9, usageRow(1, "good", "1"), usageRow(2, "tomorrow", "2"), nameless)
	pages[0].Rejects = []row.Reject{{Code: "INVALID_VALUE", Step: "decode", Reason: "cost is \"x\"", Payload: `{"cost":"x"}` + "\xff" + strings.Repeat("é", 20000), Index: 7}}
	r := b.write(o, pages...)
	wantState(t, r, sink.StateCompleted, "")
	if r.Counts.Rows != 4 || r.Counts.Rejected != 3 || r.Staged != 1 || r.Published != 1 {
		t.Errorf("counts: %+v", r)
	}
	wantLines(t, b.usage(), "2025-11-01 good 1")
	wantLines(t, b.lines("SELECT error_type, step, step_id, pipeline_id, run_id, org_slug, source_table, error_message, retry_count FROM `"+dataset+".pipeline_dlq` ORDER BY 1"),
		`INVALID_VALUE decode fetch openai/usage run-1 acme usage cost is "x" 0`,
		"MISSING_REQUIRED fetch fetch openai/usage run-1 acme usage required column model is NULL 0",
		"OUT_OF_RANGE fetch fetch openai/usage run-1 acme usage usage_date is 2025-11-02, outside 2025-11-01 to 2025-11-02 (exclusive) 0",
	)
	wantLines(t, b.lines("SELECT MAX(LENGTH(raw_data)) FROM `"+dataset+".pipeline_dlq`"), "10000")
}

func TestTooManyRejectsPublishNothingButAreKept(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 0)
	pages := partition(u, "a", 1, usageRow(1, "good", "1"), usageRow(2, "tomorrow", "2"))
	for range 2 { // a second attempt of the same generation writes no reject again
		r := b.write(options(sink.ModeReplacePartition, u), pages...)
		wantState(t, r, sink.StateFailed, sink.CodeTooManyRejects)
		if r.Published != 0 {
			t.Errorf("published %d rows", r.Published)
		}
		wantLines(t, b.lines("SELECT code FROM `"+dataset+".pipeline_dlq`"), "OUT_OF_RANGE")
	}
	if _, err := b.client.Dataset(dataset).Table("usage").Metadata(t.Context()); err == nil {
		t.Error("the destination was touched")
	}
}

func TestUnsupportedOptionsAreNamedWhenBuilt(t *testing.T) {
	u := dayUnit(1, 0)
	for want, change := range map[string]func(o *sink.Options){
		`write_mode "upsert" is not supported: use one of append, append+key_fields, insert_new, merge, overwrite, replace_partition`: func(o *sink.Options) { o.WriteMode = "upsert" },
		"merge of usage needs key_fields":                         func(o *sink.Options) { o.WriteMode = sink.ModeMerge },
		"insert_new of usage needs key_fields":                    func(o *sink.Options) { o.WriteMode = sink.ModeInsertNew },
		`key_fields names column "raw" of usage, whose type JSON`: func(o *sink.Options) { o.WriteMode, o.KeyFields = sink.ModeAppend, []string{"raw"} },
		`key_fields names column "model" twice`:                   func(o *sink.Options) { o.WriteMode, o.KeyFields = sink.ModeMerge, []string{"model", "model"} },
		"append deletes nothing by it":                            func(o *sink.Options) { o.WriteMode, o.ReplaceScope = sink.ModeAppend, map[string]string{"model": "x"} },
		"overwrite of usage has 2 units":                          func(o *sink.Options) { o.WriteMode, o.Units = sink.ModeOverwrite, []row.Unit{u, dayUnit(2, 0)} },
		`replace_field is "model"`:                                func(o *sink.Options) { o.ReplaceField = "model" },
		`replace_scope names "nope"`:                              func(o *sink.Options) { o.ReplaceScope = map[string]string{"nope": "x"} },
		`key_fields names column "nope"`:                          func(o *sink.Options) { o.KeyFields = []string{"nope"} },
		`column name "_chunk" is taken twice or reserved`:         func(o *sink.Options) { o.Table.Schema[1].Name = "_chunk" },
		"\"a`b\" is not a column name":                            func(o *sink.Options) { o.Table.Schema[1].Name = "a`b" },
		"\"acme_test\".\"x`y\" is not a dataset and table":        func(o *sink.Options) { o.Table.Name = "x`y" },
		"max_rejected is 2":                                       func(o *sink.Options) { o.MaxRejected = 2 },
		"is empty: from 2025-11-01 to 2025-11-01":                 func(o *sink.Options) { o.Units[0].End = o.Units[0].Start },
		"there is no unit to write":                               func(o *sink.Options) { o.Units = nil },
		"table pipeline_dlq has no columns":                       func(o *sink.Options) { o.DeadLetters.Schema = nil },
		`clustered by "nope"`:                                     func(o *sink.Options) { o.Table.Clustering = []string{"nope"} },
		`partitioned by "model"`:                                  func(o *sink.Options) { o.Table.TimePartitioning.Field = "model" },
		`partitioning type "WEEK" is not one of DAY`:              func(o *sink.Options) { o.Table.TimePartitioning.Type = "WEEK" },
		"units ascend by slice":                                   func(o *sink.Options) { o.Units = []row.Unit{dayUnit(2, 0), u} },
		"is malformed or there twice":                             func(o *sink.Options) { o.Units = []row.Unit{u, u} },
		`project "ACME" is not a project id`:                      func(o *sink.Options) { o.Table.Project = "ACME" },
		"step, org and run id must be set":                        func(o *sink.Options) { o.RunID = "" },
	} {
		t.Run(want, func(t *testing.T) {
			o := options(sink.ModeReplacePartition, dayUnit(1, 0))
			change(&o)
			_, s := beam.NewPipelineWithRoot()
			_, err := sink.Write(s, sink.Input{Pages: beam.CreateList(s, partition(u, "a", 1))}, o)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error is %v", err)
			}
		})
	}
}
