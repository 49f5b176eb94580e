package bigquery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// destination is the table that a load or query job writes, and how.
type destination struct {
	ref          wire.TableReference
	decorator    string
	schema       *wire.Schema // of the job; nil takes the table's
	create       string
	write        string
	options      []string
	partitioning *wire.TimePartitioning
	clustering   *wire.Clustering
	ranges       *wire.RangePartitioning
	fromQuery    bool // the schema is a query's: it need not name every column
	fromCopy     bool // the schema is another table's, as is what partitions it

	partition *partition // found when the table is
}

func (d *destination) setTable(ref wire.TableReference) { d.ref, d.decorator = ref.SplitDecorator() }

// lock is the weakest lock the job needs when its table exists or not.
func (d *destination) lock(exists bool) lock {
	k := lock{table: d.ref, mode: lockSchema}
	switch {
	case !exists || len(d.options) > 0 || d.write == writeEmpty:
	case d.write == writeAppend:
		k.mode = lockAppend
	case d.decorator != "":
		k.mode, k.partition = lockMutate, d.decorator
	}
	return k
}

// writeDestination prepares the table of a job and lets write fill it, all in
// one transaction.
func (s *Server) writeDestination(ctx context.Context, d *destination, write func(context.Context, *sql.Conn, *wire.Table) error) error {
	switch d.write {
	case writeAppend, writeEmpty, writeTruncate, writeTruncateData:
	default:
		return wire.Invalid("Invalid value for writeDisposition: %s is not a valid value", d.write)
	}
	if err := checkTableID(d.ref.TableID); err != nil {
		return err
	}
	_, err := s.findTable(ctx, s.db, d.ref)
	k := d.lock(err == nil)
	for {
		err := s.apply(ctx, change{locks: []lock{k}, run: func(ctx context.Context, conn *sql.Conn) error {
			t, err := s.prepareDestination(ctx, conn, d, k.mode == lockSchema)
			if err != nil {
				return err
			}
			return write(ctx, conn, t)
		}})
		if errors.Is(err, errNeedSchemaLock) && k.mode != lockSchema {
			k.mode, k.partition = lockSchema, ""
			continue
		}
		return err
	}
}

// prepareDestination returns the table as it must be before the rows come.
func (s *Server) prepareDestination(ctx context.Context, conn *sql.Conn, d *destination, mayChange bool) (*wire.Table, error) {
	t, err := s.findTable(ctx, conn, d.ref)
	if isNotFound(err) {
		return s.createDestination(ctx, conn, d, mayChange)
	}
	if err != nil {
		return nil, err
	}
	if t.View != nil {
		return nil, wire.Invalid("%s is not allowed for this operation because it is currently a VIEW.", d.ref)
	}
	if d.write == writeTruncate && d.decorator == "" && d.schema != nil {
		return t, s.replaceSchema(ctx, conn, d, t)
	}
	if t, err = s.mergeSchema(ctx, conn, d, t, mayChange); err != nil {
		return nil, err
	}
	if d.decorator != "" {
		if d.partition, err = findPartition(t, d.decorator); err != nil {
			return nil, err
		}
	}
	return t, s.clearDestination(ctx, conn, d, t)
}

func (s *Server) createDestination(ctx context.Context, conn *sql.Conn, d *destination, mayChange bool) (*wire.Table, error) {
	if d.create == createNever {
		return nil, wire.NotFoundTable(d.ref)
	}
	if d.create != "" && d.create != createIfNeeded {
		return nil, wire.Invalid("Invalid value for createDisposition: %s is not a valid value", d.create)
	}
	if !mayChange {
		return nil, errNeedSchemaLock
	}
	if d.schema == nil {
		return nil, wire.Invalid("No schema specified on job or table.")
	}
	t := &wire.Table{TableReference: d.ref, Schema: d.schema, TimePartitioning: d.partitioning, RangePartitioning: d.ranges, Clustering: d.clustering}
	if d.decorator != "" && t.TimePartitioning == nil {
		t.TimePartitioning = &wire.TimePartitioning{Type: "DAY"}
	}
	if err := s.createTable(ctx, conn, t, false); err != nil {
		return nil, err
	}
	var err error
	if d.decorator != "" {
		d.partition, err = findPartition(t, d.decorator)
	}
	return t, err
}

// replaceSchema empties a table and gives it the job's schema.
func (s *Server) replaceSchema(ctx context.Context, conn *sql.Conn, d *destination, t *wire.Table) error {
	t.Schema = d.schema
	if d.fromCopy {
		t.TimePartitioning, t.RangePartitioning, t.Clustering = d.partitioning, d.ranges, d.clustering
	}
	if d.partitioning != nil {
		t.TimePartitioning = d.partitioning
	}
	if d.clustering != nil {
		t.Clustering = d.clustering
	}
	if err := checkPartitioning(t); err != nil {
		return err
	}
	if err := createRelation(ctx, conn, t); err != nil {
		return err
	}
	t.LastModifiedTime = decimalText(s.cfg.Clock().UnixMilli())
	return catalog.PutTable(ctx, conn, t)
}

// mergeSchema checks the job's schema against the table's and applies the
// changes that the job allows.
func (s *Server) mergeSchema(ctx context.Context, conn *sql.Conn, d *destination, t *wire.Table, mayChange bool) (*wire.Table, error) {
	if d.schema == nil {
		return t, nil
	}
	if t.Schema == nil || len(t.Schema.Fields) == 0 {
		if !mayChange {
			return nil, errNeedSchemaLock
		}
		return t, s.replaceSchema(ctx, conn, d, t)
	}
	fields := d.schema.Fields
	if d.fromQuery {
		fields = queryFields(t.Schema, fields)
	}
	if d.fromCopy {
		fields = relaxedFields(t.Schema, fields)
	}
	delta, err := compareSchemas(d.ref, t.Schema.Fields, fields)
	if err != nil {
		return nil, err
	}
	if len(delta.clauses) == 0 {
		return t, nil
	}
	if err := d.allows(t, delta); err != nil {
		return nil, err
	}
	if !mayChange {
		return nil, errNeedSchemaLock
	}
	t.Schema.Fields = delta.merged
	if err := alterRelation(ctx, conn, d.ref, delta); err != nil {
		return nil, err
	}
	t.LastModifiedTime = decimalText(s.cfg.Clock().UnixMilli())
	return t, catalog.PutTable(ctx, conn, t)
}

// queryFields is the schema of a query's result as one for its destination:
// columns that it lacks stay, and a result says nothing about REQUIRED.
func queryFields(table *wire.Schema, fields []wire.Field) []wire.Field {
	var out []wire.Field
	result := &wire.Schema{Fields: fields}
	for _, f := range table.Fields {
		i := result.Find(f.Name)
		if i >= 0 && result.Fields[i].Type == f.Type && result.Fields[i].Repeated() == f.Repeated() {
			nested := f
			if f.Type == "RECORD" {
				nested.Fields = queryFields(&wire.Schema{Fields: f.Fields}, result.Fields[i].Fields)
			}
			out = append(out, nested)
			continue
		}
		if i >= 0 {
			out = append(out, result.Fields[i])
			continue
		}
		out = append(out, f)
	}
	for _, f := range fields {
		if table.Find(f.Name) < 0 {
			out = append(out, f)
		}
	}
	return out
}

// relaxedFields are the fields of a copied table, whose REQUIRED ones fit
// fields of the destination that are not.
func relaxedFields(table *wire.Schema, fields []wire.Field) []wire.Field {
	out := slices.Clone(fields)
	for i := range out {
		if at := table.Find(out[i].Name); at >= 0 && out[i].Required() && modeOf(table.Fields[at]) == "NULLABLE" {
			out[i].Mode = table.Fields[at].Mode
		}
	}
	return out
}

// allows checks a change of schema against the job's schemaUpdateOptions.
func (d *destination) allows(t *wire.Table, delta *schemaChange) error {
	for i := range delta.merged {
		f := &delta.merged[i]
		at := t.Schema.Find(f.Name)
		if at < 0 && !slices.Contains(d.options, "ALLOW_FIELD_ADDITION") {
			return wire.Invalid("Provided Schema does not match Table %s. Cannot add fields (field: %s)", d.ref, f.Name)
		}
		if at >= 0 && modeOf(t.Schema.Fields[at]) != modeOf(*f) && !slices.Contains(d.options, "ALLOW_FIELD_RELAXATION") {
			return wire.Invalid("Provided Schema does not match Table %s. Field %s has changed mode from %s to %s", d.ref, f.Name, modeOf(t.Schema.Fields[at]), modeOf(*f))
		}
	}
	if len(d.options) == 0 {
		return wire.Invalid("Provided Schema does not match Table %s. Cannot add fields inside a record", d.ref)
	}
	return nil
}

func (s *Server) clearDestination(ctx context.Context, conn *sql.Conn, d *destination, t *wire.Table) error {
	switch {
	case d.write == writeAppend:
		return nil
	case d.write == writeEmpty:
		return requireEmpty(ctx, conn, d, t)
	case d.partition != nil:
		return clearRows(ctx, conn, t, d.partition)
	}
	return createRelation(ctx, conn, t)
}

func requireEmpty(ctx context.Context, conn *sql.Conn, d *destination, t *wire.Table) error {
	condition := ""
	if d.partition != nil {
		condition = ` WHERE ` + d.partition.predicate()
	}
	var found bool
	if err := conn.QueryRowContext(ctx, `SELECT count(*) > 0 FROM (SELECT 1 FROM `+catalog.Relation(t.TableReference)+condition+` LIMIT 1)`).Scan(&found); err != nil {
		return fmt.Errorf("looking into table %s: %w", t.TableReference, err)
	}
	if found {
		return wire.DuplicateTable(d.ref)
	}
	return nil
}
