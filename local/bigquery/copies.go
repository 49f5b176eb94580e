package bigquery

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// copySource is a table, or a partition of one, that a copy job reads.
type copySource struct {
	table     *wire.Table
	partition *partition
}

// runCopy runs a copy job: its sources, one after the other, into one table.
func (s *Server) runCopy(ctx context.Context, run *jobRun) error {
	cfg := run.cfg.Copy
	refs := cfg.SourceTables
	if cfg.SourceTable != nil {
		refs = append(refs, *cfg.SourceTable)
	}
	switch {
	case len(refs) == 0:
		return wire.Invalid("Required parameter is missing: configuration.copy.sourceTables")
	case cfg.DestinationTable == nil || cfg.DestinationTable.TableID == "":
		return wire.Invalid("Required parameter is missing: configuration.copy.destinationTable")
	case cfg.OperationType != "" && cfg.OperationType != "COPY":
		return wire.NotImplemented("copy jobs with operationType " + cfg.OperationType)
	}
	sources, err := s.copySources(ctx, s.db, refs)
	if err != nil {
		return err
	}
	first := sources[0].table
	d := &destination{
		schema: first.Schema, create: cfg.CreateDisposition, write: cfg.WriteDisposition,
		partitioning: first.TimePartitioning, clustering: first.Clustering, ranges: first.RangePartitioning, fromCopy: true,
	}
	if d.setTable(*cfg.DestinationTable); d.write == "" {
		d.write = writeEmpty
	}
	if d.write != writeAppend && slices.ContainsFunc(sources, func(f copySource) bool { return f.table.TableReference == d.ref }) {
		return wire.NotImplemented("copying a table over itself with " + d.write)
	}
	run.job.Configuration["copy"] = withDefault(run.job.Configuration["copy"], "writeDisposition", d.write)
	return s.writeDestination(ctx, d, func(ctx context.Context, conn *sql.Conn, t *wire.Table) error {
		// Once more: what was read outside of the transaction may have changed.
		sources, err := s.copySources(ctx, conn, refs)
		if err != nil {
			return err
		}
		var total int64
		for _, from := range sources {
			n, err := s.copyRows(ctx, conn, from, insertTarget{table: t, partition: d.partition})
			if err != nil {
				return s.sqlError(err)
			}
			total += n
		}
		run.job.Statistics.Copy = &wire.CopyStatistics{CopiedRows: decimalText(total), CopiedLogicalBytes: decimalText(total * rowBytes(t.Schema))}
		return s.record(ctx, conn, run)
	})
}

// copySources finds the tables of a copy job, which have one schema.
func (s *Server) copySources(ctx context.Context, q catalog.Querier, refs []wire.TableReference) ([]copySource, error) {
	var sources []copySource
	for _, named := range refs {
		ref, decorator := named.SplitDecorator()
		t, err := s.findTable(ctx, q, ref)
		if err != nil {
			return nil, err
		}
		if t.View != nil || t.Schema == nil {
			return nil, wire.Invalid("Using table %s is not allowed for this operation because of its type. Try using a different table that is of type TABLE.", ref)
		}
		from := copySource{table: t}
		if decorator != "" {
			if from.partition, err = findPartition(t, decorator); err != nil {
				return nil, err
			}
		}
		if len(sources) > 0 && !slices.EqualFunc(sources[0].table.Schema.Fields, t.Schema.Fields, sameField) {
			return nil, wire.Invalid("Cannot copy tables with different schemas: %s and %s", sources[0].table.TableReference, ref)
		}
		sources = append(sources, from)
	}
	return sources, nil
}

func sameField(a, b wire.Field) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Type == b.Type && a.Repeated() == b.Repeated() && slices.EqualFunc(a.Fields, b.Fields, sameField)
}

// copyRows appends the rows of a source that are not in its streaming buffer.
func (s *Server) copyRows(ctx context.Context, conn *sql.Conn, from copySource, to insertTarget) (int64, error) {
	var names []string
	for i := range from.table.Schema.Fields {
		names = append(names, catalog.Quote(from.table.Schema.Fields[i].Name))
	}
	columns, values := strings.Join(names, ", "), strings.Join(names, ", ")
	if hidden := ingestionPrefix(to.table, to.partition, s.cfg.Clock()); hidden != nil {
		value := "NULL"
		if p := from.table.TimePartitioning; to.partition == nil && p != nil && p.Field == "" {
			value = catalog.Quote(partitionTimeColumn)
		} else if at, ok := hidden[0].(time.Time); ok {
			value = duckTime("TIMESTAMP", at)
		}
		columns, values = catalog.Quote(partitionTimeColumn)+", "+columns, value+", "+values
	}
	var where []string
	if from.partition != nil {
		where = append(where, from.partition.predicate())
	}
	var args []any
	if from.table.Streamed && s.cfg.StreamingBuffer > 0 {
		where = append(where, `(`+catalog.Quote(streamTimeColumn)+` > ?) IS NOT TRUE`)
		args = append(args, s.bufferStart())
	}
	if p := to.partition; p != nil && p.index >= 0 {
		where = append(where, p.guard())
	}
	text := `INSERT INTO ` + catalog.Relation(to.table.TableReference) + ` (` + columns + `) SELECT ` + values + ` FROM ` + catalog.Relation(from.table.TableReference)
	if len(where) > 0 {
		text += ` WHERE ` + strings.Join(where, " AND ")
	}
	return affect(ctx, conn, bound{text, args})
}
