package row

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the row as one JSON object without a newline, in the form that
// BigQuery loads: NUMERIC and INT64 as text, NULL cells left out. The row must have as
// many cells as the schema has fields.
func (s Schema) AppendJSON(dst []byte, r Row) []byte {
	dst = append(dst, '{')
	first := true
	for i := range s {
		if r.Cells[i].IsNull() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendQuoted(dst, s[i].Name)
		dst = append(dst, ':')
		dst = r.Cells[i].AppendJSON(dst)
	}
	return append(dst, '}')
}

// AppendJSON appends the value in the form that BigQuery loads, on one line; JSON cells
// are written as they are, but for line breaks between their tokens.
func (c Cell) AppendJSON(dst []byte) []byte {
	switch c.kind {
	case TypeNull:
		return append(dst, "null"...)
	case TypeBool:
		if c.n != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case TypeJSON:
		return appendOneLine(dst, c.s)
	case TypeString:
		return appendQuoted(dst, c.s)
	default:
		dst = append(dst, '"')
		dst = append(dst, c.Text()...)
		return append(dst, '"')
	}
}

// appendOneLine keeps a value within its line of a JSONL file: JSON text has line breaks
// only between tokens, so dropping whitespace does not change it.
func appendOneLine(dst []byte, text string) []byte {
	if !strings.ContainsAny(text, "\r\n") {
		return append(dst, text...)
	}
	v := jsontext.Value(text)
	if err := v.Compact(); err != nil {
		return append(dst, text...)
	}
	return append(dst, v...)
}

// appendQuoted replaces invalid UTF-8, which no decoder of ours lets through.
func appendQuoted(dst []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return quoted
	}
	return quoted
}
