package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/invopop/jsonschema"
)

// Values is a query parameter: one scalar or a list of scalars in a document. Numbers
// keep their text.
type Values []string

var errNotScalar = errors.New("must be text, a number, a boolean or a list of them")

// UnmarshalJSON implements json.Unmarshaler.
func (v *Values) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '[' {
		text, err := scalarText(b)
		*v = Values{text}
		if string(b) == "null" {
			*v, err = nil, nil
		}
		return err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	out := make(Values, len(list))
	for i, item := range list {
		text, err := scalarText(item)
		if err != nil {
			return err
		}
		out[i] = text
	}
	*v = out
	return nil
}

// MarshalJSON implements json.Marshaler: a single value is written as text.
func (v Values) MarshalJSON() ([]byte, error) {
	if len(v) == 1 {
		return json.Marshal(v[0])
	}
	return json.Marshal([]string(v))
}

// JSONSchema describes both forms to editors and validation.
func (Values) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: append(scalarSchemas(), &jsonschema.Schema{
		Type: "array", Items: &jsonschema.Schema{OneOf: scalarSchemas()},
	})}
}

func scalarSchemas() []*jsonschema.Schema {
	return []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}
}

// Scalar is a constant of a document: text, number, boolean or null, with its exact
// JSON text. The zero value is null.
type Scalar struct{ json string }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Scalar) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if _, err := scalarText(b); err != nil && string(b) != "null" {
		return err
	}
	s.json = string(b)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (s Scalar) MarshalJSON() ([]byte, error) { return []byte(orElse(s.json, "null")), nil }

// JSONSchema describes a Scalar to editors and validation.
func (Scalar) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: append(scalarSchemas(), &jsonschema.Schema{Type: "null"})}
}

func text(value string) Scalar {
	b, _ := json.Marshal(value)
	return Scalar{json: string(b)}
}

func scalarText(b []byte) (string, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "", errNotScalar
	}
	switch b[0] {
	case '"':
		var text string
		err := json.Unmarshal(b, &text)
		return text, err
	case '{', '[', 'n':
		return "", errNotScalar
	default:
		return string(b), nil
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
