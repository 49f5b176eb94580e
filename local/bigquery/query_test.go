package bigquery_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/local/bigquery"
)

func TestQueryAnswersEveryType(t *testing.T) {
	c := start(t)
	got := rows(t, c, `SELECT 1, 1.5, TRUE, 'x', b'\x01\xff', NUMERIC '0.25', DATE '2016-03-20', DATETIME '2016-03-20 15:04:05.5', TIME '15:04:05',
TIMESTAMP '2016-03-20 15:04:05.000006+00', [1, 2], STRUCT(1 AS x, ['a'] AS y), CAST(NULL AS INT64), CAST(NULL AS ARRAY<INT64>), JSON '{"b": 1, "a": [1, null]}'`)
	text := fmt.Sprint(got[0])
	want := "[1 1.5 true x [1 255] 1/4 2016-03-20 2016-03-20T15:04:05.500000000 15:04:05 2016-03-20 15:04:05.000006 +0000 UTC [1 2] [1 [a]] <nil> [] "
	if !strings.HasPrefix(text, want) {
		t.Fatalf("got  %s\nwant %s", text, want)
	}
}

func TestColumnsWithoutNamesAreNumbered(t *testing.T) {
	c := start(t)
	it, err := c.Query("SELECT 1, 2 AS b, 3").Read(t.Context())
	must(t, err)
	var row []bq.Value
	must(t, it.Next(&row))
	if it.Schema[0].Name != "f0_" || it.Schema[1].Name != "b" || it.Schema[2].Name != "f1_" {
		t.Fatalf("got %v %v %v", it.Schema[0].Name, it.Schema[1].Name, it.Schema[2].Name)
	}
}

func TestResultsAreServedInPages(t *testing.T) {
	c := start(t)
	job, err := c.Query("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS x ORDER BY x").Run(t.Context())
	must(t, err)
	it, err := job.Read(t.Context())
	must(t, err)
	it.PageInfo().MaxSize = 700
	got := readAll(t, it)
	if len(got) != 2500 || it.TotalRows != 2500 {
		t.Fatalf("got %d of %d rows", len(got), it.TotalRows)
	}
	for i, row := range got {
		if row[0] != int64(i+1) {
			t.Fatalf("row %d is %v", i, row)
		}
	}
	if rest := readFrom(t, job, 2495); len(rest) != 5 || rest[0][0] != int64(2496) {
		t.Fatalf("from a start index: got %v", rest)
	}
}

func readFrom(t *testing.T, job *bq.Job, start uint64) [][]bq.Value {
	t.Helper()
	it, err := job.Read(t.Context())
	must(t, err)
	it.StartIndex = start
	return readAll(t, it)
}

func TestEmptyResultHasItsSchema(t *testing.T) {
	c := start(t)
	it, err := c.Query("SELECT 1 AS a FROM UNNEST([1]) WHERE FALSE").Read(t.Context())
	must(t, err)
	var row []bq.Value
	if err := it.Next(&row); !errors.Is(err, iterator.Done) {
		t.Fatalf("got %v", err)
	}
	if len(it.Schema) != 1 || it.Schema[0].Name != "a" {
		t.Fatalf("got schema %v", it.Schema)
	}
}

func TestQueryParameters(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	day := civil.Date{Year: 2025, Month: 11, Day: 3}
	type pair struct {
		A string
		B int64
	}
	got := rows(t, c, "SELECT @s, @i, @d, @n, @arr, @empty, @st.B, @null, @b, @ts = TIMESTAMP '2025-11-03 00:00:00+00'",
		bq.QueryParameter{Name: "s", Value: "it's $1 \"quoted\""}, bq.QueryParameter{Name: "i", Value: 7}, bq.QueryParameter{Name: "d", Value: day},
		bq.QueryParameter{Name: "n", Value: big.NewRat(1, 8)}, bq.QueryParameter{Name: "arr", Value: []string{"a", "b"}},
		bq.QueryParameter{Name: "empty", Value: []int64{}}, bq.QueryParameter{Name: "st", Value: pair{"x", 9}},
		bq.QueryParameter{Name: "null", Value: bq.NullInt64{}}, bq.QueryParameter{Name: "b", Value: []byte{0, 255}},
		bq.QueryParameter{Name: "ts", Value: day.In(time.UTC)})
	want := "[it's $1 \"quoted\" 7 2025-11-03 1/8 [a b] [] 9 <nil> [0 255] true]"
	if fmt.Sprint(got[0]) != want {
		t.Fatalf("got  %v\nwant %s", got[0], want)
	}
	got = rows(t, c, "SELECT ? + ?", bq.QueryParameter{Value: 1}, bq.QueryParameter{Value: 2})
	if got[0][0] != int64(3) {
		t.Fatalf("positional: got %v", got)
	}
}

func TestDMLCountsItsRows(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	for _, tc := range []struct {
		sql, kind                  string
		inserted, updated, deleted int64
	}{
		{"INSERT INTO fin.costs (d, k, n) VALUES ('2025-11-03', 'a', 1), ('2025-11-03', 'b', 2), ('2025-11-04', 'c', 3)", "INSERT", 3, 0, 0},
		{"UPDATE fin.costs SET n = n + 1 WHERE k IN ('a', 'b')", "UPDATE", 0, 2, 0},
		{"MERGE fin.costs t USING (SELECT 'a' AS k UNION ALL SELECT 'z') s ON t.k = s.k WHEN MATCHED THEN UPDATE SET n = 10 WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k) WHEN NOT MATCHED BY SOURCE AND t.k = 'b' THEN DELETE", "MERGE", 1, 1, 1},
		{"DELETE FROM fin.costs WHERE k = 'c'", "DELETE", 0, 0, 1},
		{"TRUNCATE TABLE fin.costs", "TRUNCATE_TABLE", 0, 0, 2},
	} {
		status, err := runScript(t.Context(), c, tc.sql)
		must(t, err)
		must(t, status.Err())
		stats := status.Statistics.Details.(*bq.QueryStatistics)
		dml := stats.DMLStats
		if dml == nil || stats.StatementType != tc.kind || dml.InsertedRowCount != tc.inserted || dml.UpdatedRowCount != tc.updated || dml.DeletedRowCount != tc.deleted ||
			stats.NumDMLAffectedRows != tc.inserted+tc.updated+tc.deleted {
			t.Errorf("%s: got %s %+v %d", tc.sql, stats.StatementType, dml, stats.NumDMLAffectedRows)
		}
	}
	if n := count(t, table); n != 0 {
		t.Fatalf("%d rows", n)
	}
	it, err := c.Query("INSERT INTO fin.costs (k) VALUES ('x')").Read(t.Context())
	must(t, err)
	if got := readAll(t, it); len(got) != 0 {
		t.Fatalf("a DML statement answered rows: %v", got)
	}
}

func TestRequiredColumnRefusesNull(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	_, err := c.Query("INSERT INTO fin.costs (n) VALUES (1)").Read(t.Context())
	if e := readError(t, err, http.StatusBadRequest, "invalidQuery"); !strings.Contains(e.Message, "Required field k cannot be null") {
		t.Fatalf("got %q", e.Message)
	}
}

func TestErrorsOfSQL(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	for _, tc := range []struct {
		sql, reason, message string
		status               int
	}{
		{"SELEC 1", "invalidQuery", `Syntax error: Unexpected identifier "SELEC" at [1:1]`, 400},
		{"SELECT x FROM fin.costs", "invalidQuery", "Unrecognized name: x at [1:8]", 400},
		{"SELECT 1;\nSELECT nope", "invalidQuery", "Unrecognized name: nope at [2:8]", 400},
		{"SELECT * FROM fin.nope", "notFound", "Not found: Table p-1:fin.nope was not found in location US", 404},
		{"SELECT * FROM nope.t", "notFound", "Not found: ", 404},
		{"SELECT 1/0", "invalidQuery", "division by zero", 400},
		{"SELECT CAST('x' AS INT64)", "invalidQuery", "", 400},
		{"DECLARE x INT64; SELECT x", "notImplemented", "", 400},
	} {
		_, err := c.Query(tc.sql).Read(t.Context())
		e := apiError(err)
		if e == nil || e.Code != tc.status || e.Errors[0].Reason != tc.reason || !strings.Contains(e.Message, tc.message) {
			t.Errorf("%s: got %v, want %d %s %q", tc.sql, err, tc.status, tc.reason, tc.message)
		}
	}
	job, err := c.Query("SELECT x FROM fin.costs").Run(t.Context())
	if err == nil {
		var status *bq.JobStatus
		status, err = job.Wait(t.Context())
		wantJobError(t, outcome(status, err), "invalidQuery", "Unrecognized name: x at [1:8]")
		failed, err := c.JobFromIDLocation(t.Context(), job.ID(), "US")
		must(t, err)
		wantJobError(t, outcome(failed.LastStatus(), nil), "invalidQuery", "Unrecognized name: x at [1:8]")
		return
	}
	t.Fatalf("jobs.insert refused a bad query instead of making a failed job: %v", err)
}

func TestDestinationTable(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03")+ndjson(4, "2025-11-04"))
	into := func(id, sql string, set func(*bq.QueryConfig)) (*bq.JobStatus, error) {
		q := c.Query(sql)
		q.Dst = c.Dataset("fin").Table(id)
		if set != nil {
			set(&q.QueryConfig)
		}
		job, err := q.Run(t.Context())
		if err != nil {
			return nil, err
		}
		return job.Wait(t.Context())
	}
	status, err := into("copy", "SELECT * FROM fin.costs", nil)
	must(t, err)
	must(t, status.Err())
	status, err = into("copy", "SELECT * FROM fin.costs", nil)
	wantJobError(t, outcome(status, err), "duplicate", "Already Exists: Table p-1:fin.copy")
	status, err = into("copy", "SELECT * FROM fin.costs", func(q *bq.QueryConfig) { q.WriteDisposition = bq.WriteAppend })
	must(t, err)
	must(t, status.Err())
	if n := count(t, c.Dataset("fin").Table("copy")); n != 14 {
		t.Fatalf("%d rows after append", n)
	}
	status, err = into("copy", "SELECT 1 AS other", func(q *bq.QueryConfig) { q.WriteDisposition = bq.WriteTruncate })
	must(t, err)
	must(t, status.Err())
	if got := rows(t, c, "SELECT other FROM fin.copy"); fmt.Sprint(got) != "[[1]]" {
		t.Fatalf("after truncate: %v", got)
	}
	status, err = into("costs$20251103", "SELECT DATE '2025-11-03' AS d, 'new' AS k, NUMERIC '1' AS n", func(q *bq.QueryConfig) { q.WriteDisposition = bq.WriteTruncate })
	must(t, err)
	must(t, status.Err())
	if n := count(t, table); n != 5 {
		t.Fatalf("%d rows after truncating a partition, want 1 + 4", n)
	}
	status, err = into("costs$20251103", "SELECT DATE '2025-11-05' AS d, 'new' AS k, NUMERIC '1' AS n", func(q *bq.QueryConfig) { q.WriteDisposition = bq.WriteTruncate })
	wantJobError(t, outcome(status, err), "invalidQuery", "Some rows belong to different partitions")
	if n := count(t, table); n != 5 {
		t.Fatalf("%d rows after a failed query, want 5", n)
	}
}

func TestTruncateDataKeepsTheSchema(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03"))
	q := c.Query("SELECT DATE '2025-11-05' AS d, 'only' AS k, NUMERIC '1' AS n")
	q.Dst, q.WriteDisposition = table, "WRITE_TRUNCATE_DATA"
	it, err := q.Read(t.Context())
	must(t, err)
	if got := readAll(t, it); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	m, err := table.Metadata(t.Context())
	must(t, err)
	if !m.Schema[1].Required || m.TimePartitioning == nil || m.NumRows != 1 {
		t.Fatalf("got %+v", m)
	}
}

func TestDryRunEstimatesAndRunsNothing(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03"))
	q := c.Query("SELECT k FROM fin.costs")
	q.DryRun = true
	job, err := q.Run(t.Context())
	must(t, err)
	stats := job.LastStatus().Statistics
	if stats.TotalBytesProcessed <= 0 || len(stats.Details.(*bq.QueryStatistics).Schema) != 1 {
		t.Fatalf("got %+v", stats)
	}
	q = c.Query("SELECT k FROM fin.costs")
	q.MaxBytesBilled = 1
	_, err = q.Read(t.Context())
	wantError(t, err, http.StatusBadRequest, "bytesBilledLimitExceeded")
	q = c.Query("DELETE FROM fin.costs WHERE TRUE")
	q.DryRun = true
	_, err = q.Run(t.Context())
	must(t, err)
	if n := count(t, table); n != 3 {
		t.Fatalf("a dry run deleted rows: %d left", n)
	}
}

func TestRequestIDRunsOnce(t *testing.T) {
	url := bigquery.RunT(t)
	c := newClient(t, url)
	must(t, c.Dataset("fin").Create(t.Context(), nil))
	table := createTable(t, c, "costs")
	body := `{"query":"INSERT INTO fin.costs (k) VALUES ('a')","useLegacySql":false,"requestId":"r-1"}`
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			response, err := http.Post(url+"/bigquery/v2/projects/p-1/queries", "application/json", bytes.NewReader([]byte(body)))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			var out struct{ NumDmlAffectedRows string }
			if err := json.NewDecoder(response.Body).Decode(&out); err != nil || out.NumDmlAffectedRows != "1" {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
	group.Wait()
	if n := count(t, table); n != 1 {
		t.Fatalf("%d rows, want 1", n)
	}
}

func TestTimestampsAreFloatsUnlessAskedOtherwise(t *testing.T) {
	url := bigquery.RunT(t)
	ask := func(body string) string {
		response, err := http.Post(url+"/bigquery/v2/projects/p-1/queries", "application/json", strings.NewReader(body))
		must(t, err)
		defer response.Body.Close()
		var out struct{ Rows json.RawMessage }
		must(t, json.NewDecoder(response.Body).Decode(&out))
		return string(out.Rows)
	}
	const sql = `"query":"SELECT TIMESTAMP '2024-01-02 03:04:05.123456+00', [TIMESTAMP '1970-01-01 00:00:00+00']","useLegacySql":false`
	if got := ask(`{` + sql + `}`); got != `[{"f":[{"v":"1.704164645123456E9"},{"v":[{"v":"0.0"}]}]}]` {
		t.Errorf("got %s", got)
	}
	if got := ask(`{` + sql + `,"formatOptions":{"useInt64Timestamp":true}}`); got != `[{"f":[{"v":"1704164645123456"},{"v":[{"v":"0"}]}]}]` {
		t.Errorf("got %s", got)
	}
}
