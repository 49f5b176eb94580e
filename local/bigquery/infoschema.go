package bigquery

import (
	"context"
	"fmt"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

const informationSchema = "INFORMATION_SCHEMA"

type informationView struct {
	columns []analyze.Column
	query   string
	dataset bool // needs a dataset
}

// informationTables are the supported views of INFORMATION_SCHEMA: their
// columns, and the DuckDB query over the catalog that computes them. %[1]s is
// the project and %[2]s the dataset, as literals.
var informationTables = map[string]informationView{
	"SCHEMATA": {
		columns: []analyze.Column{
			{Name: "catalog_name", Type: "STRING"},
			{Name: "schema_name", Type: "STRING"},
			{Name: "schema_owner", Type: "STRING"},
			{Name: "creation_time", Type: "TIMESTAMP"},
			{Name: "last_modified_time", Type: "TIMESTAMP"},
			{Name: "location", Type: "STRING"},
		},
		query: `SELECT project AS catalog_name, dataset AS schema_name, CAST(NULL AS VARCHAR) AS schema_owner,
			make_timestamptz(CAST(json_extract_string(doc, '$.creationTime') AS BIGINT) * 1000) AS creation_time,
			make_timestamptz(CAST(json_extract_string(doc, '$.lastModifiedTime') AS BIGINT) * 1000) AS last_modified_time,
			json_extract_string(doc, '$.location') AS location
			FROM meta.datasets WHERE project = %[1]s`,
	},
	"TABLES": {
		dataset: true,
		columns: []analyze.Column{
			{Name: "table_catalog", Type: "STRING"},
			{Name: "table_schema", Type: "STRING"},
			{Name: "table_name", Type: "STRING"},
			{Name: "table_type", Type: "STRING"},
			{Name: "is_insertable_into", Type: "STRING"},
			{Name: "is_typed", Type: "STRING"},
			{Name: "creation_time", Type: "TIMESTAMP"},
		},
		query: `SELECT project AS table_catalog, dataset AS table_schema, table_id AS table_name,
			CASE WHEN json_extract_string(doc, '$.type') = 'TABLE' THEN 'BASE TABLE' ELSE json_extract_string(doc, '$.type') END AS table_type,
			CASE WHEN json_extract_string(doc, '$.type') = 'TABLE' THEN 'YES' ELSE 'NO' END AS is_insertable_into, 'NO' AS is_typed,
			make_timestamptz(CAST(json_extract_string(doc, '$.creationTime') AS BIGINT) * 1000) AS creation_time
			FROM meta.tables WHERE project = %[1]s AND dataset = %[2]s`,
	},
	"COLUMNS": {
		dataset: true,
		columns: []analyze.Column{
			{Name: "table_catalog", Type: "STRING"},
			{Name: "table_schema", Type: "STRING"},
			{Name: "table_name", Type: "STRING"},
			{Name: "column_name", Type: "STRING"},
			{Name: "ordinal_position", Type: "INT64"},
			{Name: "is_nullable", Type: "STRING"},
			{Name: "data_type", Type: "STRING"},
			{Name: "is_hidden", Type: "STRING"},
			{Name: "is_partitioning_column", Type: "STRING"},
			{Name: "clustering_ordinal_position", Type: "INT64"},
		},
	},
	"PARTITIONS": {
		dataset: true,
		columns: []analyze.Column{
			{Name: "table_catalog", Type: "STRING"},
			{Name: "table_schema", Type: "STRING"},
			{Name: "table_name", Type: "STRING"},
			{Name: "partition_id", Type: "STRING"},
			{Name: "total_rows", Type: "INT64"},
			{Name: "total_logical_bytes", Type: "INT64"},
		},
	},
	"JOBS": jobsView, "JOBS_BY_PROJECT": jobsView, "JOBS_BY_USER": jobsView,
}

// informationTable is a view of INFORMATION_SCHEMA for the analysis.
func (s *Server) informationTable(ctx context.Context, q catalog.Querier, n analyze.TableName) (*analyze.Table, error) {
	view, ok := informationTables[n.Name]
	if !ok {
		return nil, wire.NotImplemented(informationSchema + "." + n.Name)
	}
	if view.dataset {
		if n.Dataset == "" {
			return nil, wire.NotImplemented(informationSchema + "." + n.Name + " without a dataset")
		}
		if _, err := catalog.Dataset(ctx, q, n.Project, n.Dataset); err != nil {
			return nil, err
		}
	}
	t := &analyze.Table{Project: n.Project, Dataset: n.Dataset, Name: informationSchema + "." + n.Name, Columns: view.columns}
	switch n.Name {
	case "COLUMNS":
		rows, err := s.columnRows(ctx, q, n)
		t.Name += "\x00" + rows
		return t, err
	case "PARTITIONS":
		query, err := s.partitionRows(ctx, q, n)
		t.Name += "\x00" + query
		return t, err
	}
	return t, nil
}

// columnRows writes the rows of COLUMNS as DuckDB VALUES: types are spelled by
// code, not by the catalog.
func (s *Server) columnRows(ctx context.Context, q catalog.Querier, n analyze.TableName) (string, error) {
	tables, err := catalog.Tables(ctx, q, n.Project, n.Dataset)
	if err != nil {
		return "", err
	}
	var rows []string
	for _, t := range tables {
		if t.Schema == nil || s.expired(t) {
			continue
		}
		for i := range t.Schema.Fields {
			rows = append(rows, columnRow(t, i))
		}
	}
	if len(rows) == 0 {
		rows = []string{"(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"}
	}
	return strings.Join(rows, ", "), nil
}

func columnRow(t *wire.Table, i int) string {
	f := &t.Schema.Fields[i]
	ref := t.TableReference
	partitioning := t.TimePartitioning != nil && strings.EqualFold(t.TimePartitioning.Field, f.Name) ||
		t.RangePartitioning != nil && strings.EqualFold(t.RangePartitioning.Field, f.Name)
	clustering := "NULL"
	if t.Clustering != nil {
		for k, name := range t.Clustering.Fields {
			if strings.EqualFold(name, f.Name) {
				clustering = fmt.Sprint(k + 1)
			}
		}
	}
	return fmt.Sprintf("(%s, %s, %s, %s, %d, %s, %s, 'NO', %s, %s)", literal(ref.ProjectID), literal(ref.DatasetID), literal(ref.TableID),
		literal(f.Name), i+1, yesNo(!f.Required()), literal(strings.ReplaceAll(typeText(f), "`", "")), yesNo(partitioning), clustering)
}

func yesNo(b bool) string {
	if b {
		return "'YES'"
	}
	return "'NO'"
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// informationRelation is the relation behind an information table.
func informationRelation(t *analyze.Table, view string) (string, error) {
	name, rows, _ := strings.Cut(view, "\x00")
	if name == "PARTITIONS" {
		return "(" + rows + ")", nil
	}
	if name != "COLUMNS" {
		return "(" + fmt.Sprintf(informationTables[name].query, literal(t.Project), literal(t.Dataset)) + ")", nil
	}
	names := make([]string, 0, len(informationTables[name].columns))
	for _, c := range informationTables[name].columns {
		names = append(names, c.Name)
	}
	return "(SELECT * FROM (VALUES " + rows + ") AS v(" + strings.Join(names, ", ") + ") WHERE table_name IS NOT NULL)", nil
}
