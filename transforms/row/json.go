package row

import (
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

// AppendJSON appends the value in the form that BigQuery loads; JSON cells are written
// as they are.
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
		return append(dst, c.s...)
	case TypeString:
		return appendQuoted(dst, c.s)
	default:
		dst = append(dst, '"')
		dst = append(dst, c.Text()...)
		return append(dst, '"')
	}
}

// appendQuoted replaces invalid UTF-8, which no decoder of ours lets through.
func appendQuoted(dst []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return quoted
	}
	return quoted
}
