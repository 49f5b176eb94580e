// Package infer finds the columns that records of an API would have: the schema that an
// author declares after a first look. It must not know where records come from.
package infer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloudact/convergence/transforms/row"
)

// Columns gathers the columns of records, in the order in which members appear first. The
// zero value is ready.
type Columns struct {
	names []string
	types map[string]row.Type
}

// Add reads one record, a JSON object.
func (c *Columns) Add(record string) error {
	d := json.NewDecoder(strings.NewReader(record))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("infer columns: the record is no JSON object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return fmt.Errorf("infer columns: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("infer columns: %w", err)
		}
		c.member(name.(string), value)
	}
	return nil
}

func (c *Columns) member(name string, value json.RawMessage) {
	if c.types == nil {
		c.types = map[string]row.Type{}
	}
	before, seen := c.types[name]
	if !seen {
		c.names = append(c.names, name)
	}
	c.types[name] = join(before, typeOf(value))
}

// Schema returns the columns, all nullable. One that was null in every record is STRING.
func (c *Columns) Schema() row.Schema {
	out := make(row.Schema, 0, len(c.names))
	for _, name := range c.names {
		t := c.types[name]
		if t == row.TypeNull {
			t = row.TypeString
		}
		out = append(out, row.Field{Name: name, Type: t})
	}
	return out
}

// typeOf is the type of one value, TypeNull for null.
func typeOf(value json.RawMessage) row.Type {
	value = bytes.TrimSpace(value)
	switch value[0] {
	case 'n':
		return row.TypeNull
	case 't', 'f':
		return row.TypeBool
	case '{', '[':
		return row.TypeJSON
	case '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
				return row.TypeTimestamp
			}
		}
		return row.TypeString
	default:
		return numberType(string(value))
	}
}

// numberType is INT64 where a number is whole and fits, NUMERIC where that holds it
// exactly, else FLOAT64.
func numberType(text string) row.Type {
	var i int64
	if !strings.ContainsAny(text, ".eE") && json.Unmarshal([]byte(text), &i) == nil {
		return row.TypeInt64
	}
	if _, err := row.Numeric(text); err == nil {
		return row.TypeNumeric
	}
	return row.TypeFloat64
}

// join is the type that holds the values of two; STRING holds every scalar, JSON all.
func join(a, b row.Type) row.Type {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == b || a == row.TypeNull:
		return b
	case a == row.TypeJSON || b == row.TypeJSON:
		return row.TypeJSON
	case a == row.TypeInt64 && b == row.TypeNumeric:
		return row.TypeNumeric
	case a == row.TypeInt64 && b == row.TypeFloat64, a == row.TypeFloat64 && b == row.TypeNumeric:
		return row.TypeFloat64
	default:
		return row.TypeString
	}
}
