package analyze_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// oneTable is a catalog with the table p.d.cost.
type oneTable struct{}

func (oneTable) Table(_ context.Context, project, dataset, name string) (*analyze.Table, error) {
	if strings.HasPrefix(name, "INFORMATION_SCHEMA.") {
		return &analyze.Table{Project: project, Dataset: dataset, Name: name, Columns: []analyze.Column{{Name: "schema_name", Type: "STRING"}}}, nil
	}
	if dataset == "none" {
		return nil, fmt.Errorf("%w: Not found: Dataset %s:%s", analyze.ErrTableNotFound, project, dataset)
	}
	if project != "p" || dataset != "d" || name != "cost" {
		return nil, analyze.ErrTableNotFound
	}
	return &analyze.Table{Project: project, Dataset: dataset, Name: name, Columns: []analyze.Column{
		{Name: "id", Type: "INT64"},
		{Name: "day", Type: "DATE"},
		{Name: "amount", Type: "NUMERIC"},
		{Name: "tags", Type: "ARRAY<STRUCT<k STRING, v INT64>>"},
		{Name: "_PARTITIONDATE", Type: "DATE", Pseudo: true},
	}}, nil
}

func statement(t testing.TB, sql string) (*analyze.Statement, error) {
	t.Helper()
	a, err := analyze.New()
	if err != nil {
		t.Fatal(err)
	}
	return a.Statement(t.Context(), sql, analyze.Options{DefaultProject: "p", DefaultDataset: "d", Catalog: oneTable{}})
}

func TestErrorsReadAsTheServiceSendsThem(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT x":                "Unrecognized name: x at [1:8]",
		"SELECT amont FROM cost":  "Unrecognized name: amont; Did you mean amount? at [1:8]",
		"SELEC 1":                 `Syntax error: Unexpected identifier "SELEC" at [1:1]`,
		"SELECT 1 FROM\n  d.nope": "Not found: Table p:d.nope was not found in location US at [2:3]",
		"SELECT id, id FROM cost": "Duplicate column names in the result are not supported. Found duplicate(s): id",
		"SELECT 1 FROM none.cost": "Not found: Dataset p:none was not found in location US at [1:15]",
		"SELECT 1 FROM cost2, INFORMATION_SCHEMA.SCHEMATA": "Not found: Table p:d.cost2",
		"INSERT INTO cost (amount) SELECT 1.5":             "at [1:",
		"DELETE FROM cost":                                 "DELETE must have a WHERE clause at [1:1]",
		"SELECT @missing":                                  "Query parameter 'missing' not found at [1:8]",
		"CREATE TABLE d.x AS SELECT 1":                     "CREATE TABLE columns must be named, but column 1 has no name",
	} {
		_, err := statement(t, sql)
		var e *analyze.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: error %v is no *analyze.Error", sql, err)
			continue
		}
		if !strings.Contains(e.Message, want) {
			t.Errorf("%q: message %q, want %q", sql, e.Message, want)
		}
	}
}

func TestMissingTableIsMarked(t *testing.T) {
	_, err := statement(t, "SELECT * FROM p.d.nope")
	var e *analyze.Error
	if !errors.As(err, &e) || !e.NotFound {
		t.Errorf("error %v is not marked as not found", err)
	}
}

func TestPositionsMoveWithTheStatement(t *testing.T) {
	a, err := analyze.New()
	if err != nil {
		t.Fatal(err)
	}
	script := "SELECT 1;\n  SELECT nope"
	parts, err := a.Script(script)
	if err != nil {
		t.Fatal(err)
	}
	last := parts[len(parts)-1]
	_, err = a.Statement(t.Context(), last.SQL, analyze.Options{Line: last.Line, Col: last.Col})
	if err == nil || err.Error() != "Unrecognized name: nope at [2:10]" {
		t.Errorf("error %v", err)
	}
}

func TestResultColumnsHaveNamesAndTypes(t *testing.T) {
	st, err := statement(t, "SELECT 1, tags, amount * 2 AS twice, 'x' FROM `p.d.cost` WHERE _PARTITIONDATE IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range st.Columns {
		got = append(got, c.Name+" "+c.Type)
	}
	want := "f0_ INT64; tags ARRAY<STRUCT<k STRING, v INT64>>; twice NUMERIC; f1_ STRING"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("columns %s, want %s", text, want)
	}
	if len(st.Referenced) != 1 || st.Referenced[0].Name != "cost" || st.Kind != analyze.KindSelect {
		t.Errorf("kind %s, referenced %v", st.Kind, st.Referenced)
	}
}

func TestCreateTableIsPlainData(t *testing.T) {
	st, err := statement(t, `CREATE OR REPLACE TABLE e.x (
		id INT64 NOT NULL OPTIONS (description="the key"), price NUMERIC(10, 2) DEFAULT 5, made TIMESTAMP)
		PARTITION BY TIMESTAMP_TRUNC(made, MONTH) CLUSTER BY id
		OPTIONS (labels=[("team", "core")])`)
	if err != nil {
		t.Fatal(err)
	}
	c := st.Create
	if st.Kind != analyze.KindCreateTable || st.Target.String() != "p.e.x" || !c.OrReplace || c.IfNotExists {
		t.Errorf("kind %s, target %s, %+v", st.Kind, st.Target, c)
	}
	if len(c.Columns) != 3 || !c.Columns[0].NotNull || c.Columns[1].Type != "NUMERIC(10, 2)" || c.Columns[1].Default != "5" {
		t.Errorf("columns %+v", c.Columns)
	}
	if c.PartitionBy == nil || c.PartitionBy.Column != "made" || c.PartitionBy.Granularity != "MONTH" {
		t.Errorf("partition by %+v", c.PartitionBy)
	}
	if len(c.ClusterBy) != 1 || c.ClusterBy[0] != "id" || len(c.Options) != 1 || c.Options[0].Value != `[("team", "core")]` {
		t.Errorf("cluster by %v, options %v", c.ClusterBy, c.Options)
	}
}

func TestTargetsAndReadsOfMerge(t *testing.T) {
	st, err := statement(t, "MERGE cost t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE")
	if err != nil {
		t.Fatal(err)
	}
	if st.Kind != analyze.KindMerge || st.Target.String() != "p.d.cost" || len(st.Referenced) != 0 {
		t.Errorf("kind %s, target %s, referenced %v", st.Kind, st.Target, st.Referenced)
	}
}

func TestTypeTextIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"int": "INT64", "ARRAY<STRUCT<`a b` STRING, INT64>>": "ARRAY<STRUCT<`a b` STRING, INT64>>",
		"STRUCT<`a\\\\b\\`c\"d` INT64>":   "STRUCT<`a\\\\b\\`c\"d` INT64>",
		"struct<a array<numeric(10, 2)>>": "STRUCT<a ARRAY<NUMERIC(10,2)>>",
	} {
		typ, err := analyze.ParseType(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if typ.String() != want {
			t.Errorf("%s reads as %s, want %s", text, typ, want)
		}
	}
	for _, text := range []string{"", "ARRAY<", "NOPE", "INT64 x", "STRUCT<a>"} {
		if typ, err := analyze.ParseType(text); err == nil {
			t.Errorf("%q reads as %s", text, typ)
		}
	}
}

func TestViewsOfAProjectNeedNoDataset(t *testing.T) {
	a, err := analyze.New()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"INFORMATION_SCHEMA.SCHEMATA":             "p..INFORMATION_SCHEMA.SCHEMATA",
		"q.INFORMATION_SCHEMA.SCHEMATA":           "q..INFORMATION_SCHEMA.SCHEMATA",
		"`region-eu`.INFORMATION_SCHEMA.SCHEMATA": "p.region-eu.INFORMATION_SCHEMA.SCHEMATA",
		"`q.region-eu`.INFORMATION_SCHEMA.JOBS":   "q.region-eu.INFORMATION_SCHEMA.JOBS",
		"`q.d.INFORMATION_SCHEMA.TABLES`":         "q.d.INFORMATION_SCHEMA.TABLES",
		"d.INFORMATION_SCHEMA.COLUMNS":            "p.d.INFORMATION_SCHEMA.COLUMNS",
	} {
		st, err := a.Statement(t.Context(), "SELECT schema_name FROM "+path, analyze.Options{DefaultProject: "p", Catalog: oneTable{}})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := st.Referenced[0].FullName().String(); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
