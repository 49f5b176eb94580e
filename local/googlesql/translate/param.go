package translate

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// Value is a query parameter's value as clients send it: a scalar in Text, an
// array's elements in Elems, a struct's fields in Fields by name. Null marks
// NULL; an array is never NULL.
type Value struct {
	Null   bool
	Text   string
	Elems  []Value
	Fields map[string]Value
}

// ParamText is the argument to bind for a parameter of a GoogleSQL type: nil
// for NULL, else text. Scalars keep the text clients send (BYTES in base64);
// arrays and structs become JSON.
func ParamText(googleSQLType string, v Value) (any, error) {
	t, err := analyze.ParseType(googleSQLType)
	if err != nil {
		return nil, err
	}
	if t.Name != "ARRAY" && t.Name != "STRUCT" {
		if v.Null {
			return nil, nil
		}
		return v.Text, nil
	}
	if v.Null {
		return nil, nil
	}
	plain, err := paramJSON(t, v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain); err != nil {
		return nil, fmt.Errorf("encoding a parameter of type %s: %w", googleSQLType, err)
	}
	return b.String(), nil
}

// paramJSON makes lists of both arrays and structs: fields may share a name.
func paramJSON(t *analyze.Type, v Value) (any, error) {
	if v.Null {
		return nil, nil
	}
	switch t.Name {
	case "ARRAY":
		list := make([]any, len(v.Elems))
		for i, e := range v.Elems {
			item, err := paramJSON(t.Elem, e)
			if err != nil {
				return nil, err
			}
			list[i] = item
		}
		return list, nil
	case "STRUCT":
		list := make([]any, len(t.Fields))
		for i, f := range t.Fields {
			field, ok := v.Fields[f.Name]
			if !ok {
				field.Null = true
			}
			item, err := paramJSON(f.Type, field)
			if err != nil {
				return nil, err
			}
			list[i] = item
		}
		return list, nil
	}
	return v.Text, nil
}
