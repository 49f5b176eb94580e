package source

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/transforms/row"
)

// Codes of row.Reject.
const (
	rejectInvalid  = "INVALID_VALUE"
	rejectRange    = "OUT_OF_RANGE"
	rejectRequired = "MISSING_REQUIRED"
)

// cellError says why a value does not fit its column.
type cellError struct {
	code    string
	message string
}

// Error implements error.
func (e *cellError) Error() string { return e.message }

func wrongType(raw string, t row.Type) error {
	return &cellError{rejectInvalid, fmt.Sprintf("%s is not a %s", clip(raw, 60), t)}
}

func outOfRange(raw string, t row.Type) error {
	return &cellError{rejectRange, fmt.Sprintf("%s does not fit %s", clip(raw, 60), t)}
}

// cellOf types one JSON value of valid JSON text.
func cellOf(raw []byte, t row.Type) (row.Cell, error) { return cellOfText(string(raw), t) }

// cellOfText types one JSON value. Strings of the result may share memory with raw.
func cellOfText(raw string, t row.Type) (row.Cell, error) {
	switch raw[0] {
	case 'n':
		return row.Null(), nil
	case 't', 'f':
		return boolCell(raw, t)
	case '"':
		return stringCell(raw, t)
	case '{', '[':
		if t == row.TypeJSON {
			return row.JSON(raw), nil
		}
		if t == row.TypeString {
			return row.String(raw), nil
		}
		return row.Null(), wrongType(raw, t)
	default:
		return numberCell(raw, t)
	}
}

func boolCell(raw string, t row.Type) (row.Cell, error) {
	switch t {
	case row.TypeBool:
		return row.Bool(raw[0] == 't'), nil
	case row.TypeString:
		return row.String(raw), nil
	case row.TypeJSON:
		return row.JSON(raw), nil
	default:
		return row.Null(), wrongType(raw, t)
	}
}

// stringCell also reads the quoted numbers that Google's APIs use for 64-bit values.
func stringCell(raw string, t row.Type) (row.Cell, error) {
	if t == row.TypeJSON {
		return row.JSON(raw), nil
	}
	text, err := unquote(raw)
	if err != nil {
		return row.Null(), wrongType(raw, t)
	}
	switch t {
	case row.TypeString:
		return row.String(text), nil
	case row.TypeDate:
		if d, err := civil.ParseDate(text); err == nil {
			return row.Date(d), nil
		}
	case row.TypeTimestamp:
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return row.Timestamp(at), nil
		}
	case row.TypeBytes:
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return row.Bytes(b), nil
		}
	case row.TypeInt64, row.TypeNumeric, row.TypeFloat64:
		if isNumber(text) {
			return numberCell(text, t)
		}
	}
	return row.Null(), wrongType(raw, t)
}

func unquote(raw string) (string, error) {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "+-.eE0123456789") == "" && json.Valid([]byte(text))
}

// numberCell types a JSON number by its text; numbers of DATE and TIMESTAMP columns are
// Unix seconds.
func numberCell(raw string, t row.Type) (row.Cell, error) {
	switch t {
	case row.TypeInt64:
		n, err := integer(raw, t)
		return row.Int64(n), err
	case row.TypeNumeric:
		c, err := row.Numeric(raw)
		if err != nil {
			return row.Null(), &cellError{rejectRange, err.Error()}
		}
		return c, nil
	case row.TypeFloat64:
		v, err := strconv.ParseFloat(raw, 64)
		if err != nil {
			return row.Null(), outOfRange(raw, t)
		}
		return row.Float64(v), nil
	case row.TypeString:
		return row.String(raw), nil
	case row.TypeJSON:
		return row.JSON(raw), nil
	case row.TypeDate, row.TypeTimestamp:
		return instant(raw, t)
	default:
		return row.Null(), wrongType(raw, t)
	}
}

// integer accepts "12", and "12.0" and "1e3" because their value is whole.
func integer(raw string, t row.Type) (int64, error) {
	n, err := strconv.ParseInt(raw, 10, 64)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, strconv.ErrRange) {
		return 0, outOfRange(raw, t)
	}
	exact, err := row.Numeric(raw)
	if err != nil {
		return 0, wrongType(raw, t)
	}
	canonical, _ := exact.AsText()
	n, err = strconv.ParseInt(canonical, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, outOfRange(raw, t)
	case err != nil:
		return 0, wrongType(raw, t)
	}
	return n, nil
}

// latest is the end of BigQuery's calendar, 9999-12-31T23:59:59Z.
const earliest, latest = -62135596800, 253402300799

func instant(raw string, t row.Type) (row.Cell, error) {
	seconds, err := integer(raw, t)
	if err != nil {
		return row.Null(), err
	}
	if seconds < earliest || seconds > latest {
		return row.Null(), outOfRange(raw, t)
	}
	at := time.Unix(seconds, 0).UTC()
	if t == row.TypeDate {
		return row.Date(civil.DateOf(at)), nil
	}
	return row.Timestamp(at), nil
}
