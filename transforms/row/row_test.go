package row_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/transforms/row"
)

func mustNumeric(t testing.TB, text string) row.Cell {
	t.Helper()
	c, err := row.Numeric(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// oneOfEach is a row with a cell of every type, and its schema.
func oneOfEach(t testing.TB) (row.Schema, row.Row) {
	t.Helper()
	schema := row.Schema{
		{Name: "none", Type: row.TypeString},
		{Name: "b", Type: row.TypeBool},
		{Name: "i", Type: row.TypeInt64},
		{Name: "f", Type: row.TypeFloat64},
		{Name: "n", Type: row.TypeNumeric},
		{Name: "s", Type: row.TypeString},
		{Name: "y", Type: row.TypeBytes},
		{Name: "d", Type: row.TypeDate},
		{Name: "t", Type: row.TypeTimestamp},
		{Name: "j", Type: row.TypeJSON},
	}
	return schema, row.Row{Cells: []row.Cell{
		row.Null(), row.Bool(true), row.Int64(math.MinInt64), row.Float64(-1.5), mustNumeric(t, "-12.50"), row.String("a\"\n\x00ü"),
		row.Bytes([]byte{0, 255}), row.Date(civil.Date{Year: 1969, Month: 12, Day: 31}),
		row.Timestamp(time.Date(2026, 2, 3, 4, 5, 6, 789_999, time.FixedZone("x", 3600))), row.JSON(`{"a": [1, 2.50]}`),
	}}
}

func TestTextIsHowBigQuerySpellsValues(t *testing.T) {
	_, r := oneOfEach(t)
	want := []string{"", "true", "-9223372036854775808", "-1.5", "-12.5", "a\"\n\x00ü", "AP8=", "1969-12-31", "2026-02-03T03:05:06.000789Z", `{"a": [1, 2.50]}`}
	for i, c := range r.Cells {
		if c.Text() != want[i] {
			t.Errorf("%s: got %q, want %q", c.Type(), c.Text(), want[i])
		}
	}
	for v, want := range map[float64]string{math.Inf(1): "Infinity", math.Inf(-1): "-Infinity", 1e21: "1e+21", 0.1: "0.1"} {
		if got := row.Float64(v).Text(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := row.Float64(math.NaN()).Text(); got != "NaN" {
		t.Errorf("got %q", got)
	}
}

func TestAccessorsAnswerOnlyForTheirType(t *testing.T) {
	_, r := oneOfEach(t)
	for _, c := range r.Cells {
		_, isBool := c.AsBool()
		_, isInt := c.AsInt64()
		_, isFloat := c.AsFloat64()
		_, isDate := c.AsDate()
		_, isTime := c.AsTimestamp()
		_, isText := c.AsText()
		got := map[row.Type]bool{row.TypeBool: isBool, row.TypeInt64: isInt, row.TypeFloat64: isFloat, row.TypeDate: isDate, row.TypeTimestamp: isTime}
		for typ, yes := range got {
			if yes != (c.Type() == typ) {
				t.Errorf("%#v as %s: %t", c, typ, yes)
			}
		}
		switch c.Type() {
		case row.TypeString, row.TypeNumeric, row.TypeJSON, row.TypeBytes:
			if !isText {
				t.Errorf("%#v has text", c)
			}
		default:
			if isText {
				t.Errorf("%#v has no text", c)
			}
		}
	}
	if !(row.Cell{}).IsNull() || row.Int64(0).IsNull() {
		t.Error("only the zero cell is NULL")
	}
}

func TestBytesAreCopied(t *testing.T) {
	b := []byte{1, 2}
	c := row.Bytes(b)
	b[0] = 9
	if got, _ := c.AsText(); got != "\x01\x02" {
		t.Errorf("got %q", got)
	}
}

func TestAppendJSONIsOneLineThatLoads(t *testing.T) {
	schema, r := oneOfEach(t)
	got := schema.AppendJSON([]byte("x"), r)
	want := `x{"b":true,"i":"-9223372036854775808","f":"-1.5","n":"-12.5","s":"a\"\n\u0000ü","y":"AP8=","d":"1969-12-31","t":"2026-02-03T03:05:06.000789Z","j":{"a": [1, 2.50]}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid(got[1:]) {
		t.Error("not valid JSON")
	}
	pretty := row.Schema{{Name: "j", Type: row.TypeJSON}}.AppendJSON(nil, row.Row{Cells: []row.Cell{row.JSON("{\n \"a\": \"x\\ny\",\r\n \"b\": 1.0\n}")}})
	if bytes.ContainsAny(pretty, "\r\n") || string(pretty) != `{"j":{"a":"x\ny","b":1.0}}` {
		t.Errorf("got %s", pretty)
	}
	if got := row.String("a\xffb").AppendJSON(nil); string(got) != "\"a\ufffdb\"" {
		t.Errorf("invalid UTF-8: got %q", got)
	}
	if got := row.Null().AppendJSON(nil); string(got) != "null" {
		t.Errorf("NULL: got %s", got)
	}
}

func TestSchemaReadsAndWritesBigQuerysForm(t *testing.T) {
	const text = `[{"name":"a","type":"STRING","mode":"REQUIRED","description":"x"},{"name":"b","type":"INTEGER"},{"name":"c","type":"boolean","mode":"nullable"},{"name":"d","type":"Decimal"}]`
	var s row.Schema
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	want := row.Schema{
		{Name: "a", Type: row.TypeString, Required: true, Description: "x"},
		{Name: "b", Type: row.TypeInt64},
		{Name: "c", Type: row.TypeBool},
		{Name: "d", Type: row.TypeNumeric},
	}
	if !reflect.DeepEqual(s, want) {
		t.Fatalf("got %+v", s)
	}
	out, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again row.Schema
	if err := json.Unmarshal(out, &again); err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("%s: %v, %+v", out, err, again)
	}
	if s.Index("c") != 2 || s.Index("C") != -1 || strings.Join(s.Names(), "") != "abcd" {
		t.Error("index or names")
	}
}

func TestSchemaRefusesWhatARowCannotHold(t *testing.T) {
	for name, text := range map[string]string{
		"repeated": `[{"name":"a","type":"STRING","mode":"REPEATED"}]`,
		"record":   `[{"name":"a","type":"RECORD"}]`,
		"null":     `[{"name":"a","type":"NULL"}]`,
		"no type":  `[{"name":"a"}]`,
		"no name":  `[{"type":"STRING"}]`,
		"no text":  `[{"name":"a","type":""}]`,
	} {
		var s row.Schema
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
}

func TestFingerprintSeesNamesTypesAndModesOnly(t *testing.T) {
	base := row.Schema{{Name: "a", Type: row.TypeString}, {Name: "b", Type: row.TypeInt64}}
	if base.Fingerprint() != (row.Schema{{Name: "a", Type: row.TypeString, Description: "x"}, base[1]}).Fingerprint() {
		t.Error("descriptions must not count")
	}
	for name, other := range map[string]row.Schema{
		"order": {base[1], base[0]}, "fewer": base[:1], "name": {{Name: "c", Type: row.TypeString}, base[1]},
		"type": {{Name: "a", Type: row.TypeJSON}, base[1]}, "mode": {{Name: "a", Type: row.TypeString, Required: true}, base[1]},
		"line break in a name": {{Name: "a\" 5 false\n\"b", Type: row.TypeInt64}},
	} {
		if other.Fingerprint() == base.Fingerprint() {
			t.Errorf("%s does not count", name)
		}
	}
}

func TestKeysTellValuesAndTypesApart(t *testing.T) {
	cells := []row.Cell{
		row.Null(), row.String(""), row.String("1"), row.Int64(1), row.Bool(true), row.String("true"), mustNumeric(t, "1"),
		row.Float64(1), row.JSON("1"), row.Bytes([]byte("1")), row.String("1:a"), row.String("b1:a"),
	}
	seen := map[string]string{}
	for _, a := range cells {
		for _, b := range cells {
			key := row.Row{Cells: []row.Cell{a, b}}.Key([]int{0, 1})
			name := a.GoString() + b.GoString()
			if other, dup := seen[key]; dup && other != name {
				t.Errorf("%s and %s have key %q", name, other, key)
			}
			seen[key] = name
		}
	}
	if !bytes.Equal(mustNumeric(t, "1.50").AppendKey(nil), mustNumeric(t, "15e-1").AppendKey(nil)) {
		t.Error("equal NUMERIC values must have one key")
	}
	if !bytes.Equal(row.Float64(0).AppendKey(nil), row.Float64(math.Copysign(0, -1)).AppendKey(nil)) {
		t.Error("0 and -0 must have one key")
	}
}

func TestInsertIDDependsOnEveryPart(t *testing.T) {
	id := row.InsertID("a", "bc")
	if len(id) != 32 || id != row.InsertID("a", "bc") {
		t.Errorf("got %q", id)
	}
	for _, other := range []string{row.InsertID("ab", "c"), row.InsertID("abc"), row.InsertID("a", "bc", ""), row.InsertID("2:bc", "a"), row.InsertID()} {
		if other == id {
			t.Error("different parts have one id")
		}
	}
}
