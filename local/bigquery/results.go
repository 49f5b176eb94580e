package bigquery

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// chunkRows and chunkBytes bound a stored run of result rows.
const (
	chunkRows  = 1000
	chunkBytes = 1 << 20
)

// queryRows is the encoded result of a query.
type queryRows struct {
	schema *wire.Schema
	chunks []catalog.ResultChunk
	total  int64
}

// collect encodes and closes rows.
func collect(schema *wire.Schema, rows *sql.Rows) (*queryRows, error) {
	defer rows.Close()
	out := &queryRows{schema: schema}
	values := make([]any, len(schema.Fields))
	targets := make([]any, len(values))
	for i := range values {
		targets[i] = &values[i]
	}
	var cells []byte
	var count int64
	flush := func() {
		if count > 0 {
			out.chunks = append(out.chunks, catalog.ResultChunk{FirstRow: out.total, RowCount: count, Cells: string(cells)})
			out.total += count
		}
		cells, count = cells[:0], 0
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		if count > 0 {
			cells = append(cells, ',')
		}
		var err error
		if cells, err = wire.AppendRow(cells, schema.Fields, values); err != nil {
			return nil, err
		}
		if count++; count == chunkRows || len(cells) > chunkBytes {
			flush()
		}
	}
	flush()
	return out, rows.Err()
}

// storedPage reads a page of a stored result.
func (s *Server) storedPage(ctx context.Context, job *wire.Job, p page, out *queryResponse) error {
	out.TotalRows = decimalText(job.Local.TotalRows)
	count := p.limit
	if count < 0 || count > pageRows {
		count = pageRows
	}
	count = min(count, job.Local.TotalRows-p.start)
	if count <= 0 {
		if p.limit != 0 {
			out.Rows = json.RawMessage("[]")
		}
		if p.limit == 0 && p.start < job.Local.TotalRows {
			out.PageToken = pageToken(p.start)
		}
		return nil
	}
	chunks, err := catalog.Result(ctx, s.db, job.JobReference, p.start, count)
	if err != nil {
		return err
	}
	if len(chunks) == 0 {
		return &wire.Error{HTTPStatus: 404, Reason: wire.ReasonNotFound, Message: "Not found: results of job " + job.ID + " have expired"}
	}
	cells, n, err := cutRows(chunks, p.start, count)
	if err != nil {
		return err
	}
	out.Rows = cells
	if next := p.start + n; next < job.Local.TotalRows {
		out.PageToken = pageToken(next)
	}
	return nil
}

// cutRows joins chunks and cuts rows [first, first+count) out of them, fewer
// once the page is full.
func cutRows(chunks []catalog.ResultChunk, first, count int64) (json.RawMessage, int64, error) {
	out := []byte{'['}
	var n int64
	for _, c := range chunks {
		if n >= count || n > 0 && len(out) > pageBytes {
			break
		}
		if n > 0 {
			out = append(out, ',')
		}
		skip, take := max(0, first-c.FirstRow), min(c.RowCount-max(0, first-c.FirstRow), count-n)
		if skip == 0 && take == c.RowCount {
			out = append(out, c.Cells...)
			n += take
			continue
		}
		var rows []json.RawMessage
		if err := json.Unmarshal([]byte("["+c.Cells+"]"), &rows); err != nil {
			return nil, 0, fmt.Errorf("reading stored rows: %w", err)
		}
		for i, row := range rows[skip : skip+take] {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, row...)
		}
		n += take
	}
	return append(out, ']'), n, nil
}

// destinationPage reads a page of the table that a query wrote.
func (s *Server) destinationPage(ctx context.Context, local *wire.LocalResult, p page, out *queryResponse) error {
	ref, decorator := local.Table.SplitDecorator()
	t, err := s.findTable(ctx, s.db, ref)
	if err != nil {
		return err
	}
	condition := ""
	if decorator != "" {
		part, err := findPartition(t, decorator)
		if err != nil {
			return err
		}
		condition = " WHERE " + part.predicate()
	}
	if t.Schema == nil {
		return nil
	}
	list := &tableDataList{}
	err = s.transact(ctx, func(ctx context.Context, conn *sql.Conn) error {
		return readTablePage(ctx, conn, tablePage{table: t, condition: condition, fields: t.Schema.Fields, page: p}, list)
	})
	if err != nil {
		return err
	}
	out.Schema = t.Schema
	local.Schema = t.Schema
	out.TotalRows, out.Rows, out.PageToken = list.TotalRows, list.Rows, list.PageToken
	return nil
}
