// Package catalog keeps what the server knows beside the rows: datasets,
// tables, jobs, results, insert ids and request ids. It lives in the same
// DuckDB database as the rows, so that a record and its effect share one
// transaction. It must not know HTTP or SQL dialects.
package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// FormatVersion is the layout of the database file; a server refuses another.
const FormatVersion = 1

// Querier is a connection or a database. A connection with an open
// transaction makes every change here part of it.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

var layout = []string{
	`CREATE SCHEMA IF NOT EXISTS meta`,
	`CREATE SCHEMA IF NOT EXISTS data`,
	`CREATE TABLE IF NOT EXISTS meta.format (version INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS meta.datasets (project VARCHAR, dataset VARCHAR, doc VARCHAR NOT NULL, PRIMARY KEY (project, dataset))`,
	`CREATE TABLE IF NOT EXISTS meta.tables (project VARCHAR, dataset VARCHAR, table_id VARCHAR, doc VARCHAR NOT NULL, PRIMARY KEY (project, dataset, table_id))`,
	`CREATE TABLE IF NOT EXISTS meta.jobs (project VARCHAR, location VARCHAR, job_id VARCHAR, parent_id VARCHAR NOT NULL, created BIGINT NOT NULL, state VARCHAR NOT NULL, doc VARCHAR NOT NULL, PRIMARY KEY (project, location, job_id))`,
	`CREATE TABLE IF NOT EXISTS meta.results (project VARCHAR, location VARCHAR, job_id VARCHAR, first_row BIGINT, row_count BIGINT, cells VARCHAR, created BIGINT)`,
	`CREATE TABLE IF NOT EXISTS meta.insert_ids (relation VARCHAR, insert_id VARCHAR, made BIGINT)`,
	`CREATE TABLE IF NOT EXISTS meta.requests (project VARCHAR, request_id VARCHAR, location VARCHAR, job_id VARCHAR, made BIGINT, PRIMARY KEY (project, request_id))`,
}

// Init creates the catalog in an empty database and checks the layout of an
// existing one.
func Init(ctx context.Context, q Querier) error {
	for _, statement := range layout {
		if _, err := q.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("creating the catalog: %w", err)
		}
	}
	var version int
	err := q.QueryRowContext(ctx, `SELECT version FROM meta.format`).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = q.ExecContext(ctx, `INSERT INTO meta.format VALUES (?)`, FormatVersion)
		version = FormatVersion
	}
	if err != nil {
		return fmt.Errorf("reading the catalog's format version: %w", err)
	}
	if version != FormatVersion {
		return fmt.Errorf("the database has format version %d, this server reads version %d: use another data directory", version, FormatVersion)
	}
	return nil
}

// Relation is the quoted DuckDB relation of a table's rows. BigQuery's names
// are case-sensitive and DuckDB's are not, so upper-case letters are marked.
func Relation(ref wire.TableReference) string {
	return `data.` + Quote(PhysicalName(ref))
}

// PhysicalName is the unquoted name of a table within schema data.
func PhysicalName(ref wire.TableReference) string {
	var b strings.Builder
	for _, r := range ref.String() {
		switch {
		case r >= 'A' && r <= 'Z':
			b.WriteByte('^')
			b.WriteRune(r)
		case r == '^':
			b.WriteString("^^")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Quote quotes an identifier for DuckDB.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func etag(doc any) (string, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return "", fmt.Errorf("encoding a resource: %w", err)
	}
	sum := sha256.Sum256(text)
	return base64.StdEncoding.EncodeToString(sum[:16]), nil
}

// listDocs decodes the doc column of each row.
func listDocs[T any](ctx context.Context, q Querier, query string, args ...any) ([]*T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	defer rows.Close()
	var out []*T
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("reading the catalog: %w", err)
		}
		doc := new(T)
		if err := json.Unmarshal([]byte(text), doc); err != nil {
			return nil, fmt.Errorf("decoding a catalog entry: %w", err)
		}
		out = append(out, doc)
	}
	return out, rows.Err()
}

func oneDoc[T any](ctx context.Context, q Querier, query string, args ...any) (*T, error) {
	docs, err := listDocs[T](ctx, q, query, args...)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	return docs[0], nil
}

func exec(ctx context.Context, q Querier, query string, args ...any) error {
	if _, err := q.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("writing the catalog: %w", err)
	}
	return nil
}
