package bigquery

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

type insertAllRequest struct {
	Rows                []insertRow `json:"rows"`
	SkipInvalidRows     bool        `json:"skipInvalidRows"`
	IgnoreUnknownValues bool        `json:"ignoreUnknownValues"`
	TemplateSuffix      string      `json:"templateSuffix"`
}

type insertRow struct {
	InsertID string          `json:"insertId"`
	JSON     json.RawMessage `json:"json"`
}

type insertAllResponse struct {
	Kind         string           `json:"kind"`
	InsertErrors []insertRowError `json:"insertErrors,omitempty"`
}

type insertRowError struct {
	Index  int               `json:"index"`
	Errors []insertRowReason `json:"errors"`
}

// insertRowReason differs from other error entries in always showing all
// members, as recorded.
type insertRowReason struct {
	Reason    string `json:"reason"`
	Location  string `json:"location"`
	DebugInfo string `json:"debugInfo"`
	Message   string `json:"message"`
}

// insertAll streams rows into a table: all of them or, unless skipInvalidRows,
// none. Rows whose insertId was seen within the window are dropped.
func (s *Server) insertAll(r *http.Request) (any, error) {
	req := &insertAllRequest{}
	if err := readJSON(r, req); err != nil {
		return nil, err
	}
	if len(req.Rows) == 0 {
		return nil, wire.Invalid("No rows present in the request.")
	}
	ref, decorator := pathTable(r).SplitDecorator()
	if req.TemplateSuffix != "" {
		var err error
		if ref, err = s.templateTable(r.Context(), ref, req.TemplateSuffix); err != nil {
			return nil, err
		}
	}
	unlock := s.inserts.lock(catalog.PhysicalName(ref))
	defer unlock()
	out := &insertAllResponse{Kind: "bigquery#tableDataInsertAllResponse"}
	var ids []catalog.InsertID
	err := s.apply(r.Context(), change{locks: []lock{{table: ref, mode: lockAppend}}, run: func(ctx context.Context, conn *sql.Conn) error {
		t, err := s.findTable(ctx, conn, ref)
		if err != nil {
			return err
		}
		rows, rowErrors, err := s.decodeInserts(t, decorator, req)
		if err != nil {
			return err
		}
		out.InsertErrors = rowErrors
		if len(rowErrors) > 0 && !req.SkipInvalidRows {
			return nil
		}
		fresh, freshIDs := s.inserts.fresh(catalog.PhysicalName(ref), rows, s.cfg.Clock())
		ids = freshIDs
		return s.appendInserts(ctx, conn, t, fresh, freshIDs)
	}})
	if err != nil {
		return nil, err
	}
	s.inserts.remember(ids)
	return out, nil
}

// decodedInsert is a row that may be stored.
type decodedInsert struct {
	id     string
	values []driver.Value
}

// decodeInserts decodes the rows of a request. When one is bad and the request
// does not skip bad rows, the good ones are reported as stopped.
func (s *Server) decodeInserts(t *wire.Table, decorator string, req *insertAllRequest) ([]decodedInsert, []insertRowError, error) {
	if t.View != nil {
		return nil, nil, wire.Invalid("Cannot add rows to a table of type VIEW.")
	}
	if t.Schema == nil {
		return nil, nil, wire.Invalid("The destination table has no schema.")
	}
	var part *partition
	if decorator != "" {
		var err error
		if part, err = findPartition(t, decorator); err != nil {
			return nil, nil, err
		}
	}
	now := s.cfg.Clock()
	prefix := hiddenPrefix(t, part, now, now)
	decoder := load.NewDecoder(t.Schema.Fields, load.DecoderOptions{IgnoreUnknown: req.IgnoreUnknownValues, Streaming: true})
	rows := make([]decodedInsert, 0, len(req.Rows))
	bad := map[int]*load.FieldError{}
	for i := range req.Rows {
		values, fieldErr := decoder.Row(req.Rows[i].JSON)
		if fieldErr == nil && part != nil {
			fieldErr = part.check(values)
		}
		if fieldErr != nil {
			bad[i] = fieldErr
			continue
		}
		if len(prefix) > 0 {
			values = append(append([]driver.Value{}, prefix...), values...)
		}
		rows = append(rows, decodedInsert{id: req.Rows[i].InsertID, values: values})
	}
	return rows, insertErrors(len(req.Rows), bad, req.SkipInvalidRows), nil
}

func insertErrors(count int, bad map[int]*load.FieldError, skipInvalid bool) []insertRowError {
	if len(bad) == 0 {
		return nil
	}
	var out []insertRowError
	for i := range count {
		reason := insertRowReason{Reason: wire.ReasonStopped}
		if fieldErr := bad[i]; fieldErr != nil {
			reason = insertRowReason{Reason: wire.ReasonInvalid, Location: fieldErr.Field, Message: fieldErr.Message}
		} else if skipInvalid {
			continue
		}
		out = append(out, insertRowError{Index: i, Errors: []insertRowReason{reason}})
	}
	return out
}

func (s *Server) appendInserts(ctx context.Context, conn *sql.Conn, t *wire.Table, rows []decodedInsert, ids []catalog.InsertID) error {
	if len(rows) == 0 {
		return nil
	}
	err := withAppender(conn, "data", catalog.PhysicalName(t.TableReference), func(a *duckdb.Appender) error {
		for i := range rows {
			if err := a.AppendRow(rows[i].values...); err != nil {
				return fmt.Errorf("appending row %d: %w", i, err)
			}
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	if limit := s.inserts.purgeBefore(s.cfg.Clock()); limit > 0 {
		if err := catalog.Forget(ctx, conn, limit, 0, 0); err != nil {
			return err
		}
	}
	return conn.Raw(func(raw any) error {
		dc, ok := raw.(driver.Conn)
		if !ok {
			return fmt.Errorf("%T is not a database connection", raw)
		}
		return catalog.AppendInsertIDs(dc, ids)
	})
}
