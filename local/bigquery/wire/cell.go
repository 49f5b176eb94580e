package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// Formats of temporal cells.
const (
	dateLayout = "2006-01-02"
)

// AppendRow appends a row of driver values as {"f":[{"v":..},..]}. TIMESTAMP
// cells are integer microseconds; ConvertTimestamps makes the float form.
func AppendRow(dst []byte, fields []Field, values []any) ([]byte, error) {
	dst = append(dst, `{"f":[`...)
	for i := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendCell(dst, &fields[i], values[i]); err != nil {
			return nil, fmt.Errorf("encoding column %s: %w", fields[i].Name, err)
		}
	}
	return append(dst, ']', '}'), nil
}

func appendCell(dst []byte, f *Field, v any) ([]byte, error) {
	dst = append(dst, `{"v":`...)
	var err error
	if f.Repeated() {
		dst, err = appendArray(dst, f, v)
	} else {
		dst, err = appendValue(dst, f, v)
	}
	return append(dst, '}'), err
}

// appendArray writes a NULL array as an empty one, as the service does.
func appendArray(dst []byte, f *Field, v any) ([]byte, error) {
	items, ok := v.([]any)
	if !ok && v != nil {
		return dst, fmt.Errorf("%T is not an array", v)
	}
	dst = append(dst, '[')
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if item == nil {
			return dst, Invalid("Array cannot have a null element; error in writing field %s", f.Name)
		}
		dst = append(dst, `{"v":`...)
		var err error
		if dst, err = appendValue(dst, f, item); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

func appendValue(dst []byte, f *Field, v any) ([]byte, error) {
	if v == nil {
		return append(dst, "null"...), nil
	}
	if f.Type == "RECORD" {
		return appendRecord(dst, f, v)
	}
	start := len(dst)
	dst = append(dst, '"')
	switch x := v.(type) {
	case int64:
		return append(strconv.AppendInt(dst, x, 10), '"'), nil
	case bool:
		return append(strconv.AppendBool(dst, x), '"'), nil
	case float64:
		return append(appendFloat(dst, x), '"'), nil
	case duckdb.Decimal:
		return append(appendDecimal(dst, x.Value, int(x.Scale)), '"'), nil
	case time.Time:
		return append(appendTime(dst, f.Type, x), '"'), nil
	case []byte:
		return append(base64.StdEncoding.AppendEncode(dst, x), '"'), nil
	case string:
		return appendString(dst[:start], plainJSON(f, x)), nil
	case *big.Int:
		return append(x.Append(dst, 10), '"'), nil
	case duckdb.Interval:
		return append(append(dst, formatInterval(x)...), '"'), nil
	case int32:
		return append(strconv.AppendInt(dst, int64(x), 10), '"'), nil
	}
	return dst, fmt.Errorf("no encoding for %T as %s", v, f.Type)
}

// plainJSON undoes the escapes that a JSON encoder made for HTML's sake.
func plainJSON(f *Field, text string) string {
	if f.Type != "JSON" || !strings.Contains(text, `\u00`) {
		return text
	}
	plain := jsontext.Value(text)
	if err := plain.Format(); err != nil {
		return text
	}
	return string(plain)
}

func appendRecord(dst []byte, f *Field, v any) ([]byte, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return dst, fmt.Errorf("%T is not a struct", v)
	}
	dst = append(dst, `{"f":[`...)
	for i := range f.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		sub := &f.Fields[i]
		value, ok := m[sub.Name]
		if !ok {
			value = foldedField(m, sub.Name)
		}
		var err error
		if dst, err = appendCell(dst, sub, value); err != nil {
			return dst, err
		}
	}
	return append(dst, ']', '}'), nil
}

// foldedField finds a struct field whose stored name differs in case only.
func foldedField(m map[string]any, name string) any {
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

func appendFloat(dst []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	case x == math.Trunc(x) && math.Abs(x) < 1e15:
		return strconv.AppendFloat(dst, x, 'f', 1, 64)
	}
	return strconv.AppendFloat(dst, x, 'g', -1, 64)
}

// appendDecimal writes an exact decimal without trailing zeros.
func appendDecimal(dst []byte, unscaled *big.Int, scale int) []byte {
	text := new(big.Int).Abs(unscaled).String()
	if len(text) <= scale {
		text = strings.Repeat("0", scale-len(text)+1) + text
	}
	if unscaled.Sign() < 0 {
		dst = append(dst, '-')
	}
	whole, fraction := text[:len(text)-scale], strings.TrimRight(text[len(text)-scale:], "0")
	dst = append(dst, whole...)
	if fraction != "" {
		dst = append(append(dst, '.'), fraction...)
	}
	return dst
}

func appendTime(dst []byte, fieldType string, t time.Time) []byte {
	t = t.UTC()
	switch fieldType {
	case "DATE":
		return t.AppendFormat(dst, dateLayout)
	case "TIMESTAMP":
		return strconv.AppendInt(dst, t.UnixMicro(), 10)
	case "TIME":
		return appendFraction(t.AppendFormat(dst, "15:04:05"), t)
	}
	return appendFraction(t.AppendFormat(dst, "2006-01-02T15:04:05"), t)
}

// appendFraction writes six digits or nothing, as recorded.
func appendFraction(dst []byte, t time.Time) []byte {
	if t.Nanosecond() == 0 {
		return dst
	}
	return append(dst, fmt.Sprintf(".%06d", t.Nanosecond()/1000)...)
}

// formatInterval writes "Y-M D H:M:S[.ffffff]" with a sign for each part.
func formatInterval(iv duckdb.Interval) string {
	months, micros := int64(iv.Months), iv.Micros
	sign := ""
	if months < 0 {
		sign, months = "-", -months
	}
	out := fmt.Sprintf("%s%d-%d %d ", sign, months/12, months%12, iv.Days)
	if micros < 0 {
		out, micros = out+"-", -micros
	}
	seconds := micros / 1e6
	out += fmt.Sprintf("%d:%d:%d", seconds/3600, seconds/60%60, seconds%60)
	if f := micros % 1e6; f != 0 {
		out += fmt.Sprintf(".%06d", f)
	}
	return out
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string; invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
