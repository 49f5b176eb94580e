package sink_test

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// fenced reports which of the publish ids of a unit's generation are fences.
func (b *bench) fenced(u row.Unit) []string {
	b.t.Helper()
	var out []string
	for _, ordinal := range []string{"0", "1"} {
		id := "pub_" + u.ID + "_" + string(rune('0'+u.Generation)) + "_" + ordinal
		job, err := b.client.JobFromIDLocation(b.t.Context(), id, "US")
		if err != nil {
			continue
		}
		config, err := job.Config()
		if err != nil {
			b.t.Fatal(err)
		}
		if _, ok := configLabels(config)["fence"]; ok {
			out = append(out, ordinal)
		}
	}
	return out
}

func TestPlainAppendIsStatedOnce(t *testing.T) {
	b := newBench(t)
	first, again := dayUnit(1, 1), dayUnit(1, 2)
	wantLanding(t, b.write(options(sink.ModeAppend, first), partition(first, "a", 1, usageRows(1, 3)...)...), sink.Landing{Inserted: 3})
	o := options(sink.ModeAppend, again, dayUnit(2, 1))
	o.RunID = "run-2"
	check := func(r sink.StepResult) {
		t.Helper()
		wantState(t, r, sink.StateCompleted, sink.CodeAlreadyLanded)
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "slice 2025-11-01 to 2025-11-02 (exclusive) already landed by run run-1") {
			t.Errorf("warnings are %q", r.Warnings)
		}
		if n := len(b.usage()); n != 4 || r.Published != 1 {
			t.Errorf("the table holds %d rows, %d were published", n, r.Published)
		}
	}
	fresh := partition(dayUnit(2, 1), "a", 1, usageRow(2, "x", "1"))
	r, starts := b.resume(o, fresh...)
	check(r)
	if len(starts) != 1 || starts[0].Unit != again.ID || starts[0].Partition != "" || !starts[0].Last {
		t.Errorf("what is not to be fetched is %+v", starts)
	}
	// A publisher that has pages of the unit in hand all the same adds none of them.
	r = b.write(o, append(partition(again, "a", 1, usageRows(1, 2)...), fresh...)...)
	check(r)
	if r.Existing != 2 {
		t.Errorf("landing is %+v", r.Landing)
	}
}

func TestPlainAppendOfAnotherRunDoesNotNeedTheStage(t *testing.T) {
	b := newBench(t)
	u, next := dayUnit(1, 1), dayUnit(2, 1)
	o := options(sink.ModeAppend, u)
	wantLanding(t, b.write(o, partition(u, "a", 1, usageRows(1, 3)...)...), sink.Landing{Inserted: 3})
	// An attempt of the same run attaches to what it has published.
	r, _ := b.resume(o)
	wantLanding(t, r, sink.Landing{Inserted: 3})
	if err := sink.DropStages(t.Context(), b.client, dataset, []row.Unit{u}); err != nil {
		t.Fatal(err)
	}
	o = options(sink.ModeAppend, u, next)
	o.RunID = "run-2"
	r, starts := b.resume(o, partition(next, "a", 1, usageRow(2, "x", "1"))...)
	wantState(t, r, sink.StateCompleted, sink.CodeAlreadyLanded)
	if len(starts) != 1 || starts[0].Unit != u.ID || starts[0].Partition != "" || !starts[0].Last {
		t.Errorf("what is not to be fetched is %+v", starts)
	}
	if n := len(b.usage()); n != 4 || r.Published != 1 {
		t.Errorf("the table holds %d rows, %d were published", n, r.Published)
	}
}

func TestAnEarlierGenerationCannotCommitAnyMore(t *testing.T) {
	for _, mode := range []string{sink.ModeAppend, sink.ModeReplacePartition} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t)
			old, older, u := dayUnit(1, 2), dayUnit(1, 1), dayUnit(1, 3)
			wantState(t, b.write(options(mode, u), partition(u, "a", 1, usageRow(1, "new", "1"))...), sink.StateCompleted, "")
			wantLines(t, append(b.fenced(old), b.fenced(older)...), "0", "0")
			for _, late := range []row.Unit{old, older} {
				r := b.write(options(mode, late), partition(late, "a", 1, usageRow(1, "late", "1"))...)
				wantState(t, r, sink.StateFailed, sink.CodeSuperseded)
			}
			wantLines(t, b.usage(), "2025-11-01 new 1")
		})
	}
}

func TestAFenceFollowsFailedPublishes(t *testing.T) {
	b := newBench(t)
	old, u := dayUnit(1, 1), dayUnit(1, 2)
	q := b.client.Query("SELECT nonsense")
	q.JobID, q.Location = "pub_"+old.ID+"_1_0", "US"
	if job, err := q.Run(t.Context()); err == nil {
		_, _ = job.Wait(t.Context())
	}
	wantLanding(t, b.write(options(sink.ModeAppend, u), partition(u, "a", 1, usageRow(1, "x", "1"))...), sink.Landing{Inserted: 1})
	wantLines(t, b.fenced(old), "1")
}
