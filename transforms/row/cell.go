package row

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"

	"cloud.google.com/go/civil"
)

// Cell is one value. The zero Cell is NULL. Cells are immutable.
type Cell struct {
	kind Type
	n    int64  // BOOL, INT64, FLOAT64 (bits), DATE (days since 1970-01-01), TIMESTAMP (microseconds)
	s    string // NUMERIC (canonical text), STRING, BYTES, JSON
}

// Null returns the NULL cell.
func Null() Cell { return Cell{} }

// Bool returns a BOOL cell.
func Bool(v bool) Cell {
	c := Cell{kind: TypeBool}
	if v {
		c.n = 1
	}
	return c
}

// Int64 returns an INT64 cell.
func Int64(v int64) Cell { return Cell{kind: TypeInt64, n: v} }

// Float64 returns a FLOAT64 cell. Never use it for money.
func Float64(v float64) Cell { return Cell{kind: TypeFloat64, n: int64(math.Float64bits(v))} }

// String returns a STRING cell.
func String(v string) Cell { return Cell{kind: TypeString, s: v} }

// Bytes returns a BYTES cell with a copy of v.
func Bytes(v []byte) Cell { return Cell{kind: TypeBytes, s: string(v)} }

// JSON returns a JSON cell; text must be valid JSON and is kept as it is.
func JSON(text string) Cell { return Cell{kind: TypeJSON, s: text} }

// Numeric returns a NUMERIC cell from decimal text ("-12.50", "1e-3"). More than nine
// decimal places or 29 integer digits is an error: rounding is the caller's decision.
func Numeric(text string) (Cell, error) {
	canonical, err := canonicalNumeric(text)
	if err != nil {
		return Cell{}, err
	}
	return Cell{kind: TypeNumeric, s: canonical}, nil
}

var epoch = civil.Date{Year: 1970, Month: time.January, Day: 1}

// Date returns a DATE cell.
func Date(d civil.Date) Cell { return Cell{kind: TypeDate, n: int64(d.DaysSince(epoch))} }

// Timestamp returns a TIMESTAMP cell, truncated to microseconds as BigQuery stores it.
func Timestamp(t time.Time) Cell { return Cell{kind: TypeTimestamp, n: t.UnixMicro()} }

// Type returns the cell's type, TypeNull for NULL.
func (c Cell) Type() Type { return c.kind }

// IsNull reports whether the cell is NULL.
func (c Cell) IsNull() bool { return c.kind == TypeNull }

// AsBool returns the value of a BOOL cell and whether it is one.
func (c Cell) AsBool() (value, ok bool) { return c.n != 0, c.kind == TypeBool }

// AsInt64 returns the value of an INT64 cell and whether it is one.
func (c Cell) AsInt64() (int64, bool) { return c.n, c.kind == TypeInt64 }

// AsFloat64 returns the value of a FLOAT64 cell and whether it is one.
func (c Cell) AsFloat64() (float64, bool) {
	return math.Float64frombits(uint64(c.n)), c.kind == TypeFloat64
}

// AsDate returns the value of a DATE cell and whether it is one.
func (c Cell) AsDate() (civil.Date, bool) {
	if c.kind != TypeDate {
		return civil.Date{}, false
	}
	return epoch.AddDays(int(c.n)), true
}

// AsTimestamp returns the value of a TIMESTAMP cell in UTC and whether it is one.
func (c Cell) AsTimestamp() (time.Time, bool) {
	return time.UnixMicro(c.n).UTC(), c.kind == TypeTimestamp
}

// AsText returns the text of a STRING, NUMERIC, JSON or BYTES cell and whether it is one.
func (c Cell) AsText() (string, bool) {
	switch c.kind {
	case TypeString, TypeNumeric, TypeJSON, TypeBytes:
		return c.s, true
	default:
		return "", false
	}
}

const timestampLayout = "2006-01-02T15:04:05.999999Z"

// Text returns the value as BigQuery's JSON rows spell it, without quotes; "" for NULL.
func (c Cell) Text() string {
	switch c.kind {
	case TypeNull:
		return ""
	case TypeBool:
		return strconv.FormatBool(c.n != 0)
	case TypeInt64:
		return strconv.FormatInt(c.n, 10)
	case TypeFloat64:
		return formatFloat(math.Float64frombits(uint64(c.n)))
	case TypeDate:
		return epoch.AddDays(int(c.n)).String()
	case TypeTimestamp:
		return time.UnixMicro(c.n).UTC().Format(timestampLayout)
	case TypeBytes:
		return base64.StdEncoding.EncodeToString([]byte(c.s))
	default:
		return c.s
	}
}

func formatFloat(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	default:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
}

// GoString makes test failures readable.
func (c Cell) GoString() string { return fmt.Sprintf("%s(%s)", c.kind, c.Text()) }

// Row is one element: cells in the order of its schema. Rows that were emitted are
// never changed; copy the cells before adding to them.
type Row struct {
	Cells []Cell
}
