package bigquery_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
)

func TestScriptTransactionIsAllOrNothing(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03"))
	status, err := runScript(t.Context(), c, "BEGIN TRANSACTION; DELETE FROM fin.costs WHERE TRUE; INSERT INTO fin.costs (n) VALUES (1); COMMIT TRANSACTION;")
	wantJobError(t, outcome(status, err), "invalidQuery", "Required field k cannot be null")
	if n := count(t, table); n != 3 {
		t.Fatalf("%d rows after a failed transaction", n)
	}
	job, err := c.Query("BEGIN TRANSACTION; DELETE FROM fin.costs WHERE k = 'k0'; INSERT INTO fin.costs (k) VALUES ('x'), ('y'); COMMIT TRANSACTION;").Run(t.Context())
	must(t, err)
	status, err = job.Wait(t.Context())
	must(t, err)
	must(t, status.Err())
	if status.Statistics.NumChildJobs != 2 {
		t.Fatalf("got %d children", status.Statistics.NumChildJobs)
	}
	got := map[string]int64{}
	children := job.Children(t.Context())
	for {
		child, err := children.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		must(t, err)
		details := child.LastStatus().Statistics.Details.(*bq.QueryStatistics)
		got[details.StatementType] = details.NumDMLAffectedRows
	}
	if got["DELETE"] != 1 || got["INSERT"] != 2 || len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	status, err = runScript(t.Context(), c, "BEGIN TRANSACTION; DELETE FROM fin.costs WHERE TRUE; ROLLBACK TRANSACTION; SELECT 1;")
	must(t, err)
	must(t, status.Err())
	status, err = runScript(t.Context(), c, "BEGIN TRANSACTION; DELETE FROM fin.costs WHERE TRUE;")
	must(t, err)
	must(t, status.Err())
	if n := count(t, table); n != 4 {
		t.Fatalf("%d rows: a transaction without COMMIT must not take effect", n)
	}
}

func TestStatementsBeforeAFailureStay(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	status, err := runScript(t.Context(), c, "INSERT INTO fin.costs (k) VALUES ('a'); INSERT INTO fin.costs (n) VALUES (1); INSERT INTO fin.costs (k) VALUES ('c');")
	wantJobError(t, outcome(status, err), "invalidQuery", "Required field k")
	if n := count(t, table); n != 1 {
		t.Fatalf("%d rows, want the one before the failure", n)
	}
}

func TestConcurrentUpdatesQueue(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	rows(t, c, "INSERT INTO fin.costs (k, n) VALUES ('total', 0)")
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			if _, err := c.Query("UPDATE fin.costs SET n = n + 1 WHERE k = 'total'").Read(t.Context()); err != nil {
				t.Errorf("update: %v", err)
			}
		})
	}
	group.Wait()
	got := rows(t, c, "SELECT CAST(n AS INT64) FROM fin.costs")
	if got[0][0] != int64(12) {
		t.Fatalf("got %v", got)
	}
}

func TestInsertsNeverConflict(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			for range 5 {
				if _, err := c.Query("INSERT INTO fin.costs (k) VALUES ('q')").Read(t.Context()); err != nil {
					t.Errorf("insert: %v", err)
				}
				if _, err := load(t, table, ndjson(2, "2025-11-03")); err != nil {
					t.Errorf("load: %v", err)
				}
				if err := table.Inserter().Put(t.Context(), []bq.ValueSaver{streamed{row: map[string]bq.Value{"k": fmt.Sprint(i)}}}); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	group.Wait()
	if n := count(t, table); n != 6*5*4 {
		t.Fatalf("%d rows, want %d", n, 6*5*4)
	}
}

func TestDDLOfTablesAndViews(t *testing.T) {
	c := start(t)
	for _, sql := range []string{
		"CREATE TABLE fin.a (d DATE NOT NULL, k STRING, r ARRAY<STRUCT<x INT64>>) PARTITION BY DATE_TRUNC(d, MONTH) CLUSTER BY k OPTIONS(description='about', labels=[('team', 'x')])",
		"INSERT INTO fin.a VALUES ('2025-11-03', 'k', [STRUCT(1 AS x)])",
		"CREATE OR REPLACE TABLE fin.a PARTITION BY d AS SELECT d, k, 2 AS n FROM fin.a",
		"CREATE VIEW fin.v AS SELECT k, n * 2 AS twice FROM fin.a",
		"CREATE TABLE IF NOT EXISTS fin.a (x INT64)",
		"DROP TABLE IF EXISTS fin.nope",
	} {
		status, err := runScript(t.Context(), c, sql)
		must(t, err)
		if status.Err() != nil {
			t.Fatalf("%s: %v", sql, status.Err())
		}
	}
	if got := rows(t, c, "SELECT * FROM fin.v"); fmt.Sprint(got) != "[[k 4]]" {
		t.Fatalf("got %v", got)
	}
	m, err := c.Dataset("fin").Table("a").Metadata(t.Context())
	must(t, err)
	if m.TimePartitioning == nil || m.TimePartitioning.Field != "d" || m.TimePartitioning.Type != bq.DayPartitioningType || len(m.Schema) != 3 {
		t.Fatalf("got %+v", m)
	}
	_, err = c.Query("CREATE TABLE fin.a (x INT64)").Read(t.Context())
	wantError(t, err, http.StatusConflict, "duplicate")
	rows(t, c, "DROP VIEW fin.v")
	_, err = c.Dataset("fin").Table("v").Metadata(t.Context())
	wantError(t, err, http.StatusNotFound, "notFound")
}

func TestInformationSchema(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	if got := rows(t, c, "SELECT table_name, table_type FROM fin.INFORMATION_SCHEMA.TABLES"); fmt.Sprint(got) != "[[costs BASE TABLE]]" {
		t.Fatalf("got %v", got)
	}
	got := rows(t, c, "SELECT column_name, data_type, is_nullable, is_partitioning_column FROM fin.INFORMATION_SCHEMA.COLUMNS ORDER BY ordinal_position")
	if fmt.Sprint(got) != "[[d DATE YES YES] [k STRING NO NO] [n NUMERIC YES NO]]" {
		t.Fatalf("got %v", got)
	}
	q := c.Query("SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA")
	q.DefaultDatasetID = "fin"
	it, err := q.Read(t.Context())
	must(t, err)
	if got := readAll(t, it); fmt.Sprint(got) != "[[fin]]" {
		t.Fatalf("got %v", got)
	}
}
