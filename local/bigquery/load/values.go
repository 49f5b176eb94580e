// Package load turns the bytes of load jobs and streamed rows into rows for
// DuckDB, with BigQuery's own rules: exact decimals, REQUIRED fields, unknown
// fields, and errors that name row and field.
// It must not know HTTP, jobs or where tables live.
package load

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// FieldError is what is wrong with one field of one row.
type FieldError struct {
	Field   string // dotted path, empty for the row itself
	Type    string // GoogleSQL name of the field's type
	Value   string // the offending text, possibly cut
	Message string
}

// Error returns the message without the row.
func (e *FieldError) Error() string { return e.Message }

// typeNames are the GoogleSQL names shown in load errors.
var typeNames = map[string]string{"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}

// TypeName is the GoogleSQL name of a legacy type name.
func TypeName(legacy string) string {
	if name, ok := typeNames[legacy]; ok {
		return name
	}
	return legacy
}

const longestShown = 100

func badValue(f *wire.Field, path, text, message string) *FieldError {
	if len(text) > longestShown {
		text = text[:longestShown]
	}
	return &FieldError{Field: path, Type: TypeName(f.Type), Value: text, Message: message}
}

// scalar converts a JSON scalar. streaming selects the rules of insertAll,
// where JSON columns come as text and timestamps may be dates.
func scalar(f *wire.Field, path string, raw jsontext.Value, streaming bool) (any, *FieldError) {
	if f.Type == "JSON" {
		return jsonValue(f, path, raw, streaming)
	}
	switch raw.Kind() {
	case '"':
		return fromText(f, path, unquote(raw), streaming)
	case '0':
		return fromNumber(f, path, string(raw))
	case 't', 'f':
		return fromBool(f, path, string(raw))
	case '[':
		return nil, badValue(f, path, string(raw), fmt.Sprintf("Array specified for non-repeated field: %s.", path))
	}
	return nil, badValue(f, path, string(raw), fmt.Sprintf("JSON object specified for non-record field: %s.", path))
}

// unquote returns the text of a JSON string that the decoder has checked.
func unquote(raw jsontext.Value) string {
	for _, c := range raw {
		if c == '\\' {
			out, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return string(raw[1 : len(raw)-1])
			}
			return string(out)
		}
	}
	return string(raw[1 : len(raw)-1])
}

// jsonValue keeps a JSON column as text for storage.
func jsonValue(f *wire.Field, path string, raw jsontext.Value, streaming bool) (any, *FieldError) {
	text := append(jsontext.Value(nil), raw...)
	if streaming && raw.Kind() == '"' {
		text = jsontext.Value(unquote(raw))
	}
	if err := text.Format(jsontext.ReorderRawObjects(true)); err != nil {
		return nil, badValue(f, path, string(text), "Invalid JSON value: "+string(text))
	}
	return json.RawMessage(text), nil
}

func fromBool(f *wire.Field, path, text string) (any, *FieldError) {
	switch f.Type {
	case "BOOLEAN":
		return text == "true", nil
	case "STRING":
		return text, nil
	}
	return nil, conversionError(f, path, text)
}

func fromNumber(f *wire.Field, path, text string) (any, *FieldError) {
	switch f.Type {
	case "TIMESTAMP":
		micros, ok := parseDecimal(text, 6)
		if n, small := micros.(int64); ok && small && inRange(time.UnixMicro(n).UTC()) {
			return time.UnixMicro(n).UTC(), nil
		}
		return nil, conversionError(f, path, text)
	case "STRING":
		return text, nil
	case "INTEGER", "FLOAT", "NUMERIC", "BIGNUMERIC":
		return fromText(f, path, text, false)
	}
	return nil, conversionError(f, path, text)
}

// fromText converts the text of a scalar; CSV cells come this way too.
func fromText(f *wire.Field, path, text string, dateOnly bool) (any, *FieldError) {
	var v any
	var ok bool
	switch f.Type {
	case "STRING":
		return checkLength(f, path, text, len([]rune(text)))
	case "INTEGER":
		v, ok = parseInteger(text)
	case "FLOAT":
		v, ok = parseFloat(text)
	case "NUMERIC":
		v, ok = parseDecimal(text, numericScale)
	case "BIGNUMERIC":
		v, ok = parseDecimal(text, bigNumericScale)
	case "BOOLEAN":
		v, ok = parseBool(text)
	case "DATE":
		v, ok = parseDate(text)
	case "TIME":
		v, ok = parseTime(text)
	case "DATETIME":
		v, ok = parseDatetime(text)
	case "TIMESTAMP":
		v, ok = parseTimestamp(text, dateOnly)
	case "BYTES":
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, conversionError(f, path, text)
		}
		return checkLength(f, path, b, len(b))
	}
	if !ok {
		return nil, conversionError(f, path, text)
	}
	return v, nil
}

func checkLength(f *wire.Field, path string, v any, length int) (any, *FieldError) {
	if f.MaxLength == "" {
		return v, nil
	}
	if limit, err := strconv.Atoi(f.MaxLength); err == nil && length > limit {
		return nil, badValue(f, path, "", fmt.Sprintf("Field %s: value of %s(%s) has %d characters", path, f.Type, f.MaxLength, length))
	}
	return v, nil
}

func conversionError(f *wire.Field, path, text string) *FieldError {
	shown := text
	if len(shown) > longestShown {
		shown = shown[:longestShown]
	}
	var message string
	switch f.Type {
	case "NUMERIC", "BIGNUMERIC":
		message = fmt.Sprintf("Invalid %s value: %s", f.Type, shown)
	case "TIMESTAMP":
		message = fmt.Sprintf("Could not parse '%s' as a timestamp. Required format is YYYY-MM-DD HH:MM[:SS[.SSSSSS]] or YYYY/MM/DD HH:MM[:SS[.SSSSSS]]", shown)
	case "INTEGER", "FLOAT", "BOOLEAN":
		message = fmt.Sprintf("Could not convert value to %s. Field: %s; Value: %s", strings.ToLower(f.Type), path, shown)
	case "BYTES":
		message = fmt.Sprintf("Could not decode base64 string to bytes. Field: %s; Value: %s", path, shown)
	default:
		message = fmt.Sprintf("Could not parse '%s' as %s for field %s", shown, f.Type, path)
	}
	return badValue(f, path, text, message)
}

// parseInteger accepts an integer and a decimal whose fraction is zero.
func parseInteger(text string) (any, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	v, ok := parseDecimal(text, 0)
	if !ok {
		return nil, false
	}
	n, ok := v.(int64)
	return n, ok
}

func parseFloat(text string) (any, bool) {
	switch strings.ToLower(text) {
	case "nan":
		return math.NaN(), true
	case "infinity", "inf", "+inf", "+infinity":
		return math.Inf(1), true
	case "-infinity", "-inf":
		return math.Inf(-1), true
	}
	if strings.ContainsAny(text, "xXpP_") {
		return nil, false
	}
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil
}

func parseBool(text string) (any, bool) {
	switch strings.ToLower(text) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return nil, false
}

// CheckText checks a scalar's text against a GoogleSQL type. The error says
// that it is no such value. Text, JSON, FLOAT64 and intervals are not looked
// at: the SQL that takes them does that.
func CheckText(typeName, text string) error {
	switch typeName {
	case "STRING", "JSON", "FLOAT64", "INTERVAL":
		return nil
	}
	f := wire.Field{Name: "value", Type: typeName}
	for legacy, name := range typeNames {
		if name == typeName {
			f.Type = legacy
		}
	}
	if _, fieldErr := fromText(&f, f.Name, text, true); fieldErr != nil {
		return fieldErr
	}
	return nil
}
