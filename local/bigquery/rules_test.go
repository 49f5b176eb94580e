package bigquery_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

func TestPartitionsExpire(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2025, 11, 5, 13, 0, 0, 0, time.UTC)
	c := startWith(t, bigquery.Config{Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	table := createTable(t, c, "costs")
	must(t, c.Dataset("fin").Table("view").Create(t.Context(), &bq.TableMetadata{ViewQuery: "SELECT d FROM fin.costs"}))
	mustLoad(t, table, ndjson(3, "2025-11-03")+ndjson(2, "2025-11-04")+`{"k":"null"}`)
	rows(t, c, "ALTER TABLE fin.costs SET OPTIONS (partition_expiration_days = 3)")
	for _, want := range []int64{6, 3, 1} { // the 5th, 6th and 7th: a partition ends 3 days after it began
		if n := count(t, table); n != want {
			t.Fatalf("%d rows at %v, want %d", n, now, want)
		}
		if got := rows(t, c, "SELECT COUNT(*) FROM fin.view"); got[0][0] != want {
			t.Fatalf("a view shows %v rows, want %d", got, want)
		}
		mu.Lock()
		now = now.Add(24 * time.Hour)
		mu.Unlock()
	}
}

func TestRequiredPartitionFilter(t *testing.T) {
	c := start(t)
	schema := bq.Schema{{Name: "d", Type: bq.DateFieldType}, {Name: "k", Type: bq.StringFieldType}, {Name: "n", Type: bq.NumericFieldType}}
	must(t, c.Dataset("fin").Table("costs").Create(t.Context(), &bq.TableMetadata{
		Schema: schema, TimePartitioning: &bq.TimePartitioning{Field: "d"}, RequirePartitionFilter: true,
	}))
	must(t, c.Dataset("fin").Table("events").Create(t.Context(), &bq.TableMetadata{
		Schema: schema, TimePartitioning: &bq.TimePartitioning{}, RequirePartitionFilter: true,
	}))
	createTable(t, c, "free")
	must(t, c.Dataset("fin").Table("view").Create(t.Context(), &bq.TableMetadata{ViewQuery: "SELECT * FROM fin.costs"}))
	mustLoad(t, c.Dataset("fin").Table("costs"), ndjson(3, "2025-11-03"))
	days := []string{}
	for i := range 28 {
		days = append(days, fmt.Sprintf("'2025-11-%02d'", i+1))
	}
	for _, sql := range []string{
		"SELECT COUNT(*) FROM fin.costs WHERE d = '2025-11-03'",
		"SELECT COUNT(*) FROM fin.costs WHERE d BETWEEN '2025-11-03' AND '2025-11-04' AND k = 'k0'",
		"SELECT COUNT(*) FROM fin.costs WHERE d >= DATE_SUB(DATE '2025-11-04', INTERVAL 3 DAY)",
		"SELECT COUNT(*) FROM fin.costs WHERE d IN (" + strings.Join(days, ", ") + ")",
		"SELECT COUNT(*) FROM fin.costs WHERE d IS NOT NULL",
		"SELECT COUNT(*) FROM (SELECT * FROM fin.costs) WHERE d > '2020-01-01'",
		"SELECT COUNT(*) FROM fin.view WHERE d > '2020-01-01'",
		"SELECT COUNT(*) FROM fin.free",
		"SELECT COUNT(*) FROM fin.free AS f JOIN fin.costs AS c ON f.k = c.k WHERE c.d = '2025-11-03'",
		"SELECT COUNT(*) FROM fin.events WHERE _PARTITIONTIME > TIMESTAMP '2020-01-01'",
		"SELECT COUNT(*) FROM fin.events WHERE _PARTITIONDATE = '2020-01-01'",
		"INSERT INTO fin.costs (d, k) SELECT d, k FROM fin.free",
		"UPDATE fin.costs SET n = 1 WHERE d = '2025-11-03'",
		"DELETE FROM fin.costs WHERE d = '2025-11-03' AND k = 'k0'",
		"MERGE fin.costs AS t USING (SELECT 'a' AS k) AS s ON t.k = s.k AND t.d = '2025-11-03' WHEN NOT MATCHED THEN INSERT (k) VALUES (k) WHEN MATCHED THEN UPDATE SET n = 2",
	} {
		if _, err := c.Query(sql).Read(t.Context()); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for sql, column := range map[string]string{
		"SELECT COUNT(*) FROM fin.costs":                                           "'d'",
		"SELECT COUNT(*) FROM fin.costs WHERE k = 'd'":                             "'d'",
		"SELECT COUNT(*) FROM fin.view WHERE n > 1":                                "'d'",
		"SELECT COUNT(*) FROM fin.events WHERE d = '2025-11-03'":                   "'_PARTITIONTIME', '_PARTITIONDATE'",
		"SELECT * FROM fin.costs ORDER BY d LIMIT 1":                               "'d'",
		"UPDATE fin.costs SET n = 1 WHERE k = 'a'":                                 "'d'",
		"DELETE FROM fin.costs WHERE TRUE":                                         "'d'",
		"SELECT 1 FROM fin.free AS f JOIN fin.costs AS c ON f.k = c.k":             "'d'",
		"BEGIN TRANSACTION; DELETE FROM fin.costs WHERE n = 1; COMMIT TRANSACTION": "'d'",
	} {
		status, err := runScript(t.Context(), c, sql)
		wantJobError(t, outcome(status, err), "invalidQuery", "without a filter over column(s) "+column+" that can be used for partition elimination")
	}
	q := c.Query("SELECT k FROM fin.costs")
	q.DryRun = true
	_, err := q.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Cannot query over table 'p-1.fin.costs' without a filter over column(s) 'd'") {
		t.Errorf("dry run: %v", err)
	}
}
