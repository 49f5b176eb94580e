package bigquery_test

import (
	"fmt"
	"testing"

	bq "cloud.google.com/go/bigquery"
)

func TestInformationSchemaCountsPartitions(t *testing.T) {
	c := start(t)
	costs := createTable(t, c, "costs")
	mustLoad(t, costs, ndjson(3, "2025-11-03")+ndjson(2, "2025-11-04")+`{"k":"null"}`)
	must(t, c.Dataset("fin").Table("ranges").Create(t.Context(), &bq.TableMetadata{
		Schema:            bq.Schema{{Name: "x", Type: bq.IntegerFieldType}},
		RangePartitioning: &bq.RangePartitioning{Field: "x", Range: &bq.RangePartitioningRange{Start: 0, End: 100, Interval: 10}},
	}))
	mustLoad(t, c.Dataset("fin").Table("ranges"), "{\"x\":15}\n{\"x\":19}\n{\"x\":200}\n{}")
	must(t, c.Dataset("fin").Table("plain").Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{{Name: "x", Type: bq.IntegerFieldType}}}))
	mustLoad(t, c.Dataset("fin").Table("plain"), `{"x":1}`)
	got := rows(t, c, "SELECT table_name, partition_id, total_rows FROM fin.INFORMATION_SCHEMA.PARTITIONS ORDER BY 1, 2")
	want := "[[costs 20251103 3] [costs 20251104 2] [costs __NULL__ 1] [plain <nil> 1] [ranges 10 2] [ranges __NULL__ 1] [ranges __UNPARTITIONED__ 1]]"
	if fmt.Sprint(got) != want {
		t.Fatalf("got  %v\nwant %s", got, want)
	}
}

func TestInformationSchemaListsJobs(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03"), func(l *bq.Loader) { l.JobID = "load_1"; l.Labels = map[string]string{"run": "r1", "step": "s"} })
	q := c.Query("SELECT nonsense")
	q.JobID = "bad"
	_, err := q.Run(t.Context())
	must(t, err)
	got := rows(t, c, "SELECT job_id, job_type, state, error_result.reason, destination_table.table_id, "+
		"(SELECT STRING_AGG(CONCAT(key, '=', value) ORDER BY key) FROM UNNEST(labels)), end_time >= creation_time "+
		"FROM `region-us`.INFORMATION_SCHEMA.JOBS WHERE job_id IN ('load_1', 'bad') ORDER BY creation_time")
	want := "[[load_1 LOAD DONE <nil> costs run=r1,step=s true] [bad QUERY DONE invalidQuery <nil> <nil> true]]"
	if fmt.Sprint(got) != want {
		t.Fatalf("got  %v\nwant %s", got, want)
	}
	if got := rows(t, c, "SELECT COUNT(*) FROM `region-eu`.INFORMATION_SCHEMA.JOBS_BY_PROJECT"); got[0][0] != int64(0) {
		t.Fatalf("got %v jobs in another region", got)
	}
	if got := rows(t, c, "SELECT COUNT(*) > 2 FROM INFORMATION_SCHEMA.JOBS_BY_USER"); got[0][0] != true {
		t.Fatalf("got %v", got)
	}
}
