package bigquery_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

func TestJustStreamedRowsRefuseDML(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	c := startWith(t, bigquery.Config{StreamingBuffer: 30 * time.Minute, Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03"))
	must(t, table.Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "streamed", "d": "2025-11-04"})))
	m, err := table.Metadata(t.Context())
	must(t, err)
	if m.StreamingBuffer == nil || m.StreamingBuffer.EstimatedRows != 1 || m.NumRows != 4 {
		t.Fatalf("%d rows, buffer %+v", m.NumRows, m.StreamingBuffer)
	}
	const others = "UPDATE or DELETE statement over table p-1.fin.costs would affect rows in the streaming buffer, which is not supported"
	for _, sql := range []string{
		"UPDATE fin.costs SET n = 1 WHERE d = '2025-11-04'",
		"DELETE FROM fin.costs WHERE TRUE",
		"MERGE fin.costs AS t USING (SELECT 'streamed' AS k) AS s ON t.k = s.k WHEN MATCHED THEN UPDATE SET n = 1",
		"UPDATE fin.costs AS t SET n = 1 FROM (SELECT 'streamed' AS k) AS s WHERE t.k = s.k",
		"BEGIN TRANSACTION; DELETE FROM fin.costs WHERE k = 'k0'; DELETE FROM fin.costs WHERE k = 'streamed'; COMMIT TRANSACTION",
		"MERGE fin.costs AS t USING (SELECT 'new' AS k) AS s ON t.k = s.k WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN INSERT (k) VALUES (k)",
	} {
		status, err := runScript(t.Context(), c, sql)
		wantJobError(t, outcome(status, err), "invalidQuery", others)
	}
	status, err := runScript(t.Context(), c, "TRUNCATE TABLE fin.costs")
	wantJobError(t, outcome(status, err), "invalidQuery", "TRUNCATE DML statement over table p-1.fin.costs would affect rows in the streaming buffer")
	if n := count(t, table); n != 4 {
		t.Fatalf("%d rows after refused statements", n)
	}
	rows(t, c, "UPDATE fin.costs SET n = 5 WHERE d = '2025-11-03'")
	rows(t, c, "INSERT INTO fin.costs (k) VALUES ('inserted')")
	rows(t, c, "DELETE FROM fin.costs WHERE k = 'inserted'")
	mu.Lock()
	now = now.Add(31 * time.Minute)
	mu.Unlock()
	for _, sql := range []string{"UPDATE fin.costs SET n = 1 WHERE d = '2025-11-04'", "DELETE FROM fin.costs WHERE d = '2025-11-04'"} {
		job, err := c.Query(sql).Run(t.Context())
		must(t, err)
		if got := job.LastStatus().Statistics.Details.(*bq.QueryStatistics).NumDMLAffectedRows; got != 1 {
			t.Errorf("%s: %d rows", sql, got)
		}
	}
	if m, err = table.Metadata(t.Context()); err != nil || m.StreamingBuffer != nil || m.NumRows != 3 {
		t.Fatalf("%v: %d rows, buffer %+v", err, m.NumRows, m.StreamingBuffer)
	}
}

func TestInsertAllIntoATableOfATemplate(t *testing.T) {
	c := start(t)
	template := createTable(t, c, "costs")
	inserter := template.Inserter()
	inserter.TableTemplateSuffix = "_2025"
	for range 2 {
		must(t, inserter.Put(t.Context(), batch(map[string]bq.Value{"k": "a"})))
	}
	m, err := c.Dataset("fin").Table("costs_2025").Metadata(t.Context())
	must(t, err)
	if m.NumRows != 2 || m.TimePartitioning == nil || m.TimePartitioning.Field != "d" || !m.Schema[1].Required || count(t, template) != 0 {
		t.Fatalf("got %+v", m)
	}
	inserter = c.Dataset("fin").Table("missing").Inserter()
	inserter.TableTemplateSuffix = "_2025"
	wantError(t, inserter.Put(t.Context(), batch(map[string]bq.Value{"k": "a"})), http.StatusNotFound, "notFound")
}
