package sink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// resume runs a step that goes on with what is staged and fetches the given pages. It
// returns the result, and where the partitions go on.
func (b *bench) resume(o sink.Options, pages ...row.Page) (sink.StepResult, []row.Position) {
	b.t.Helper()
	o.Table.Project = b.project
	key := b.t.Name() + o.RunID
	results := b.run(func(s beam.Scope) beam.PCollection {
		adopted, err := sink.Adopt(s, o)
		if err != nil {
			b.t.Fatal(err)
		}
		fetched := beam.ParDo(s, &startsFn{Test: key}, beam.CreateList(s, pages), beam.SideInput{Input: sink.Starts(s, adopted)})
		out, err := sink.Write(s, sink.Input{Pages: fetched, Adopted: adopted}, o)
		if err != nil {
			b.t.Fatal(err)
		}
		return out
	})
	if len(results) != 1 {
		b.t.Fatalf("the step yielded %d results, want exactly one: %+v", len(results), results)
	}
	collected.Lock()
	defer collected.Unlock()
	return results[0], collected.starts[key]
}

// cut is a first attempt that got so many pages of each partition staged and no further.
func (b *bench) cut(o sink.Options, pages ...row.Page) {
	b.t.Helper()
	o.RunID = "killed"
	wantState(b.t, b.write(o, pages...), sink.StateFailed, sink.CodeIncompleteChain)
}

func (b *bench) chunks(u row.Unit) []string {
	b.t.Helper()
	return b.lines(fmt.Sprintf("SELECT _part, _page, _pages FROM `%s._stg_%s_%d` WHERE _kind = 'chunk' ORDER BY 1, 2", dataset, u.ID, u.Generation))
}

func usageRows(day, n int) []row.Row {
	var rows []row.Row
	for i := range n {
		rows = append(rows, usageRow(day, fmt.Sprintf("m%02d", i), fmt.Sprint(i)))
	}
	return rows
}

func TestAResumedRunFetchesWhatFollowsAndPublishesBoth(t *testing.T) {
	for mode, keys := range map[string][]string{
		sink.ModeAppend: nil, sink.ModeInsertNew: {"usage_date", "model"}, sink.ModeMerge: {"usage_date", "model"},
		sink.ModeReplacePartition: nil, sink.ModeOverwrite: nil,
	} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			u := dayUnit(1, 1)
			o := options(mode, u)
			o.KeyFields = keys
			begun, whole := partition(u, "begun", 2, usageRows(1, 10)...), partition(u, "whole", 5, usageRow(1, "z", "1"))
			b.cut(o, slices.Concat(begun[:3], whole)...)
			r, starts := b.resume(o, begun[3:]...)
			wantState(t, r, sink.StateCompleted, "")
			if r.Published != 11 || r.Staged != 11 || r.Counts.Rows != 11 {
				t.Errorf("published %d of %d staged rows, %d came", r.Published, r.Staged, r.Counts.Rows)
			}
			if r.Counts.Pages != 2 || r.Counts.Adopted != 4 || r.Counts.Again != 0 || r.Counts.Requests != 2 {
				t.Errorf("counts are %+v", r.Counts)
			}
			var at []string
			for _, p := range starts {
				at = append(at, fmt.Sprint(p.Partition, " ", p.Index, " ", p.First, " ", p.Last))
			}
			slices.Sort(at)
			wantLines(t, at, "begun 3 c3 false", "whole 1  true")
			if n := len(b.usage()); n != 11 {
				t.Errorf("the table holds %d rows, want 11", n)
			}
			wantLines(t, b.lines("SELECT DISTINCT _run_id FROM `"+dataset+".usage`"), "run-1")
		})
	}
}

func TestACompleteStageIsPublishedWithoutAPage(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeAppend, u)
	blocked := o
	blocked.RunID = "killed"
	results := b.run(func(s beam.Scope) beam.PCollection {
		failed := options(sink.ModeAppend, dayUnit(2, 1))
		failed.Step, failed.Table.Name = "before", "before"
		return b.step(s, blocked, []beam.PCollection{b.step(s, failed, nil)}, partition(u, "a", 2, usageRows(1, 5)...)...)
	})
	wantState(t, results[0], sink.StateSkipped, sink.CodeDependencyFailed)
	r, _ := b.resume(o)
	wantLanding(t, r, sink.Landing{Inserted: 5})
	if r.Counts.Adopted != 3 || r.Counts.Pages != 0 {
		t.Errorf("counts are %+v", r.Counts)
	}
	// Again: the publish is there, and so is the stage.
	r, _ = b.resume(o)
	wantLanding(t, r, sink.Landing{Inserted: 5})
	if n := len(b.usage()); n != 5 {
		t.Errorf("the table holds %d rows, want 5", n)
	}
}

func TestPagesThatNothingLeadsToAreFetchedAgain(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeAppend, u)
	pages := partition(u, "a", 1, usageRows(1, 6)...)
	b.cut(o, pages[0], pages[1], pages[4], pages[5])
	wantLines(t, b.chunks(u), "a 0 2", "a 4 2")
	r, starts := b.resume(o, pages[2:]...)
	wantLanding(t, r, sink.Landing{Inserted: 6})
	if len(starts) != 1 || starts[0].Index != 2 {
		t.Errorf("goes on at %+v", starts)
	}
	if r.Counts.Adopted != 2 || r.Counts.Pages != 4 || r.Counts.Again != 2 {
		t.Errorf("counts are %+v", r.Counts)
	}
	if n := len(b.usage()); n != 6 {
		t.Errorf("the table holds %d rows, want 6", n)
	}
}

func TestEqualChunksOfDifferentLoadsDoubleNothing(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeAppend, u)
	begun, other := partition(u, "a", 1, usageRows(1, 3)...), partition(u, "b", 1, usageRow(1, "x", "1"))
	// One load of a's end alone, then one of a's end together with b.
	b.cut(o, begun[2])
	b.cut(o, begun[2], other[0])
	r, _ := b.resume(o, begun...)
	wantLanding(t, r, sink.Landing{Inserted: 4})
	if n := len(b.usage()); n != 4 {
		t.Errorf("the table holds %d rows, want 4", n)
	}
}

func TestANewPassIsNeverMixedWithTheOld(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeAppend, u)
	pages := partition(u, "a", 1, usageRows(1, 4)...)
	b.cut(o, pages[:2]...)
	again := partition(u, "a", 1, slices.Concat([]row.Row{usageRow(1, "new", "1")}, usageRows(1, 3))...)
	for i := range again {
		again[i].Pass = "second"
	}
	r, _ := b.resume(o, again...)
	wantLanding(t, r, sink.Landing{Inserted: 4})
	if r.Counts.Adopted != 0 || r.Counts.Again != 2 {
		t.Errorf("counts are %+v", r.Counts)
	}
	wantLines(t, b.lines("SELECT model FROM `"+dataset+".usage` ORDER BY 1"), "m00", "m01", "m02", "new")
}

func TestWhatCannotBeReadStartsOver(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeAppend, u)
	pages := partition(u, "a", 1, usageRows(1, 3)...)
	b.cut(o, pages[:2]...)
	if err := sink.DropStages(t.Context(), b.client, dataset, []row.Unit{u}); err != nil {
		t.Fatal(err)
	}
	r, starts := b.resume(o, pages...)
	wantLanding(t, r, sink.Landing{Inserted: 3})
	if len(starts) != 0 || r.Counts.Adopted != 0 {
		t.Errorf("a dropped stage was adopted: %+v, %+v", starts, r.Counts)
	}
}

func TestReadersGetTheAdoptedRowsToo(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeReplacePartition, u)
	o.MaxRejected = 0.5
	rows := usageRows(1, 7)
	rows[2].Cells[1], rows[3].Cells[3], rows[6].Cells[2] = row.Null(), row.Null(), row.Null()
	pages := partition(u, "a", 2, rows...)
	pages = append(pages, partition(u, "none", 2)...)
	pages[1].Rejects = []row.Reject{{Code: "INVALID_VALUE", Step: "decode", Reason: "no", Payload: "{}", Index: 5}}
	b.cut(o, slices.Concat(pages[:3], pages[4:])...)
	o.Table.Project = b.project
	reader := options(sink.ModeAppend, otherRun(u))
	reader.Step, reader.Table.Name, reader.MaxRejected = "reader", "copy", 0.5
	results := b.run(func(s beam.Scope) beam.PCollection {
		adopted, err := sink.Adopt(s, o)
		if err != nil {
			t.Fatal(err)
		}
		fetched := beam.CreateList(s, pages[3:4])
		whole := beam.Flatten(s, fetched, sink.Reread(s, adopted, o))
		moved := beam.ParDo(s, &moveFn{To: reader.Units[0].ID}, whole)
		reader.Table.Project = b.project
		out, err := sink.Write(s.Scope("reader"), sink.Input{Pages: moved}, reader)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
	wantState(t, results[0], sink.StateCompleted, "")
	if r := results[0]; r.Published != 7 || r.Counts.Rows != 8 || r.Counts.Rejected != 1 || r.Counts.Pages != 5 {
		t.Errorf("the reader got %+v, published %d", r.Counts, r.Published)
	}
	want := []string{"<nil> 2 {\"tokens\":12}"}
	for i := range 7 {
		switch i {
		case 2:
		case 3:
			want = append(want, "m03 3 <nil>")
		case 6:
			want = append(want, "m06 <nil> {\"tokens\":12}")
		default:
			want = append(want, fmt.Sprintf("m%02d %d {\"tokens\":12}", i, i))
		}
	}
	wantLines(t, b.lines("SELECT model, CAST(cost AS STRING), IF(raw IS NULL, NULL, TO_JSON_STRING(raw)) FROM `"+dataset+".copy` ORDER BY 1"), want...)
}

func TestARereadOfALostStageFailsItsReaders(t *testing.T) {
	b := newBench(t)
	u := dayUnit(1, 1)
	o := options(sink.ModeReplacePartition, u)
	o.Table.Project = b.project
	lost := sink.ChunkRef{Unit: u.ID, Partition: "a", ID: strings.Repeat("a", 32), Pages: 1, Last: true, Adopted: true}
	reader := options(sink.ModeAppend, u)
	reader.Table.Project, reader.Table.Name = b.project, "copy"
	results := b.run(func(s beam.Scope) beam.PCollection {
		pages := sink.Reread(s, beam.CreateList(s, []sink.ChunkRef{lost}), o)
		out, err := sink.Write(s, sink.Input{Pages: pages}, reader)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
	wantState(t, results[0], sink.StateFailed, sink.CodeStageMissing)
}

func TestAStageThatLostOrDoubledRowsIsNotPublished(t *testing.T) {
	for name, statement := range map[string]string{
		"one row lost":  "DELETE FROM %s WHERE _kind = 'row' AND model = 'm01'",
		"all rows lost": "DELETE FROM %s WHERE TRUE",
		"a row doubled": "INSERT INTO %[1]s SELECT * FROM %[1]s WHERE model = 'm01'",
	} {
		for mode, days := range map[string]int{sink.ModeAppend: 1, sink.ModeMerge: 1, sink.ModeOverwrite: 1, sink.ModeReplacePartition: 1, "transaction": 2} {
			t.Run(name+" "+mode, func(t *testing.T) {
				b := newBench(t)
				u := dayUnit(1, 1)
				u.End = date(1 + days)
				o := options(mode, u)
				if mode == "transaction" {
					o.WriteMode = sink.ModeReplacePartition
				}
				if mode == sink.ModeMerge {
					o.KeyFields = []string{"model"}
				}
				before := o
				before.Step, before.Units = "before", []row.Unit{otherRun(u)}
				wantState(t, b.write(before, partition(before.Units[0], "a", 9, usageRow(1, "kept", "1"))...), sink.StateCompleted, "")
				spoilt := false
				r := b.writeThrough(o, func(id string) {
					if !spoilt && strings.HasPrefix(id, "pub_"+u.ID) {
						spoilt = true
						b.lines(fmt.Sprintf(statement, "`"+dataset+"._stg_"+u.ID+"_1`"))
					}
				}, partition(u, "a", 2, usageRows(1, 3)...)...)
				wantState(t, r, sink.StateFailed, sink.CodeStageMissing)
				wantLines(t, b.usage(), "2025-11-01 kept 1")
			})
		}
	}
}
