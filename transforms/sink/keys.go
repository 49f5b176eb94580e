package sink

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/transforms/row"
)

// rawColumn holds the provider's own text of a record. Key fields that are no columns of
// the table are looked up inside it.
const rawColumn = "raw_data"

// keyField is a column, or the path of a value inside rawColumn.
type keyField struct {
	name   string
	column int
	path   []string // empty: the column itself
}

func (f keyField) quoted(alias string) string {
	if len(f.path) == 0 {
		return alias + quoted(f.name)
	}
	return fmt.Sprintf("JSON_VALUE(%s%s, '$.%s')", alias, quoted(rawColumn), strings.Join(f.path, "."))
}

// keyFields returns how the key of a row is found.
func (o Options) keyFields() ([]keyField, error) {
	schema := o.Table.Schema
	out := make([]keyField, 0, len(o.KeyFields))
	for _, name := range o.KeyFields {
		f := keyField{name: name, column: schema.Index(name)}
		if f.column < 0 {
			f.column, f.path = schema.Index(rawColumn), strings.Split(name, ".")
			malformed := slices.ContainsFunc(f.path, func(part string) bool { return !columnPattern.MatchString(part) })
			if f.column < 0 || schema[f.column].Type != row.TypeString || malformed {
				return nil, fmt.Errorf("key_fields names column %q, which the schema of %s does not have", name, o.Table.Name)
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// keys makes the key of a row.
type keys struct {
	fields  []keyField
	columns []int // nil if a field stands inside the raw text
}

func newKeys(o Options) keys {
	fields, _ := o.keyFields() // validated before
	k := keys{fields: fields}
	for _, f := range fields {
		if len(f.path) > 0 {
			k.columns = nil
			return k
		}
		k.columns = append(k.columns, f.column)
	}
	return k
}

// of returns the canonical key of a row.
func (k keys) of(r row.Row) string {
	if k.columns != nil {
		return r.Key(k.columns)
	}
	var b []byte
	for _, f := range k.fields {
		b = f.cell(r).AppendKey(b)
	}
	return string(b)
}

// rowID is the identity of a row within its unit: its key, without one its position.
func (k keys) rowID(u row.Unit, p row.Page, i int) string {
	if len(k.fields) > 0 {
		return row.InsertID(u.ID, k.of(p.Rows[i]))
	}
	return row.InsertID(u.ID, p.Partition, p.First, strconv.Itoa(i))
}

// missing names a key field of the row that is NULL, "" if there is none.
func (k keys) missing(r row.Row) string {
	for _, f := range k.fields {
		if f.cell(r).IsNull() {
			return f.name
		}
	}
	return ""
}

func (f keyField) cell(r row.Row) row.Cell {
	c := r.Cells[f.column]
	if len(f.path) == 0 {
		return c
	}
	text, _ := c.AsText()
	value, ok := valueAt(text, f.path)
	if !ok {
		return row.Null()
	}
	return row.String(value)
}

// valueAt returns the scalar at a path of JSON text; objects, arrays, null and absent
// values are none, as JSON_VALUE has it.
func valueAt(text string, path []string) (string, bool) {
	d := jsontext.NewDecoder(strings.NewReader(text))
	for _, name := range path {
		if !enter(d, name) {
			return "", false
		}
	}
	switch d.PeekKind() {
	case '"', '0', 't', 'f':
		t, err := d.ReadToken()
		return t.String(), err == nil
	}
	return "", false
}

// enter reads up to the value of a member of the object that comes next.
func enter(d *jsontext.Decoder, name string) bool {
	if d.PeekKind() != '{' {
		return false
	}
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if t.String() == name {
			return true
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
	return false
}
