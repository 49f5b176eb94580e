package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// Job returns a job. An empty location looks in the multi-regions only, as the
// service does; the error is the service's 404 naming what was asked for.
func Job(ctx context.Context, q Querier, ref wire.JobReference) (*wire.Job, error) {
	j, err := oneDoc[wire.Job](ctx, q, `SELECT doc FROM meta.jobs WHERE project = $1 AND job_id = $2 AND (location = $3 OR $3 = '' AND location IN ('US', 'EU')) LIMIT 1`,
		ref.ProjectID, ref.JobID, CanonicalLocation(ref.Location))
	if err == nil && j == nil {
		err = wire.NotFoundJob(ref.ProjectID, ref.Location, ref.JobID)
	}
	return j, err
}

// CanonicalLocation spells multi-regions in upper and regions in lower case.
func CanonicalLocation(location string) string {
	if upper := strings.ToUpper(location); upper == "US" || upper == "EU" {
		return upper
	}
	return strings.ToLower(location)
}

// PutJob stores a job's record, replacing an earlier state.
func PutJob(ctx context.Context, q Querier, j *wire.Job) error {
	doc, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encoding job %s: %w", j.ID, err)
	}
	created, err := strconv.ParseInt(j.Statistics.CreationTime, 10, 64)
	if err != nil {
		return fmt.Errorf("encoding job %s: %w", j.ID, err)
	}
	ref := j.JobReference
	return exec(ctx, q, `INSERT OR REPLACE INTO meta.jobs VALUES (?, ?, ?, ?, ?, ?, ?)`,
		ref.ProjectID, ref.Location, ref.JobID, j.Statistics.ParentJobID, created, j.Status.State, string(doc))
}

// JobFilter selects jobs for a list, newest first.
type JobFilter struct {
	Project  string
	Parent   string // empty: jobs without a parent only
	States   []string
	MinTime  int64 // milliseconds, 0 without bound
	MaxTime  int64
	Offset   int
	MaxCount int
}

// Jobs lists jobs.
func Jobs(ctx context.Context, q Querier, f JobFilter) ([]*wire.Job, error) {
	states := strings.ToUpper(strings.Join(f.States, ","))
	return listDocs[wire.Job](ctx, q, `SELECT doc FROM meta.jobs
		WHERE project = $1 AND parent_id = $2 AND ($3 = '' OR list_contains(string_split($3, ','), state))
		AND ($4 = 0 OR created >= $4) AND ($5 = 0 OR created <= $5)
		ORDER BY created DESC, job_id DESC LIMIT $6 OFFSET $7`,
		f.Project, f.Parent, states, f.MinTime, f.MaxTime, f.MaxCount, f.Offset)
}

// UnfinishedJobs lists the jobs that were running when the server died.
func UnfinishedJobs(ctx context.Context, q Querier) ([]*wire.Job, error) {
	return listDocs[wire.Job](ctx, q, `SELECT doc FROM meta.jobs WHERE state <> 'DONE'`)
}

// ResultChunk is a run of encoded rows of a job's result: a JSON list without
// its brackets.
type ResultChunk struct {
	FirstRow int64
	RowCount int64
	Cells    string
}

// PutResult stores the rows of a job.
func PutResult(ctx context.Context, q Querier, ref wire.JobReference, at int64, chunks []ResultChunk) error {
	for _, c := range chunks {
		if err := exec(ctx, q, `INSERT INTO meta.results VALUES (?, ?, ?, ?, ?, ?, ?)`,
			ref.ProjectID, ref.Location, ref.JobID, c.FirstRow, c.RowCount, c.Cells, at); err != nil {
			return err
		}
	}
	return nil
}

// Result reads the chunks that cover rows [first, first+count).
func Result(ctx context.Context, q Querier, ref wire.JobReference, first, count int64) ([]ResultChunk, error) {
	rows, err := q.QueryContext(ctx, `SELECT first_row, row_count, cells FROM meta.results
		WHERE project = ? AND location = ? AND job_id = ? AND first_row < ? AND first_row + row_count > ? ORDER BY first_row`,
		ref.ProjectID, ref.Location, ref.JobID, first+count, first)
	if err != nil {
		return nil, fmt.Errorf("reading results of job %s: %w", ref.JobID, err)
	}
	defer rows.Close()
	var out []ResultChunk
	for rows.Next() {
		var c ResultChunk
		if err := rows.Scan(&c.FirstRow, &c.RowCount, &c.Cells); err != nil {
			return nil, fmt.Errorf("reading results of job %s: %w", ref.JobID, err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// RequestJob finds the job that a request id made; nil without one.
func RequestJob(ctx context.Context, q Querier, project, requestID string, since int64) (*wire.JobReference, error) {
	ref := wire.JobReference{ProjectID: project}
	err := q.QueryRowContext(ctx, `SELECT location, job_id FROM meta.requests WHERE project = ? AND request_id = ? AND made >= ?`,
		project, requestID, since).Scan(&ref.Location, &ref.JobID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up request %s: %w", requestID, err)
	}
	return &ref, nil
}

// PutRequest remembers the job that a request id made.
func PutRequest(ctx context.Context, q Querier, requestID string, ref wire.JobReference, at int64) error {
	return exec(ctx, q, `INSERT OR REPLACE INTO meta.requests VALUES (?, ?, ?, ?, ?)`, ref.ProjectID, requestID, ref.Location, ref.JobID, at)
}

// InsertID is one remembered insert id of a relation.
type InsertID struct {
	Relation string
	ID       string
	At       int64 // milliseconds
}

// InsertIDs lists the insert ids remembered since a time.
func InsertIDs(ctx context.Context, q Querier, since int64) ([]InsertID, error) {
	rows, err := q.QueryContext(ctx, `SELECT relation, insert_id, made FROM meta.insert_ids WHERE made >= ?`, since)
	if err != nil {
		return nil, fmt.Errorf("reading insert ids: %w", err)
	}
	defer rows.Close()
	var out []InsertID
	for rows.Next() {
		var id InsertID
		if err := rows.Scan(&id.Relation, &id.ID, &id.At); err != nil {
			return nil, fmt.Errorf("reading insert ids: %w", err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// AppendInsertIDs remembers insert ids in the transaction of conn.
func AppendInsertIDs(conn driver.Conn, ids []InsertID) error {
	a, err := duckdb.NewAppenderFromConn(conn, "meta", "insert_ids")
	if err != nil {
		return fmt.Errorf("remembering insert ids: %w", err)
	}
	for _, id := range ids {
		if err := a.AppendRow(id.Relation, id.ID, id.At); err != nil {
			return errors.Join(fmt.Errorf("remembering insert ids: %w", err), a.Close())
		}
	}
	if err := a.Close(); err != nil {
		return fmt.Errorf("remembering insert ids: %w", err)
	}
	return nil
}

// Forget drops insert ids, request ids and results older than their times.
func Forget(ctx context.Context, q Querier, insertIDs, requests, results int64) error {
	return errors.Join(
		exec(ctx, q, `DELETE FROM meta.insert_ids WHERE made < ?`, insertIDs),
		exec(ctx, q, `DELETE FROM meta.requests WHERE made < ?`, requests),
		exec(ctx, q, `DELETE FROM meta.results WHERE created < ?`, results),
	)
}
