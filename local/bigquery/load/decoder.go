package load

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// Decoder turns JSON objects into rows of a schema. It is for one goroutine.
type Decoder struct {
	fields        *fieldSet
	ignoreUnknown bool
	streaming     bool
	dec           *jsontext.Decoder
}

// DecoderOptions select the rules of a Decoder.
type DecoderOptions struct {
	// IgnoreUnknown drops fields that the schema lacks.
	IgnoreUnknown bool
	// Streaming selects the rules of insertAll.
	Streaming bool
}

// NewDecoder returns a decoder for rows of fields.
func NewDecoder(fields []wire.Field, o DecoderOptions) *Decoder {
	return &Decoder{
		fields: newFieldSet(fields, ""), ignoreUnknown: o.IgnoreUnknown, streaming: o.Streaming,
		dec: jsontext.NewDecoder(bytes.NewReader(nil), jsontext.AllowDuplicateNames(true)),
	}
}

// fieldSet is a list of fields with its index by exact and by lower-case name.
type fieldSet struct {
	fields []wire.Field
	paths  []string
	exact  map[string]int
	lower  map[string]int
	nested []*fieldSet
}

func newFieldSet(fields []wire.Field, prefix string) *fieldSet {
	s := &fieldSet{fields: fields, exact: map[string]int{}, lower: map[string]int{}}
	for i := range fields {
		f := &fields[i]
		path := prefix + f.Name
		s.paths = append(s.paths, path)
		s.exact[`"`+f.Name+`"`] = i
		s.lower[strings.ToLower(f.Name)] = i
		var sub *fieldSet
		if f.Type == "RECORD" {
			sub = newFieldSet(f.Fields, path+".")
		}
		s.nested = append(s.nested, sub)
	}
	return s
}

func (s *fieldSet) find(quoted jsontext.Value) int {
	if i, ok := s.exact[string(quoted)]; ok {
		return i
	}
	if i, ok := s.lower[strings.ToLower(unquote(quoted))]; ok {
		return i
	}
	return -1
}

// Row decodes one JSON object into a value per field, in schema order.
func (d *Decoder) Row(line []byte) ([]driver.Value, *FieldError) {
	d.dec.Reset(bytes.NewBuffer(line))
	if kind := d.dec.PeekKind(); kind != '{' {
		return nil, &FieldError{Message: "Expected a JSON object for the row", Value: clip(line)}
	}
	row := make([]driver.Value, len(d.fields.fields))
	if fieldErr := d.object(d.fields, row); fieldErr != nil {
		return nil, fieldErr
	}
	if rest := bytes.TrimSpace(line[d.dec.InputOffset():]); len(rest) > 0 {
		return nil, &FieldError{Message: "Unexpected text after the JSON object of the row", Value: clip(rest)}
	}
	return row, nil
}

func clip(b []byte) string {
	if len(b) > longestShown {
		b = b[:longestShown]
	}
	return string(b)
}

func syntaxError(err error) *FieldError {
	return &FieldError{Message: fmt.Sprintf("Parser error: %v", err)}
}

// object reads an object into values and checks REQUIRED and REPEATED fields.
func (d *Decoder) object(s *fieldSet, values []driver.Value) *FieldError {
	if _, err := d.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	for d.dec.PeekKind() != '}' {
		name, err := d.dec.ReadValue()
		if err != nil {
			return syntaxError(err)
		}
		i := s.find(name)
		if i < 0 {
			if fieldErr := d.unknown(unquote(name), s); fieldErr != nil {
				return fieldErr
			}
			continue
		}
		v, fieldErr := d.field(s, i)
		if fieldErr != nil {
			return fieldErr
		}
		values[i] = v
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	return s.complete(values)
}

// complete refuses missing REQUIRED fields and makes absent arrays empty.
func (s *fieldSet) complete(values []driver.Value) *FieldError {
	for i, v := range values {
		if v != nil {
			continue
		}
		f := &s.fields[i]
		if f.Required() {
			return badValue(f, s.paths[i], "", fmt.Sprintf("Missing required field: %s.", s.paths[i]))
		}
		if f.Repeated() {
			values[i] = []any{}
		}
	}
	return nil
}

func (d *Decoder) unknown(name string, s *fieldSet) *FieldError {
	if !d.ignoreUnknown {
		path := name
		if len(s.paths) > 0 {
			path = s.paths[0][:len(s.paths[0])-len(s.fields[0].Name)] + name
		}
		return &FieldError{Field: path, Message: fmt.Sprintf("No such field: %s.", path)}
	}
	if err := d.dec.SkipValue(); err != nil {
		return syntaxError(err)
	}
	return nil
}

func (d *Decoder) field(s *fieldSet, i int) (any, *FieldError) {
	f := &s.fields[i]
	kind := d.dec.PeekKind()
	if kind == 'n' {
		if _, err := d.dec.ReadToken(); err != nil {
			return nil, syntaxError(err)
		}
		if f.Required() {
			return nil, badValue(f, s.paths[i], "NULL", fmt.Sprintf("Only optional fields can be set to NULL. Field: %s; Value: NULL", s.paths[i]))
		}
		return nil, nil
	}
	if f.Repeated() {
		return d.array(s, i, kind)
	}
	return d.value(s, i, kind)
}

func (d *Decoder) array(s *fieldSet, i int, kind jsontext.Kind) (any, *FieldError) {
	f, path := &s.fields[i], s.paths[i]
	if kind != '[' {
		raw, err := d.dec.ReadValue()
		if err != nil {
			return nil, syntaxError(err)
		}
		return nil, badValue(f, path, string(raw), fmt.Sprintf("Nonrepeated value specified for repeated field: %s.", path))
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	items := []any{}
	for {
		kind := d.dec.PeekKind()
		if kind == ']' {
			break
		}
		if kind == 'n' {
			return nil, badValue(f, path, "NULL", fmt.Sprintf("Only optional fields can be set to NULL. Field: %s; Value: NULL", path))
		}
		v, fieldErr := d.value(s, i, kind)
		if fieldErr != nil {
			return nil, fieldErr
		}
		items = append(items, v)
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	return items, nil
}

func (d *Decoder) value(s *fieldSet, i int, kind jsontext.Kind) (any, *FieldError) {
	f, path := &s.fields[i], s.paths[i]
	if f.Type == "RECORD" && kind == '{' {
		sub := s.nested[i]
		values := make([]driver.Value, len(sub.fields))
		if fieldErr := d.object(sub, values); fieldErr != nil {
			return nil, fieldErr
		}
		record := make(map[string]any, len(values))
		for k, v := range values {
			record[sub.fields[k].Name] = v
		}
		return record, nil
	}
	raw, err := d.dec.ReadValue()
	if err != nil {
		return nil, syntaxError(err)
	}
	if f.Type == "RECORD" {
		return nil, badValue(f, path, string(raw), fmt.Sprintf("This field: %s is not a record.", path))
	}
	return scalar(f, path, raw, d.streaming)
}
