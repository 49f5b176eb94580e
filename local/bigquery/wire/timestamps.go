package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// HasTimestamp reports whether a schema holds a TIMESTAMP at any depth.
func HasTimestamp(fields []Field) bool {
	for i := range fields {
		if fields[i].Type == "TIMESTAMP" || HasTimestamp(fields[i].Fields) {
			return true
		}
	}
	return false
}

// Seconds writes microseconds since the epoch as seconds with a fraction.
type Seconds func(micros int64) string

// FloatTimestamps rewrites the encoded rows of a page for clients that do not
// ask for integer timestamps, in one of the service's two forms.
func FloatTimestamps(rows json.RawMessage, fields []Field, form Seconds) (json.RawMessage, error) {
	if !HasTimestamp(fields) {
		return rows, nil
	}
	var page []row
	if err := json.Unmarshal(rows, &page); err != nil {
		return nil, fmt.Errorf("reading a page of rows: %w", err)
	}
	for i := range page {
		if err := page[i].floatTimestamps(fields, form); err != nil {
			return nil, err
		}
	}
	return json.Marshal(page)
}

type row struct {
	F []cell `json:"f"`
}

type cell struct {
	V json.RawMessage `json:"v"`
}

func (r *row) floatTimestamps(fields []Field, form Seconds) error {
	for i := range r.F {
		f := &fields[i]
		if f.Type != "TIMESTAMP" && !HasTimestamp(f.Fields) {
			continue
		}
		v, err := floatValue(r.F[i].V, f, form, f.Repeated())
		if err != nil {
			return err
		}
		r.F[i].V = v
	}
	return nil
}

func floatValue(v json.RawMessage, f *Field, form Seconds, repeated bool) (json.RawMessage, error) {
	if string(v) == "null" {
		return v, nil
	}
	if repeated {
		var items []cell
		if err := json.Unmarshal(v, &items); err != nil {
			return nil, fmt.Errorf("reading an array cell: %w", err)
		}
		for i := range items {
			item, err := floatValue(items[i].V, f, form, false)
			if err != nil {
				return nil, err
			}
			items[i].V = item
		}
		return json.Marshal(items)
	}
	if f.Type == "RECORD" {
		var r row
		if err := json.Unmarshal(v, &r); err != nil {
			return nil, fmt.Errorf("reading a record cell: %w", err)
		}
		if err := r.floatTimestamps(f.Fields, form); err != nil {
			return nil, err
		}
		return json.Marshal(r)
	}
	micros, err := strconv.ParseInt(strings.Trim(string(v), `"`), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading a timestamp cell: %w", err)
	}
	return json.RawMessage(`"` + form(micros) + `"`), nil
}

// PlainSeconds is the form of tabledata.list: 1704164645.123456.
func PlainSeconds(micros int64) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	fraction := strings.TrimRight(fmt.Sprintf("%06d", micros%1e6), "0")
	if fraction == "" {
		fraction = "0"
	}
	return fmt.Sprintf("%s%d.%s", sign, micros/1e6, fraction)
}

// ScientificSeconds is the form of query results: exact digits, with an
// exponent from ten million on, as in 1.704164645123456E9.
func ScientificSeconds(micros int64) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	whole, fraction := micros/1e6, strings.TrimRight(fmt.Sprintf("%06d", micros%1e6), "0")
	if whole < 1e7 {
		if fraction == "" {
			fraction = "0"
		}
		return fmt.Sprintf("%s%d.%s", sign, whole, fraction)
	}
	digits := strconv.FormatInt(whole, 10)
	exponent := len(digits) - 1
	mantissa := strings.TrimRight(digits[1:]+fraction, "0")
	if mantissa == "" {
		mantissa = "0"
	}
	return fmt.Sprintf("%s%s.%sE%d", sign, digits[:1], mantissa, exponent)
}
