package bigquery_test

import (
	"fmt"
	"testing"

	bq "cloud.google.com/go/bigquery"
)

// A MERGE does what its first fitting clause says, and counts it by action.
func TestMergeClauses(t *testing.T) {
	const source = "(SELECT DATE '2025-11-03' AS d, 'a' AS k, NUMERIC '10' AS n UNION ALL SELECT DATE '2025-11-03', 'b', NULL UNION ALL SELECT DATE '2025-11-04', 'z', NUMERIC '5')"
	for name, tc := range map[string]struct {
		clauses                    string
		inserted, updated, deleted int64
		want                       string
	}{
		"insert row":            {"ON t.k = s.k WHEN NOT MATCHED THEN INSERT ROW", 1, 0, 0, "a=1 b=2 c=3 z=5"},
		"on false replaces all": {"ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED BY TARGET THEN INSERT ROW", 3, 0, 3, "a=10 b=- z=5"},
		"first clause wins": {
			"ON t.k = s.k WHEN MATCHED AND s.n IS NULL THEN DELETE WHEN MATCHED AND s.n > 100 THEN UPDATE SET n = 0 WHEN MATCHED THEN UPDATE SET n = t.n + s.n",
			0, 1, 1, "a=11 c=3",
		},
		"by source": {
			"ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.n > 2 THEN UPDATE SET n = -1 WHEN NOT MATCHED BY TARGET AND s.n < 0 THEN INSERT (k) VALUES (s.k)",
			0, 1, 0, "a=1 b=2 c=-1",
		},
		"all at once": {
			"ON t.k = s.k WHEN MATCHED THEN UPDATE SET n = s.n, d = s.d WHEN NOT MATCHED THEN INSERT (d, k, n) VALUES (s.d, UPPER(s.k), s.n) WHEN NOT MATCHED BY SOURCE THEN DELETE",
			1, 2, 1, "Z=5 a=10 b=-",
		},
		"nothing": {"ON t.k = s.k WHEN MATCHED AND FALSE THEN DELETE", 0, 0, 0, "a=1 b=2 c=3"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			createTable(t, c, "costs")
			rows(t, c, "INSERT INTO fin.costs (d, k, n) VALUES ('2025-11-03', 'a', 1), ('2025-11-03', 'b', 2), ('2025-11-03', 'c', 3)")
			job, err := c.Query("MERGE INTO fin.costs AS t USING " + source + " AS s " + tc.clauses).Run(t.Context())
			must(t, err)
			must(t, job.LastStatus().Err())
			stats := job.LastStatus().Statistics.Details.(*bq.QueryStatistics)
			if dml := stats.DMLStats; dml.InsertedRowCount != tc.inserted || dml.UpdatedRowCount != tc.updated || dml.DeletedRowCount != tc.deleted ||
				stats.NumDMLAffectedRows != tc.inserted+tc.updated+tc.deleted {
				t.Errorf("got %+v, %d rows", dml, stats.NumDMLAffectedRows)
			}
			got := rows(t, c, "SELECT STRING_AGG(CONCAT(k, '=', IFNULL(CAST(n AS STRING), '-')), ' ' ORDER BY k) FROM fin.costs")
			if fmt.Sprint(got[0][0]) != tc.want {
				t.Errorf("got %v, want %s", got[0][0], tc.want)
			}
		})
	}
}

func TestMergeRefusesTwoSourceRowsForOneTargetRow(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	rows(t, c, "INSERT INTO fin.costs (d, k, n) VALUES ('2025-11-03', 'a', 1), ('2025-11-03', 'b', 2)")
	const twice = "MERGE fin.costs AS t USING (SELECT 'a' AS k, 1 AS n UNION ALL SELECT 'a', 2) AS s ON t.k = s.k "
	for _, clauses := range []string{"WHEN MATCHED THEN UPDATE SET n = s.n", "WHEN MATCHED THEN DELETE", "WHEN NOT MATCHED THEN INSERT (k) VALUES (k) WHEN MATCHED AND t.n = 1 THEN UPDATE SET n = 7"} {
		status, err := runScript(t.Context(), c, twice+clauses)
		wantJobError(t, outcome(status, err), "invalidQuery", "UPDATE/MERGE must match at most one source row for each target row")
	}
	for _, clauses := range []string{"WHEN MATCHED AND s.n = 2 THEN UPDATE SET n = s.n", "WHEN NOT MATCHED THEN INSERT (k) VALUES (k)"} {
		status, err := runScript(t.Context(), c, twice+clauses)
		must(t, outcome(status, err))
	}
	status, err := runScript(t.Context(), c, "MERGE fin.costs AS t USING (SELECT 'x' AS k UNION ALL SELECT 'x') AS s ON t.k = s.k WHEN NOT MATCHED THEN INSERT (k) VALUES (k)")
	must(t, outcome(status, err))
	if n := count(t, table); n != 4 {
		t.Fatalf("%d rows, want both of the source", n)
	}
}
