package bigquery_test

import (
	"fmt"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
)

func TestAlterTable(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(1, "2025-11-03"))
	for _, sql := range []string{
		"ALTER TABLE fin.costs ADD COLUMN region STRING OPTIONS(description='where'), ADD COLUMN IF NOT EXISTS k STRING, ADD COLUMN tags ARRAY<STRUCT<a INT64, b NUMERIC(10, 2)>>",
		"alter table `p-1.fin.costs` DROP COLUMN n, DROP COLUMN IF EXISTS nope",
		"ALTER TABLE fin.costs SET OPTIONS (description = \"all costs\", labels = [('a', 'b')], partition_expiration_days = 40000, expiration_timestamp = TIMESTAMP '2200-01-01 00:00:00 UTC')",
		"ALTER TABLE fin.costs ALTER COLUMN k DROP NOT NULL",
		"ALTER TABLE IF EXISTS fin.nope ADD COLUMN x INT64",
		"INSERT INTO fin.costs (d, region, tags) VALUES ('2025-11-04', 'eu', [STRUCT(1 AS a, NUMERIC '2.5' AS b)])",
	} {
		status, err := runScript(t.Context(), c, sql)
		if err := outcome(status, err); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	m, err := table.Metadata(t.Context())
	must(t, err)
	names := ""
	for _, f := range m.Schema {
		names += fmt.Sprintf("%s:%s:%v ", f.Name, f.Type, f.Required)
	}
	if names != "d:DATE:false k:STRING:false region:STRING:false tags:RECORD:false " || m.Schema[2].Description != "where" {
		t.Fatalf("got schema %s", names)
	}
	if m.Description != "all costs" || m.Labels["a"] != "b" || m.TimePartitioning.Expiration != 40000*24*time.Hour || m.ExpirationTime.Year() != 2200 {
		t.Fatalf("got %+v", m)
	}
	got := rows(t, c, "SELECT * FROM fin.costs ORDER BY d")
	if want := "[[2025-11-03 k0 <nil> []] [2025-11-04 <nil> eu [[1 5/2]]]]"; fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s", got, want)
	}
	status, err := runScript(t.Context(), c, "ALTER TABLE fin.costs SET OPTIONS (description = NULL, expiration_timestamp = NULL)")
	must(t, outcome(status, err))
	m, err = table.Metadata(t.Context())
	must(t, err)
	if m.Description != "" || !m.ExpirationTime.IsZero() || m.Labels["a"] != "b" {
		t.Fatalf("got %+v", m)
	}
}

func TestAlterTableRefuses(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	must(t, c.Dataset("fin").Table("v").Create(t.Context(), &bq.TableMetadata{ViewQuery: "SELECT 1 AS x"}))
	for sql, want := range map[string][2]string{
		"ALTER TABLE fin.costs ADD COLUMN k STRING":                    {"invalidQuery", "Column already exists: k"},
		"ALTER TABLE fin.costs ADD COLUMN x STRING NOT NULL":           {"invalidQuery", "Cannot add required fields"},
		"ALTER TABLE fin.costs DROP COLUMN nope":                       {"invalidQuery", "Column not found: nope"},
		"ALTER TABLE fin.costs DROP COLUMN d":                          {"invalidQuery", "used for partitioning"},
		"ALTER TABLE fin.nope ADD COLUMN x STRING":                     {"notFound", "Not found: Table p-1:fin.nope"},
		"ALTER TABLE fin.costs RENAME TO other":                        {"notImplemented", "ALTER TABLE RENAME"},
		"ALTER TABLE fin.costs ALTER COLUMN n SET DATA TYPE FLOAT64":   {"notImplemented", "ALTER TABLE ALTER COLUMN"},
		"ALTER TABLE fin.costs SET OPTIONS (kms_key_name = 'x')":       {"notImplemented", "table option kms_key_name"},
		"ALTER TABLE fin.costs ADD COLUMN x NOTYPE":                    {"invalidQuery", "NOTYPE"},
		"ALTER TABLE fin.v ADD COLUMN y STRING":                        {"invalid", "VIEW"},
		"BEGIN TRANSACTION; ALTER TABLE fin.costs ADD COLUMN x STRING": {"notImplemented", "inside a transaction"},
	} {
		status, err := runScript(t.Context(), c, sql)
		wantJobError(t, outcome(status, err), want[0], want[1])
	}
}
