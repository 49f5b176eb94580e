package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudact/convergence/transforms/expr"
	"github.com/cloudact/convergence/transforms/row"
)

// RowShaper is implemented by configs of row steps. It returns the columns of the rows that a
// step makes of rows with columns in; of returns those of another step, and whether they
// are known. Every mistake is found: an unknown column, an expression whose types do not
// fit. Errors are FieldErrors, possibly joined.
type RowShaper interface {
	Rows(in row.Schema, of func(step string) (row.Schema, bool)) (row.Schema, error)
}

// ColumnError is a FieldError about a byte of a text, such as an expression, and perhaps
// about a name that is none of those that are known.
type ColumnError struct {
	FieldError
	Offset int
	Got    string
	Known  []string
}

// TextOffset returns Offset; the pipeline language finds line and column by it.
func (e *ColumnError) TextOffset() int { return e.Offset }

// Candidates returns the wrong name and those that would do.
func (e *ColumnError) Candidates() (got string, known []string) { return e.Got, e.Known }

// mostListed is the longest list of columns that helps in a message.
const mostListed = 12

// listed adds the columns to a message unless they are too many.
func listed(message string, columns []string) string {
	if len(columns) > mostListed {
		return message
	}
	return message + "; columns are " + strings.Join(columns, ", ")
}

// Variables are the variables of a run that the expressions of a config name, with their
// values. An expression is compiled over the columns of the rows followed by Names, and
// evaluated over the cells of a row followed by Values.
type Variables struct {
	Names  row.Schema `json:"-"`
	Values []row.Cell `json:"-"`
}

// Bind is called by the planner; a config without variables is never bound to any.
func (v *Variables) Bind(names row.Schema, values []row.Cell) { v.Names, v.Values = names, values }

// Bound returns what the config was bound to.
func (v *Variables) Bound() Variables { return *v }

// Expressions returns the paths of keys that hold an expression.
func (s *filterRows) Expressions() []string { return []string{"where"} }

// Expression returns the condition with its variables written as names.
func (s *filterRows) Expression(key string) string {
	return map[string]string{"where": s.Where}[key]
}

// Expression returns the expression of a column with its variables written as names.
func (s *deriveRows) Expression(key string) string {
	return s.Columns[strings.TrimPrefix(key, "columns.")]
}

// Expressions returns the paths of keys that hold an expression.
func (s *deriveRows) Expressions() []string { return []string{"columns.*"} }

// checks gathers the mistakes of a row step.
type checks struct {
	in        row.Schema
	variables row.Schema // what expressions may name beside columns
	errs      []error
}

func (c *checks) fail(path, format string, args ...any) {
	c.errs = append(c.errs, &FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (c *checks) err() error { return errors.Join(c.errs...) }

// column finds a column of the input.
func (c *checks) column(name, path string) (row.Field, bool) {
	i := c.in.Index(name)
	if i < 0 {
		known := c.in.Names()
		c.errs = append(c.errs, &ColumnError{
			FieldError: FieldError{Path: path, Message: listed(fmt.Sprintf("there is no column %q", name), known)}, Got: name, Known: known,
		})
		return row.Field{}, false
	}
	return c.in[i], true
}

// expression compiles an expression and passes its mistakes on.
func (c *checks) expression(path, text string, condition bool) (*expr.Program, bool) {
	names, err := expr.Over(slices.Concat(c.in, c.variables))
	if err != nil {
		c.fail(path, "%s", err)
		return nil, false
	}
	compile := names.Compile
	if condition {
		compile = names.Condition
	}
	program, err := compile(text)
	if err == nil {
		return program, true
	}
	var mistakes expr.Errors
	if !errors.As(err, &mistakes) {
		c.fail(path, "%s", err)
		return nil, false
	}
	for _, m := range mistakes {
		e := &ColumnError{FieldError: FieldError{Path: path, Message: m.Message}, Offset: m.Offset, Got: m.Unknown}
		if m.Unknown != "" {
			e.Known = c.in.Names()
			e.Message = listed(m.Message, e.Known)
		}
		c.errs = append(c.errs, e)
	}
	return nil, false
}

// unique refuses a column that is there twice.
func (c *checks) unique(out row.Schema, path string) {
	for i, f := range out {
		if out[:i].Index(f.Name) >= 0 {
			c.fail(path, "makes column %q twice", f.Name)
		}
	}
}

// Rows implements RowShaper.
func (s *selectRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	var out row.Schema
	for i, name := range s.Columns {
		if f, ok := c.column(name, fmt.Sprintf("columns[%d]", i)); ok {
			out = append(out, f)
		}
	}
	c.unique(out, "columns")
	return out, c.err()
}

// Rows implements RowShaper.
func (s *renameRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	out := slices.Clone(in)
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		if _, ok := c.column(name, "columns."+name); ok {
			out[in.Index(name)].Name = s.Columns[name]
		}
	}
	c.unique(out, "columns")
	return out, c.err()
}

// Rows implements RowShaper.
func (s *castRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	out := slices.Clone(in)
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		t, err := row.ParseType(s.Columns[name])
		if err != nil {
			c.fail("columns."+name, "%s", err)
		}
		if _, ok := c.column(name, "columns."+name); ok && err == nil {
			out[in.Index(name)].Type = t
		}
	}
	return out, c.err()
}

// Rows implements RowShaper.
func (s *filterRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in, variables: s.Names}
	c.expression("where", s.Where, true)
	return in, c.err()
}

// Rows implements RowShaper. All expressions see the columns that come in, not each
// other's.
func (s *deriveRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in, variables: s.Names}
	out := slices.Clone(in)
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		program, ok := c.expression("columns."+name, s.Columns[name], false)
		if !ok {
			continue
		}
		t, nullable := program.Type()
		if want, given := s.Types[name]; given {
			wanted, err := row.ParseType(want)
			if err != nil {
				c.fail("types."+name, "%s", err)
			} else if wanted != t && (wanted != row.TypeNumeric || t != row.TypeInt64) {
				c.fail("columns."+name, "gives %s, but types declares %s", t, wanted)
			}
			t = wanted
		}
		f := row.Field{Name: name, Type: t, Required: !nullable}
		if i := out.Index(name); i >= 0 {
			out[i] = f
		} else {
			out = append(out, f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Types)) {
		if _, ok := s.Columns[name]; !ok {
			c.fail("types."+name, "is no column of this step")
		}
	}
	return out, c.err()
}

// Rows implements RowShaper.
func (s *explodeRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	f, ok := c.column(s.Column, "column")
	if !ok {
		return in, c.err()
	}
	if f.Type != row.TypeJSON && f.Type != row.TypeString {
		c.fail("column", "column %q is %s; a list is in a column of type JSON or STRING", s.Column, f.Type)
	}
	out := slices.Clone(in)
	if s.As != "" && s.As != s.Column {
		out[in.Index(s.Column)].Name = s.As
	}
	c.unique(out, "as")
	return out, c.err()
}

// Rows implements RowShaper. The members of an object are known from its rows only: their
// columns are unknown, which no columns at all say.
func (s *flattenRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	if f, ok := c.column(s.Column, "column"); ok && f.Type != row.TypeJSON && f.Type != row.TypeString {
		c.fail("column", "column %q is %s; an object is in a column of type JSON or STRING", s.Column, f.Type)
	}
	return nil, c.err()
}

// Rows implements RowShaper.
func (s *dedupeRows) Rows(in row.Schema, _ func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	for i, name := range s.Keys {
		c.column(name, fmt.Sprintf("keys[%d]", i))
	}
	if s.OrderBy != "" {
		if f, ok := c.column(s.OrderBy, "order_by"); ok && f.Type == row.TypeJSON {
			c.fail("order_by", "column %q is JSON, which has no order", s.OrderBy)
		}
	}
	return in, c.err()
}

// Rows implements RowShaper.
func (s *joinRows) Rows(in row.Schema, of func(string) (row.Schema, bool)) (row.Schema, error) {
	c := checks{in: in}
	other, known := of(s.With)
	for i, name := range s.On {
		path := fmt.Sprintf("on[%d]", i)
		left, ok := c.column(name, path)
		if !ok || !known {
			continue
		}
		switch at := other.Index(name); {
		case at < 0:
			c.fail(path, "step %q has no column %q; it has %s", s.With, name, strings.Join(other.Names(), ", "))
		case other[at].Type != left.Type:
			c.fail(path, "column %q is %s here and %s in step %q", name, left.Type, other[at].Type, s.With)
		}
	}
	if !known {
		return nil, c.err()
	}
	out := slices.Clone(in)
	for _, f := range other {
		if slices.Contains(s.On, f.Name) {
			continue
		}
		f.Required = f.Required && s.Type != "left"
		out = append(out, f)
	}
	c.unique(out, "with")
	return out, c.err()
}
