package bigquery_test

import (
	"fmt"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

// copyInto runs a copy job of tables of dataset fin.
func copyInto(t testing.TB, c *bq.Client, to string, write bq.TableWriteDisposition, from ...string) (*bq.JobStatus, error) {
	t.Helper()
	var sources []*bq.Table
	for _, name := range from {
		sources = append(sources, c.Dataset("fin").Table(name))
	}
	copier := c.Dataset("fin").Table(to).CopierFrom(sources...)
	copier.WriteDisposition = write
	job, err := copier.Run(t.Context())
	if err != nil {
		return nil, err
	}
	return job.Wait(t.Context())
}

func TestCopyJobsWriteAsTheirDispositionSays(t *testing.T) {
	c := start(t)
	for i, name := range []string{"a", "b"} {
		mustLoad(t, createTable(t, c, name), ndjson(i+2, "2025-11-03"))
	}
	to := c.Dataset("fin").Table("to")
	steps := []struct {
		write bq.TableWriteDisposition
		from  []string
		want  int64
	}{
		{bq.WriteEmpty, []string{"a", "b"}, 5},
		{bq.WriteAppend, []string{"a"}, 7},
		{bq.WriteAppend, []string{"to"}, 14},
		{bq.WriteTruncate, []string{"b"}, 3},
		{bq.WriteTruncateData, []string{"a", "a"}, 4},
		{"WRITE_APPEND", []string{"a$20251103"}, 6},
		{"WRITE_APPEND", []string{"a$20251104"}, 6},
	}
	before := int64(0)
	for _, step := range steps {
		status, err := copyInto(t, c, "to", step.write, step.from...)
		must(t, outcome(status, err))
		if n := count(t, to); n != step.want {
			t.Fatalf("%s of %v: %d rows, want %d (before %d)", step.write, step.from, n, step.want, before)
		}
		before = step.want
	}
	m, err := to.Metadata(t.Context())
	must(t, err)
	if m.TimePartitioning == nil || m.TimePartitioning.Field != "d" || !m.Schema[1].Required {
		t.Fatalf("got %+v", m)
	}
}

func TestCopyJobsRefuse(t *testing.T) {
	c := start(t)
	mustLoad(t, createTable(t, c, "a"), ndjson(2, "2025-11-03"))
	mustLoad(t, createTable(t, c, "full"), ndjson(2, "2025-11-03"))
	must(t, c.Dataset("fin").Table("other").Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{{Name: "x", Type: bq.IntegerFieldType}}}))
	must(t, c.Dataset("fin").Table("view").Create(t.Context(), &bq.TableMetadata{ViewQuery: "SELECT k FROM fin.a"}))
	for name, tc := range map[string]struct {
		to           string
		write        bq.TableWriteDisposition
		from         []string
		reason, part string
	}{
		"full table by default": {"full", "", []string{"a"}, "duplicate", "Already Exists: Table p-1:fin.full"},
		"missing source":        {"to", "", []string{"a", "none"}, "notFound", "Not found: Table p-1:fin.none"},
		"view":                  {"to", "", []string{"view"}, "invalid", "is not allowed for this operation because of its type"},
		"different schemas":     {"to", "", []string{"a", "other"}, "invalid", "different schemas"},
		"append of another":     {"full", bq.WriteAppend, []string{"other"}, "invalid", "Provided Schema does not match Table p-1:fin.full"},
		"over itself":           {"full", bq.WriteTruncate, []string{"full"}, "notImplemented", "over itself"},
		"other partition":       {"full$20251104", bq.WriteTruncate, []string{"a"}, "invalidQuery", "different partitions"},
	} {
		t.Run(name, func(t *testing.T) {
			status, err := copyInto(t, c, tc.to, tc.write, tc.from...)
			wantJobError(t, outcome(status, err), tc.reason, tc.part)
		})
	}
	if n := count(t, c.Dataset("fin").Table("full")); n != 2 {
		t.Fatalf("%d rows after refused copies", n)
	}
}

func TestCopyIntoAPartitionReplacesOnlyIt(t *testing.T) {
	c := start(t)
	mustLoad(t, createTable(t, c, "a"), ndjson(3, "2025-11-04"))
	to := createTable(t, c, "to")
	mustLoad(t, to, ndjson(2, "2025-11-03"))
	mustLoad(t, to, ndjson(5, "2025-11-04"))
	status, err := copyInto(t, c, "to$20251104", bq.WriteTruncate, "a")
	must(t, outcome(status, err))
	got := rows(t, c, "SELECT d, COUNT(*) FROM fin.to GROUP BY d ORDER BY d")
	if want := "[[2025-11-03 2] [2025-11-04 3]]"; fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}

func TestTruncateDataKeepsTheTable(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	_, err := table.Update(t.Context(), bq.TableMetadataToUpdate{Description: "kept"}, "")
	must(t, err)
	mustLoad(t, table, ndjson(3, "2025-11-03"))
	mustLoad(t, table, ndjson(2, "2025-11-04"), func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncateData })
	if n := count(t, table); n != 2 {
		t.Fatalf("%d rows after a load", n)
	}
	q := c.Query("SELECT 'x' AS k UNION ALL SELECT 'y' UNION ALL SELECT 'z'")
	q.Dst, q.WriteDisposition = table, bq.WriteTruncateData
	job, err := q.Run(t.Context())
	must(t, err)
	status, err := job.Wait(t.Context())
	must(t, outcome(status, err))
	q = c.Query("SELECT DATE '2025-11-05' AS d, 'w' AS k")
	q.Dst, q.WriteDisposition = c.Dataset("fin").Table("costs$20251105"), bq.WriteTruncateData
	for range 2 {
		job, err = q.Run(t.Context())
		must(t, err)
		status, err = job.Wait(t.Context())
		must(t, outcome(status, err))
	}
	m, err := table.Metadata(t.Context())
	must(t, err)
	if m.NumRows != 4 || len(m.Schema) != 3 || !m.Schema[1].Required || m.Description != "kept" || m.TimePartitioning == nil {
		t.Fatalf("got %d rows of %+v", m.NumRows, m.Schema)
	}
}

func TestStreamedRowsAreNotCopied(t *testing.T) {
	c := startWith(t, bigquery.Config{StreamingBuffer: time.Hour})
	table := createTable(t, c, "a")
	mustLoad(t, table, ndjson(2, "2025-11-03"))
	must(t, table.Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "streamed"})))
	status, err := copyInto(t, c, "to", "", "a")
	must(t, outcome(status, err))
	if n := count(t, c.Dataset("fin").Table("to")); n != 2 {
		t.Fatalf("%d rows", n)
	}
}
