package sink

import (
	"fmt"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/transforms/row"
)

// position is where a row stands in its partition.
type position struct {
	page, index int64
	rowID       string
}

// checker finds the rows that the destination must not get.
type checker struct {
	schema   row.Schema
	required []int
	keys     keys // that must not be NULL
	field    int  // of the replaced range, -1: none
	scope    map[int]string
}

func newChecker(o Options) checker {
	c := checker{schema: o.Table.Schema, field: -1, scope: map[int]string{}}
	for i, f := range c.schema {
		if f.Required {
			c.required = append(c.required, i)
		}
	}
	if o.keyed() {
		c.keys = newKeys(o)
	}
	if o.WriteMode != ModeReplacePartition {
		return c
	}
	c.field = c.schema.Index(o.replaceField())
	for column, value := range o.ReplaceScope {
		c.scope[c.schema.Index(column)] = value
	}
	return c
}

// check returns the code and reason of a row that must be rejected, or "".
func (c checker) check(u row.Unit, r row.Row) (code, reason string) {
	for _, i := range c.required {
		if r.Cells[i].IsNull() {
			return RejectMissingRequired, fmt.Sprintf("required column %s is NULL", c.schema[i].Name)
		}
	}
	if name := c.keys.missing(r); name != "" {
		return RejectNullKey, fmt.Sprintf("key field %s is NULL", name)
	}
	if c.field >= 0 && !within(u, r.Cells[c.field]) {
		return RejectOutOfRange, fmt.Sprintf("%s is %s, outside %s to %s (exclusive)",
			c.schema[c.field].Name, textOf(r.Cells[c.field]), u.Start, u.End)
	}
	for i, value := range c.scope {
		if cell := r.Cells[i]; cell.IsNull() || cell.Text() != value {
			return RejectOutOfRange, fmt.Sprintf("%s is %s, outside the replaced scope %q", c.schema[i].Name, textOf(cell), value)
		}
	}
	return "", ""
}

func within(u row.Unit, c row.Cell) bool {
	d, ok := c.AsDate()
	if !ok {
		t, isTime := c.AsTimestamp()
		if !isTime {
			return false
		}
		d = civil.DateOf(t)
	}
	return !d.Before(u.Start) && d.Before(u.End)
}

func textOf(c row.Cell) string {
	if c.IsNull() {
		return "NULL"
	}
	return c.Text()
}

// midnight is the first instant of a civil date in UTC.
func midnight(d civil.Date) time.Time { return d.In(time.UTC) }
