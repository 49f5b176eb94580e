package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far apart two FLOAT64 may be, relative to their size: sums
// depend on the order of the rows.
const tolerance = 1e-12

// matches compares the rows of an answer with what is expected.
func matches(want value, got *answer) error {
	columns := got.Schema.Fields
	if want.null || !want.isArray {
		return fmt.Errorf("the expected answer is no table")
	}
	if len(want.list) != len(got.Rows) {
		return fmt.Errorf("%d rows, want %d", len(got.Rows), len(want.list))
	}
	rows := make([]json.RawMessage, len(got.Rows))
	for i, r := range got.Rows {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		rows[i] = text
	}
	equal := func(w value, g json.RawMessage) bool {
		// A value table has rows that are not structs.
		if !w.isRow && len(columns) == 1 {
			w = value{isRow: true, list: []value{w}}
		}
		return sameStruct(w, columns, g)
	}
	if !sameList(want, rows, equal) {
		return fmt.Errorf("other rows")
	}
	return nil
}

func sameList(want value, got []json.RawMessage, equal func(value, json.RawMessage) bool) bool {
	if len(want.list) != len(got) {
		return false
	}
	if !want.anyHow {
		for i, w := range want.list {
			if !equal(w, got[i]) {
				return false
			}
		}
		return true
	}
	used := make([]bool, len(got))
	for _, w := range want.list {
		found := false
		for i, g := range got {
			if !used[i] && equal(w, g) {
				used[i], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func sameStruct(want value, fields []field, got json.RawMessage) bool {
	var r row
	if !want.isRow || json.Unmarshal(got, &r) != nil || len(want.list) != len(fields) || len(r.F) != len(fields) {
		return false
	}
	for i, f := range fields {
		if !sameValue(want.list[i], f, r.F[i].V) {
			return false
		}
	}
	return true
}

// sameValue compares one cell. The service writes a NULL array as an empty one.
func sameValue(want value, f field, got json.RawMessage) bool {
	isNull := len(got) == 0 || string(got) == "null"
	if f.Mode == "REPEATED" {
		var cells []cell
		if isNull || json.Unmarshal(got, &cells) != nil {
			return false
		}
		if want.null {
			return len(cells) == 0
		}
		element := f
		element.Mode = "NULLABLE"
		items := make([]json.RawMessage, len(cells))
		for i, c := range cells {
			items[i] = c.V
		}
		return want.isArray && sameList(want, items, func(w value, g json.RawMessage) bool { return sameValue(w, element, g) })
	}
	if want.null || isNull {
		return want.null && isNull
	}
	if f.Type == "RECORD" {
		return sameStruct(want, f.Fields, got)
	}
	var text string
	if json.Unmarshal(got, &text) != nil || (want.isArray || want.isRow) && f.Type != "JSON" {
		return false
	}
	return sameScalar(want, f.Type, text)
}

func sameScalar(want value, typ, got string) bool {
	switch typ {
	case "FLOAT":
		return sameFloat(want.scalar, got)
	case "NUMERIC", "BIGNUMERIC":
		a, okA := new(big.Rat).SetString(want.scalar)
		b, okB := new(big.Rat).SetString(got)
		return okA && okB && a.Cmp(b) == 0
	case "BYTES":
		data, err := base64.StdEncoding.DecodeString(got)
		return err == nil && string(data) == want.scalar
	case "TIMESTAMP":
		micros, err := strconv.ParseInt(got, 10, 64)
		t, ok := readTimestamp(want.scalar)
		return err == nil && ok && t.Equal(time.UnixMicro(micros))
	case "DATETIME", "TIME":
		return civil(want.scalar) == civil(got)
	case "JSON":
		return sameJSON(want.raw, got)
	}
	return want.scalar == got
}

func sameFloat(want, got string) bool {
	a, errA := strconv.ParseFloat(want, 64)
	b, errB := strconv.ParseFloat(got, 64)
	if errA != nil || errB != nil {
		return false
	}
	if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= tolerance*math.Max(math.Abs(a), math.Abs(b))
}

// civil writes a date and time of day without zeros at its end.
func civil(text string) string {
	text = strings.Replace(text, "T", " ", 1)
	if strings.Contains(text, ".") {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

var zoneEnd = regexp.MustCompile(`([+-]\d\d)(?::?(\d\d))?$`)

func readTimestamp(text string) (time.Time, bool) {
	m := zoneEnd.FindStringSubmatchIndex(text)
	zone := "+00:00"
	if m != nil && m[0] > len("2006-01-02") {
		minutes := "00"
		if m[4] >= 0 {
			minutes = text[m[4]:m[5]]
		}
		zone, text = text[m[2]:m[3]]+":"+minutes, text[:m[0]]
	}
	t, err := time.Parse("2006-01-02 15:04:05.999999999Z07:00", strings.Replace(text, "T", " ", 1)+strings.Replace(zone, "+00:00", "Z", 1))
	return t, err == nil
}

func sameJSON(a, b string) bool {
	var x, y any
	for text, into := range map[*string]*any{&a: &x, &b: &y} {
		dec := json.NewDecoder(strings.NewReader(*text))
		dec.UseNumber()
		if dec.Decode(into) != nil {
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}

func decodeBase64(text string) string {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return text
	}
	return string(data)
}
