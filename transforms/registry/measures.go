package registry

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudact/convergence/transforms/row"
)

// call is a function over a column, as aggregates and windows are written: sum(cost).
var call = regexp.MustCompile(`^\s*([a-z_]+)\s*\(\s*([A-Za-z_][A-Za-z0-9_]*)?\s*\)\s*$`)

// aggregates are the functions over the rows of a group. Those that take no column count
// rows; sums and extremes of money stay exact, an average of it is rounded as NUMERIC.
var aggregates = []string{"avg", "count", "count_distinct", "max", "min", "sum"}

// windows are the functions over the rows before and after one.
var windows = []string{"dense_rank", "first", "lag", "last", "lead", "rank", "row_number", "sum"}

// Rows implements RowShaper.
func (s *aggregateRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	var out row.Schema
	for i, name := range s.GroupBy {
		if f, ok := c.column(name, fmt.Sprintf("group_by[%d]", i)); ok {
			out = append(out, f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Measures)) {
		if f, ok := c.measure("measures."+name, s.Measures[name], aggregates); ok {
			f.Name = name
			out = append(out, f)
		}
	}
	c.unique(out, "measures")
	return out, c.err()
}

// Rows implements RowShaper.
func (s *windowRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	for i, name := range s.PartitionBy {
		c.column(name, fmt.Sprintf("partition_by[%d]", i))
	}
	for i, name := range s.OrderBy {
		c.column(strings.TrimSuffix(name, " desc"), fmt.Sprintf("order_by[%d]", i))
	}
	out := slices.Clone(in)
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		if f, ok := c.measure("columns."+name, s.Columns[name], windows); ok {
			f.Name = name
			out = append(out, f)
		}
	}
	c.unique(out, "columns")
	return out, c.err()
}

// measure types a function over a column.
func (c *checks) measure(path, text string, functions []string) (row.Field, bool) {
	m := call.FindStringSubmatch(text)
	if m == nil || !slices.Contains(functions, m[1]) {
		c.fail(path, "%q is no function of a column; write one of %s, such as %s(column)", text, strings.Join(functions, ", "), functions[len(functions)-1])
		return row.Field{}, false
	}
	name := m[1]
	switch {
	case slices.Contains([]string{"row_number", "rank", "dense_rank"}, name) || name == "count" && m[2] == "":
		if m[2] != "" {
			c.fail(path, "%s takes no column", name)
			return row.Field{}, false
		}
		return row.Field{Type: row.TypeInt64, Required: true}, true
	case m[2] == "":
		c.fail(path, "%s needs a column", name)
		return row.Field{}, false
	}
	f, ok := c.column(m[2], path)
	if !ok {
		return f, false
	}
	number := slices.Contains([]row.Type{row.TypeInt64, row.TypeFloat64, row.TypeNumeric}, f.Type)
	switch {
	case name == "count" || name == "count_distinct":
		return row.Field{Type: row.TypeInt64, Required: true}, true
	case (name == "sum" || name == "avg") && !number:
		c.fail(path, "%s of column %q, which is %s and no number", name, m[2], f.Type)
		return f, false
	case (name == "min" || name == "max") && f.Type == row.TypeJSON:
		c.fail(path, "%s of column %q, which is JSON and has no order", name, m[2])
		return f, false
	case name == "avg" && f.Type == row.TypeInt64:
		f.Type = row.TypeNumeric
	}
	f.Required = f.Required && name != "lag" && name != "lead"
	return f, true
}
