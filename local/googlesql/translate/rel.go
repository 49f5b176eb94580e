package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"
)

// column is one column of a relation under construction: it is called c<id>
// outside, and expr inside.
type column struct {
	id   int32
	expr string
}

// orderKey is one key of an ORDER BY over the columns of a relation. Expr has
// one %s where the qualifier of the column goes.
type orderKey struct {
	format string
	suffix string
}

// rel is a SELECT under construction. Its columns are the ids a scan offers,
// each once.
type rel struct {
	with      []string
	recursive bool
	columns   []column
	extra     []string // select-list entries that no scan asks for
	from      string
	where     string
	group     string
	order     []orderKey
	tail      string // LIMIT and OFFSET
}

func colName(id int32) string { return fmt.Sprintf("c%d", id) }

// sql is the relation as a query.
func (r *rel) sql() string {
	var b strings.Builder
	if len(r.with) > 0 {
		b.WriteString("WITH ")
		if r.recursive {
			b.WriteString("RECURSIVE ")
		}
		b.WriteString(strings.Join(r.with, ", "))
		b.WriteByte(' ')
	}
	b.WriteString("SELECT ")
	b.WriteString(r.selectList())
	if r.from != "" {
		b.WriteString(" FROM " + r.from)
	}
	if r.where != "" {
		b.WriteString(" WHERE " + r.where)
	}
	if r.group != "" {
		b.WriteString(" GROUP BY " + r.group)
	}
	if len(r.order) > 0 {
		b.WriteString(" ORDER BY " + strings.Join(prefixed(r.order, ""), ", "))
	}
	b.WriteString(r.tail)
	return b.String()
}

func (r *rel) selectList() string {
	parts := append([]string{}, r.extra...)
	for _, c := range r.columns {
		name := colName(c.id)
		if c.expr == name {
			parts = append(parts, name)
		} else {
			parts = append(parts, c.expr+" AS "+name)
		}
	}
	if len(parts) == 0 {
		return "1 AS c0"
	}
	return strings.Join(parts, ", ")
}

// unordered is the relation without an order that would be repeated above; an
// order that decides which rows a LIMIT keeps stays.
func (r *rel) unordered() *rel {
	if r.tail != "" {
		return r
	}
	c := *r
	c.order = nil
	return &c
}

// sub is the relation as an item of FROM.
func (r *rel) sub() string { return "(" + r.sql() + ")" }

func prefixed(keys []orderKey, qualifier string) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = strings.ReplaceAll(k.format, "%s", qualifier) + k.suffix
	}
	return out
}

// keep returns the columns of scan as plain references.
func (t *translator) keep(scan googlesql.ResolvedScanNode) []column {
	var columns []column
	seen := map[int32]bool{}
	for _, c := range t.columnList(scan) {
		id := get(c.ColumnId())
		if !seen[id] {
			seen[id] = true
			columns = append(columns, column{id: id, expr: colName(id)})
		}
	}
	return columns
}

func (t *translator) columnList(scan googlesql.ResolvedScanNode) []*googlesql.ResolvedColumn {
	lister, ok := scan.(interface {
		ColumnList() ([]*googlesql.ResolvedColumn, error)
	})
	if !ok {
		fail(fmt.Errorf("scan %T has no columns", scan))
	}
	return get(lister.ColumnList())
}

// column is how an expression names a column.
func (t *translator) column(c *googlesql.ResolvedColumn) string {
	return t.columnByID(get(c.ColumnId()))
}

func (t *translator) columnByID(id int32) string {
	if text, ok := t.bound[id]; ok {
		return text
	}
	return colName(id)
}

// define replaces the reference to id by an expression, or adds it.
func (r *rel) define(id int32, expr string) {
	for i := range r.columns {
		if r.columns[i].id == id {
			r.columns[i].expr = expr
			return
		}
	}
	r.columns = append(r.columns, column{id: id, expr: expr})
}
