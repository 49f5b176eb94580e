package bigquery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

func (s *Server) routeTables(mux *http.ServeMux) {
	const root = apiRoot + "/datasets/{dataset}/tables"
	s.handle(mux, "tables.insert", "POST "+root, s.insertTable)
	s.handle(mux, "tables.list", "GET "+root, s.listTables)
	s.handle(mux, "tables.get", "GET "+root+"/{table}", s.getTable)
	s.handle(mux, "tables.patch", "PATCH "+root+"/{table}", s.patchTable)
	s.handle(mux, "tables.update", "PUT "+root+"/{table}", s.patchTable)
	s.handle(mux, "tables.delete", "DELETE "+root+"/{table}", s.deleteTable)
}

func wireError(err error) *wire.Error {
	var e *wire.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// expired reports whether a table's time is over: it is as good as deleted.
func (s *Server) expired(t *wire.Table) bool {
	at, err := parseMillis(t.ExpirationTime)
	return err == nil && at.UnixMilli() > 0 && !at.After(s.cfg.Clock())
}

// parseMillis reads a time as resources spell it.
func parseMillis(text string) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(ms), err
}

// findTable returns a table that exists and has not expired. A missing
// dataset is reported before a missing table.
func (s *Server) findTable(ctx context.Context, q catalog.Querier, ref wire.TableReference) (*wire.Table, error) {
	t, err := catalog.Table(ctx, q, ref)
	if err == nil && s.expired(t) {
		err = wire.NotFoundTable(ref)
	}
	if isNotFound(err) {
		if _, missing := catalog.Dataset(ctx, q, ref.ProjectID, ref.DatasetID); missing != nil {
			return nil, missing
		}
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func checkTableID(id string) error {
	if id == "" || !utf8.ValidString(id) || len(id) > 1024 {
		return wire.Invalid("Invalid table ID %q.", id)
	}
	for _, c := range id {
		if c < ' ' || c == '.' || c == '$' || c == ':' || c == '`' || c == '"' || c == '/' || c == '\\' {
			return wire.Invalid("Invalid table ID %q.", id)
		}
	}
	return nil
}

// unsupportedTables are the members of a table that make it of a kind this
// server does not have.
var unsupportedTables = []string{
	"externalDataConfiguration", "materializedView", "snapshotDefinition", "cloneDefinition", "encryptionConfiguration",
	"biglakeConfiguration", "externalCatalogTableOptions",
}

func (s *Server) insertTable(r *http.Request) (any, error) {
	var raw json.RawMessage
	if err := readJSON(r, &raw); err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	t := &wire.Table{}
	for _, target := range []any{&members, t} {
		if err := decodeJSON(raw, target); err != nil {
			return nil, err
		}
	}
	for _, name := range unsupportedTables {
		if v, ok := members[name]; ok && string(v) != "null" {
			return nil, wire.NotImplemented("tables with " + name)
		}
	}
	t.TableReference.ProjectID, t.TableReference.DatasetID = r.PathValue("project"), r.PathValue("dataset")
	ref := t.TableReference
	t.SelfLink = selfLink(r, apiPath(ref.ProjectID)+"/datasets/"+ref.DatasetID+"/tables/"+ref.TableID)
	if t.View != nil {
		return t, s.createView(r.Context(), t)
	}
	return t, s.apply(r.Context(), change{locks: []lock{{table: ref, mode: lockSchema}}, run: func(ctx context.Context, conn *sql.Conn) error {
		return s.createTable(ctx, conn, t, false)
	}})
}

// createView stores a view after analysing its query.
func (s *Server) createView(ctx context.Context, t *wire.Table) error {
	if t.View.UseLegacySQL {
		return wire.NotImplemented("legacy SQL views; set useLegacySql to false")
	}
	schema, err := s.viewSchema(ctx, t.TableReference, t.View.Query)
	if err != nil {
		return err
	}
	t.Schema = schema
	return s.apply(ctx, change{locks: []lock{{table: t.TableReference, mode: lockSchema}}, run: func(ctx context.Context, conn *sql.Conn) error {
		return s.createTable(ctx, conn, t, false)
	}})
}

// createTable creates a table in conn's transaction; the caller holds its
// schema lock. replace allows an existing one.
func (s *Server) createTable(ctx context.Context, conn *sql.Conn, t *wire.Table, replace bool) error {
	ref := t.TableReference
	if err := checkTableID(ref.TableID); err != nil {
		return err
	}
	d, err := catalog.Dataset(ctx, conn, ref.ProjectID, ref.DatasetID)
	if err != nil {
		return err
	}
	if t.Schema != nil {
		if err := t.Schema.Normalize(); err != nil {
			return err
		}
	}
	if err := checkPartitioning(t); err != nil {
		return err
	}
	old, err := catalog.Table(ctx, conn, ref)
	if err != nil && !isNotFound(err) {
		return err
	}
	if old != nil && !s.expired(old) && !replace {
		return wire.DuplicateTable(ref)
	}
	if old != nil {
		if err := catalog.DropRelation(ctx, conn, old); err != nil {
			return err
		}
		s.inserts.forget(ref)
	}
	s.describeTable(t, d)
	if t.View == nil {
		if err := createRelation(ctx, conn, t); err != nil {
			return err
		}
	}
	return catalog.PutTable(ctx, conn, t)
}

// describeTable fills in what the server decides about a new table.
func (s *Server) describeTable(t *wire.Table, d *wire.Dataset) {
	now := s.cfg.Clock().UnixMilli()
	t.Kind, t.ID, t.Type = "bigquery#table", t.TableReference.String(), "TABLE"
	if t.View != nil {
		t.Type = "VIEW"
	}
	t.Streamed = s.cfg.StreamingBuffer > 0 && t.View == nil
	t.CreationTime, t.LastModifiedTime, t.Location = decimalText(now), decimalText(now), d.Location
	if t.TimePartitioning != nil && t.TimePartitioning.ExpirationMs == "" {
		t.TimePartitioning.ExpirationMs = d.DefaultPartitionExpirationMs
	}
	if ttl, err := strconv.ParseInt(d.DefaultTableExpirationMs, 10, 64); err == nil && t.ExpirationTime == "" && t.View == nil {
		t.ExpirationTime = decimalText(now + ttl)
	}
}

func (s *Server) getTable(r *http.Request) (any, error) {
	ref, decorator := pathTable(r).SplitDecorator()
	if job, err := s.anonymousJob(r.Context(), ref); err != nil || job != nil {
		if err != nil {
			return nil, err
		}
		return s.anonymousResource(r, job), nil
	}
	if err := s.expirePartitions(r.Context()); err != nil {
		return nil, err
	}
	t, err := s.findTable(r.Context(), s.db, ref)
	if err != nil {
		return nil, err
	}
	condition := ""
	if decorator != "" {
		p, err := findPartition(t, decorator)
		if err != nil {
			return nil, err
		}
		condition = " WHERE " + p.predicate()
	}
	return t, s.countTable(r.Context(), t, condition)
}

// countTable fills in the number of rows and the estimate of bytes.
func (s *Server) countTable(ctx context.Context, t *wire.Table, condition string) error {
	if t.View != nil {
		return nil
	}
	var n int64
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM `+catalog.Relation(t.TableReference)+condition).Scan(&n); err != nil {
		return fmt.Errorf("counting table %s: %w", t.TableReference, err)
	}
	t.NumRows = decimalText(n)
	t.NumBytes = decimalText(n * rowBytes(t.Schema))
	return s.countBuffer(ctx, t)
}

func (s *Server) patchTable(r *http.Request) (any, error) {
	ref := pathTable(r)
	out := &wire.Table{}
	err := s.apply(r.Context(), change{locks: []lock{{table: ref, mode: lockSchema}}, run: func(ctx context.Context, conn *sql.Conn) error {
		old, err := s.findTable(ctx, conn, ref)
		if err != nil {
			return err
		}
		if err := matchEtag(r, old.Etag); err != nil {
			return err
		}
		t := &wire.Table{}
		if err := patchInto(r, old, t); err != nil {
			return err
		}
		if err := s.changeTable(ctx, conn, old, t); err != nil {
			return err
		}
		*out = *t
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return out, s.countTable(r.Context(), out, "")
}

// changeTable brings a table from one state to another in conn's transaction;
// the caller holds its schema lock.
func (s *Server) changeTable(ctx context.Context, conn *sql.Conn, old, t *wire.Table) error {
	t.LastModifiedTime = decimalText(s.cfg.Clock().UnixMilli())
	if t.Schema == nil || len(t.Schema.Fields) == 0 {
		t.Schema = old.Schema
	}
	if t.View != nil || t.Schema == nil {
		return catalog.PutTable(ctx, conn, t)
	}
	if err := t.Schema.Normalize(); err != nil {
		return err
	}
	if old.Schema == nil || len(old.Schema.Fields) == 0 {
		if err := checkPartitioning(t); err != nil {
			return err
		}
		if err := createRelation(ctx, conn, t); err != nil {
			return err
		}
		return catalog.PutTable(ctx, conn, t)
	}
	delta, err := compareSchemas(t.TableReference, old.Schema.Fields, t.Schema.Fields)
	if err != nil {
		return err
	}
	t.Schema.Fields = delta.merged
	if err := checkPartitioning(t); err != nil {
		return err
	}
	if !samePartitioning(old, t) {
		return wire.Invalid("Cannot change partitioning spec for a partitioned/clustered table.")
	}
	if err := alterRelation(ctx, conn, t.TableReference, delta); err != nil {
		return err
	}
	return catalog.PutTable(ctx, conn, t)
}

func samePartitioning(a, b *wire.Table) bool {
	if (a.TimePartitioning == nil) != (b.TimePartitioning == nil) {
		return false
	}
	return a.TimePartitioning == nil || a.TimePartitioning.Type == b.TimePartitioning.Type && a.TimePartitioning.Field == b.TimePartitioning.Field
}

func (s *Server) deleteTable(r *http.Request) (any, error) {
	ref, decorator := pathTable(r).SplitDecorator()
	if decorator != "" {
		return nil, s.deletePartition(r.Context(), ref, decorator)
	}
	return nil, s.apply(r.Context(), change{locks: []lock{{table: ref, mode: lockSchema}}, run: func(ctx context.Context, conn *sql.Conn) error {
		return s.dropTable(ctx, conn, ref)
	}})
}

func (s *Server) dropTable(ctx context.Context, conn *sql.Conn, ref wire.TableReference) error {
	t, err := s.findTable(ctx, conn, ref)
	if err != nil {
		return err
	}
	s.inserts.forget(ref)
	return catalog.DeleteTable(ctx, conn, t)
}

func (s *Server) deletePartition(ctx context.Context, ref wire.TableReference, decorator string) error {
	return s.apply(ctx, change{locks: []lock{{table: ref, mode: lockMutate, partition: decorator}}, run: func(ctx context.Context, conn *sql.Conn) error {
		t, err := s.findTable(ctx, conn, ref)
		if err != nil {
			return err
		}
		p, err := findPartition(t, decorator)
		if err != nil {
			return err
		}
		return clearRows(ctx, conn, t, p)
	}})
}

// clearRows deletes the rows of a partition, or of the table without one.
func clearRows(ctx context.Context, conn *sql.Conn, t *wire.Table, p *partition) error {
	statement := `DELETE FROM ` + catalog.Relation(t.TableReference)
	if p != nil {
		statement += ` WHERE ` + p.predicate()
	}
	if _, err := conn.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("clearing table %s: %w", t.TableReference, err)
	}
	return nil
}
