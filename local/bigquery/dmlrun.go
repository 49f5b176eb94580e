package bigquery

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// changedRows are the rows that a DML statement changed, in all and, for a
// MERGE, by action.
type changedRows struct {
	total   int64
	actions map[string]int64
}

// stats are the rows by kind, as the service reports them.
func (c changedRows) stats(kind analyze.Kind) *wire.DMLStats {
	switch kind {
	case analyze.KindInsert:
		return &wire.DMLStats{InsertedRowCount: decimalText(c.total)}
	case analyze.KindUpdate:
		return &wire.DMLStats{UpdatedRowCount: decimalText(c.total)}
	case analyze.KindMerge:
		return &wire.DMLStats{
			InsertedRowCount: decimalText(c.actions["INSERT"]), UpdatedRowCount: decimalText(c.actions["UPDATE"]),
			DeletedRowCount: decimalText(c.actions["DELETE"]),
		}
	}
	return &wire.DMLStats{DeletedRowCount: decimalText(c.total)}
}

// changeRows runs a DML statement. It fails when the statement touches a row
// that is still in the streaming buffer.
func (s *Server) changeRows(ctx context.Context, conn *sql.Conn, st *statement, b bound) (changedRows, error) {
	kind := st.st.Kind
	guarded, err := s.guardsBuffer(ctx, conn, st)
	if err != nil {
		return changedRows{}, err
	}
	var returned []string
	if kind == analyze.KindMerge {
		returned = append(returned, `merge_action`)
	}
	if guarded {
		returned = append(returned, catalog.Quote(streamTimeColumn))
	}
	if len(returned) == 0 {
		n, err := affect(ctx, conn, b)
		return changedRows{total: n}, err
	}
	rows, err := conn.QueryContext(ctx, b.text+` RETURNING `+strings.Join(returned, ", "), b.args...)
	if err != nil {
		return changedRows{}, fmt.Errorf("changing rows: %w", err)
	}
	defer rows.Close()
	done := changedRows{actions: map[string]int64{}}
	var action string
	var streamed sql.NullTime
	targets := []any{&action, &streamed}
	if kind != analyze.KindMerge {
		targets = targets[1:]
	}
	since := s.bufferStart()
	for rows.Next() {
		if err := rows.Scan(targets[:len(returned)]...); err != nil {
			return done, fmt.Errorf("counting changed rows: %w", err)
		}
		if streamed.Valid && streamed.Time.After(since) {
			return done, inBuffer(kind, tableReference(*st.st.Target))
		}
		done.total++
		done.actions[action]++
	}
	return done, rows.Err()
}

// guardsBuffer reports whether the rows that a statement touches are to be
// looked at.
func (s *Server) guardsBuffer(ctx context.Context, conn *sql.Conn, st *statement) (bool, error) {
	if s.cfg.StreamingBuffer <= 0 || st.st.Kind == analyze.KindInsert {
		return false, nil
	}
	t, err := catalog.Table(ctx, conn, tableReference(*st.st.Target))
	if err != nil {
		return false, err
	}
	return t.Streamed, nil
}

func (s *Server) bufferStart() time.Time { return s.cfg.Clock().Add(-s.cfg.StreamingBuffer) }

func inBuffer(kind analyze.Kind, ref wire.TableReference) error {
	if kind == analyze.KindTruncateTable {
		return wire.RowsInBuffer("TRUNCATE DML", ref)
	}
	return wire.RowsInBuffer("UPDATE or DELETE", ref)
}
