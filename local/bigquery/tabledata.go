package bigquery

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

func (s *Server) routeTableData(mux *http.ServeMux) {
	const root = apiRoot + "/datasets/{dataset}/tables/{table}"
	s.handle(mux, "tabledata.list", "GET "+root+"/data", s.listTableData)
	s.handle(mux, "tabledata.insertAll", "POST "+root+"/insertAll", s.insertAll)
}

// pageRows is the most rows of one page, pageBytes the size at which a page
// ends early.
const (
	pageRows  = 100_000
	pageBytes = 10 << 20
)

type tableDataList struct {
	Kind      string          `json:"kind"`
	TotalRows string          `json:"totalRows"`
	PageToken string          `json:"pageToken,omitempty"`
	Rows      json.RawMessage `json:"rows,omitempty"`
}

func (s *Server) listTableData(r *http.Request) (any, error) {
	ref, decorator := pathTable(r).SplitDecorator()
	if job, err := s.anonymousJob(r.Context(), ref); err != nil {
		return nil, err
	} else if job != nil {
		out, err := s.anonymousData(r, job)
		if err != nil {
			return nil, err
		}
		return out, listedTimes(r, out, job.Local.Schema.Fields)
	}
	if err := s.expirePartitions(r.Context()); err != nil {
		return nil, err
	}
	p, err := readPage(r)
	if err != nil {
		return nil, err
	}
	t, err := s.findTable(r.Context(), s.db, ref)
	if err != nil {
		return nil, err
	}
	if t.View != nil {
		return nil, wire.Invalid("Cannot list a table of type VIEW.")
	}
	condition := ""
	if decorator != "" {
		part, err := findPartition(t, decorator)
		if err != nil {
			return nil, err
		}
		condition = " WHERE " + part.predicate()
	}
	fields, err := selectFields(t, r.URL.Query().Get("selectedFields"))
	if err != nil {
		return nil, err
	}
	out := &tableDataList{Kind: "bigquery#tableDataList"}
	err = s.transact(r.Context(), func(ctx context.Context, conn *sql.Conn) error {
		return readTablePage(ctx, conn, tablePage{table: t, condition: condition, fields: fields, page: p}, out)
	})
	if err != nil {
		return nil, err
	}
	return out, listedTimes(r, out, fields)
}

// listedTimes spells the timestamps of a page as the request asks.
func listedTimes(r *http.Request, out *tableDataList, fields []wire.Field) (err error) {
	if !isTrue(r, "formatOptions.useInt64Timestamp") && len(out.Rows) > 0 {
		out.Rows, err = wire.FloatTimestamps(out.Rows, fields, wire.PlainSeconds)
	}
	return err
}

func selectFields(t *wire.Table, selected string) ([]wire.Field, error) {
	if t.Schema == nil || selected == "" {
		if t.Schema == nil {
			return nil, nil
		}
		return t.Schema.Fields, nil
	}
	var fields []wire.Field
	for _, name := range strings.Split(selected, ",") {
		i := t.Schema.Find(name)
		if i < 0 {
			return nil, wire.Invalid("No such field: %s", name)
		}
		fields = append(fields, t.Schema.Fields[i])
	}
	return fields, nil
}

type tablePage struct {
	table     *wire.Table
	condition string
	fields    []wire.Field
	page      page
}

// readTablePage counts and reads in one transaction, so that the pages of a
// table that grows add up.
func readTablePage(ctx context.Context, conn *sql.Conn, p tablePage, out *tableDataList) error {
	from := ` FROM ` + catalog.Relation(p.table.TableReference) + p.condition
	var total int64
	if err := conn.QueryRowContext(ctx, `SELECT count(*)`+from).Scan(&total); err != nil {
		return fmt.Errorf("counting table %s: %w", p.table.TableReference, err)
	}
	out.TotalRows = decimalText(total)
	limit := int64(pageRows)
	if p.page.limit >= 0 {
		limit = min(limit, p.page.limit)
	}
	if total == 0 || limit == 0 || p.page.start >= total || len(p.fields) == 0 {
		return nil
	}
	columns := make([]string, len(p.fields))
	for i := range p.fields {
		columns[i] = readable(catalog.Quote(p.fields[i].Name), &p.fields[i])
	}
	rows, err := conn.QueryContext(ctx, fmt.Sprintf(`SELECT %s%s ORDER BY rowid LIMIT %d OFFSET %d`, strings.Join(columns, ", "), from, limit, p.page.start))
	if err != nil {
		return fmt.Errorf("reading table %s: %w", p.table.TableReference, err)
	}
	encoder := &rowEncoder{fields: p.fields}
	n, err := encoder.readAll(rows, pageBytes)
	if err != nil {
		return err
	}
	out.Rows = json.RawMessage("[" + string(encoder.cells) + "]")
	if next := p.page.start + n; next < total {
		out.PageToken = pageToken(next)
	}
	return nil
}

// rowEncoder collects encoded rows, separated by commas.
type rowEncoder struct {
	fields []wire.Field
	cells  []byte
}

// readAll encodes and closes rows; it stops after limit bytes when limit is
// positive. It returns the number of rows read.
func (e *rowEncoder) readAll(rows *sql.Rows, limit int) (n int64, err error) {
	defer rows.Close()
	values := make([]any, len(e.fields))
	targets := make([]any, len(values))
	for i := range values {
		targets[i] = &values[i]
	}
	for (limit <= 0 || len(e.cells) < limit) && rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return n, fmt.Errorf("reading a row: %w", err)
		}
		if n > 0 {
			e.cells = append(e.cells, ',')
		}
		if e.cells, err = wire.AppendRow(e.cells, e.fields, values); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}
