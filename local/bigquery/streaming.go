package bigquery

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// streamTimeColumn is the hidden first column of tables that keep when their
// rows were streamed; NULL in rows that came otherwise.
const streamTimeColumn = "_STREAMTIME"

// hiddenPrefix are the values of the hidden columns for rows that arrive now.
// streamed is the time for rows of insertAll, and nil for others.
func hiddenPrefix(t *wire.Table, p *partition, now time.Time, streamed driver.Value) []driver.Value {
	ingested := ingestionPrefix(t, p, now)
	if !t.Streamed {
		return ingested
	}
	return append([]driver.Value{streamed}, ingested...)
}

// countBuffer fills in what is in a table's streaming buffer.
func (s *Server) countBuffer(ctx context.Context, t *wire.Table) error {
	if !t.Streamed || s.cfg.StreamingBuffer <= 0 {
		return nil
	}
	var n int64
	var oldest sql.NullTime
	column := catalog.Quote(streamTimeColumn)
	if err := s.db.QueryRowContext(ctx, `SELECT count(*), min(`+column+`) FROM `+catalog.Relation(t.TableReference)+` WHERE `+column+` > ?`,
		s.bufferStart()).Scan(&n, &oldest); err != nil {
		return fmt.Errorf("counting streamed rows of table %s: %w", t.TableReference, err)
	}
	if n > 0 {
		t.StreamingBuffer = &wire.StreamingBuffer{
			EstimatedRows: decimalText(n), EstimatedBytes: decimalText(n * rowBytes(t.Schema)), OldestEntryTime: decimalText(oldest.Time.UnixMilli()),
		}
	}
	return nil
}

// templateTable returns the table that insertAll with a template suffix
// writes, and creates it like its template when it is missing.
func (s *Server) templateTable(ctx context.Context, template wire.TableReference, suffix string) (wire.TableReference, error) {
	ref := template
	ref.TableID += suffix
	_, err := s.findTable(ctx, s.db, ref)
	if err == nil || !isNotFound(err) {
		return ref, err
	}
	return ref, s.apply(ctx, change{locks: []lock{{table: ref, mode: lockSchema}}, run: func(ctx context.Context, conn *sql.Conn) error {
		if _, err := s.findTable(ctx, conn, ref); err == nil || !isNotFound(err) {
			return err
		}
		from, err := s.findTable(ctx, conn, template)
		if err != nil {
			return err
		}
		if from.View != nil {
			return wire.Invalid("Cannot add rows to a table of type VIEW.")
		}
		return s.createTable(ctx, conn, &wire.Table{
			TableReference: ref, Schema: from.Schema, TimePartitioning: from.TimePartitioning, RangePartitioning: from.RangePartitioning,
			Clustering: from.Clustering,
		}, false)
	}})
}
