package bigquery

import (
	"context"
	"fmt"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// jobsView is JOBS: the jobs that have ended, and scripts that run. The
// dataset in its path is a region.
var jobsView = informationView{
	columns: []analyze.Column{
		{Name: "creation_time", Type: "TIMESTAMP"},
		{Name: "project_id", Type: "STRING"},
		{Name: "user_email", Type: "STRING"},
		{Name: "job_id", Type: "STRING"},
		{Name: "job_type", Type: "STRING"},
		{Name: "statement_type", Type: "STRING"},
		{Name: "start_time", Type: "TIMESTAMP"},
		{Name: "end_time", Type: "TIMESTAMP"},
		{Name: "query", Type: "STRING"},
		{Name: "state", Type: "STRING"},
		{Name: "total_bytes_processed", Type: "INT64"},
		{Name: "total_bytes_billed", Type: "INT64"},
		{Name: "cache_hit", Type: "BOOL"},
		{Name: "parent_job_id", Type: "STRING"},
		{Name: "error_result", Type: "STRUCT<reason STRING, location STRING, debug_info STRING, message STRING>"},
		{Name: "destination_table", Type: "STRUCT<project_id STRING, dataset_id STRING, table_id STRING>"},
		{Name: "labels", Type: "ARRAY<STRUCT<key STRING, value STRING>>"},
	},
	query: `SELECT make_timestamptz(created * 1000) AS creation_time, project AS project_id, doc->>'$.user_email' AS user_email, job_id,
		doc->>'$.configuration.jobType' AS job_type, doc->>'$.statistics.query.statementType' AS statement_type,
		make_timestamptz(CAST(doc->>'$.statistics.startTime' AS BIGINT) * 1000) AS start_time,
		make_timestamptz(CAST(doc->>'$.statistics.endTime' AS BIGINT) * 1000) AS end_time,
		doc->>'$.configuration.query.query' AS query, state,
		CAST(doc->>'$.statistics.totalBytesProcessed' AS BIGINT) AS total_bytes_processed,
		CAST(doc->>'$.statistics.query.totalBytesBilled' AS BIGINT) AS total_bytes_billed,
		CAST(doc->>'$.statistics.query.cacheHit' AS BOOLEAN) AS cache_hit, nullif(parent_id, '') AS parent_job_id,
		CASE WHEN (doc->'$.status.errorResult') IS NOT NULL THEN {'reason': doc->>'$.status.errorResult.reason', 'location': doc->>'$.status.errorResult.location',
			'debug_info': doc->>'$.status.errorResult.debugInfo', 'message': doc->>'$.status.errorResult.message'} END AS error_result,
		CASE WHEN destination IS NOT NULL THEN {'project_id': destination->>'projectId', 'dataset_id': destination->>'datasetId', 'table_id': destination->>'tableId'} END AS destination_table,
		coalesce([{'key': k, 'value': (doc->'$.configuration.labels')->>k} for k in json_keys(doc, '$.configuration.labels')], []) AS labels
		FROM (SELECT *, coalesce(doc->'$.configuration.query.destinationTable', doc->'$.configuration.load.destinationTable', doc->'$.configuration.copy.destinationTable') AS destination
			FROM (SELECT * REPLACE (CAST(doc AS JSON) AS doc) FROM meta.jobs))
		WHERE project = %[1]s AND (%[2]s = '' OR lower(location) = replace(lower(%[2]s), 'region-', ''))`,
}

// partitionFormats are the ids of partitions by granularity, for strftime.
var partitionFormats = map[string]string{"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}

// partitionRows is the query that counts the partitions of a dataset's tables.
func (s *Server) partitionRows(ctx context.Context, q catalog.Querier, n analyze.TableName) (string, error) {
	tables, err := catalog.Tables(ctx, q, n.Project, n.Dataset)
	if err != nil {
		return "", err
	}
	none := `SELECT '' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS partition_id, 0 AS total_rows, 0 AS total_logical_bytes WHERE false`
	queries := []string{none}
	for _, t := range tables {
		if t.View != nil || t.Schema == nil || s.expired(t) {
			continue
		}
		ref := t.TableReference
		queries = append(queries, fmt.Sprintf(`SELECT %s, %s, %s, partition_id, count(*), count(*) * %d FROM (SELECT %s AS partition_id FROM %s) GROUP BY partition_id`,
			literal(ref.ProjectID), literal(ref.DatasetID), literal(ref.TableID), rowBytes(t.Schema), partitionID(t), catalog.Relation(ref)))
	}
	return strings.Join(queries, " UNION ALL "), nil
}

// partitionID is the DuckDB expression of the id of a row's partition.
func partitionID(t *wire.Table) string {
	switch {
	case t.TimePartitioning != nil:
		column := t.TimePartitioning.Field
		if column == "" {
			column = partitionTimeColumn
		}
		return fmt.Sprintf(`coalesce(strftime(%s, %s), '__NULL__')`, catalog.Quote(column), literal(partitionFormats[t.TimePartitioning.Type]))
	case t.RangePartitioning != nil:
		column, r := catalog.Quote(t.RangePartitioning.Field), t.RangePartitioning.Range
		return fmt.Sprintf(`CASE WHEN %[1]s IS NULL THEN '__NULL__' WHEN %[1]s < %[2]s OR %[1]s >= %[3]s THEN '__UNPARTITIONED__'
			ELSE CAST(%[1]s - (%[1]s - %[2]s) %% %[4]s AS VARCHAR) END`, column, r.Start, r.End, r.Interval)
	}
	return `CAST(NULL AS VARCHAR)`
}
