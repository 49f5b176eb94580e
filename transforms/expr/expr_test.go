package expr_test

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"pgregory.net/rapid"

	"github.com/cloudact/convergence/transforms/expr"
	"github.com/cloudact/convergence/transforms/row"
)

var columns = row.Schema{
	{Name: "cost", Type: row.TypeNumeric, Required: true},
	{Name: "credit", Type: row.TypeNumeric},
	{Name: "tokens", Type: row.TypeInt64, Required: true},
	{Name: "ratio", Type: row.TypeFloat64, Required: true},
	{Name: "model", Type: row.TypeString, Required: true},
	{Name: "note", Type: row.TypeString},
	{Name: "day", Type: row.TypeDate, Required: true},
	{Name: "seen", Type: row.TypeTimestamp, Required: true},
	{Name: "ok", Type: row.TypeBool, Required: true},
	{Name: "raw", Type: row.TypeBytes, Required: true},
	{Name: "labels", Type: row.TypeJSON, Required: true},
}

func numeric(t testing.TB, text string) row.Cell {
	t.Helper()
	c, err := row.Numeric(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func cells(t testing.TB) []row.Cell {
	t.Helper()
	return []row.Cell{
		numeric(t, "0.3"), row.Null(), row.Int64(1500), row.Float64(0.5), row.String("gpt-5"), row.Null(),
		row.Date(civil.Date{Year: 2026, Month: 2, Day: 28}), row.Timestamp(time.Date(2026, 2, 28, 23, 59, 0, 0, time.UTC)),
		row.Bool(true), row.Bytes([]byte("ab")), row.JSON(`{"a": 1}`),
	}
}

func names(t testing.TB) *expr.Names {
	t.Helper()
	n, err := expr.Over(columns)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExpressionsOverARow(t *testing.T) {
	n, in := names(t), cells(t)
	for text, want := range map[string]string{
		"cost == numeric('0.1') + numeric('0.2')": "BOOL(true)",
		"cost * tokens":     "NUMERIC(450)",
		"tokens * cost":     "NUMERIC(450)",
		"tokens + cost - 1": "NUMERIC(1499.3)",
		"1 - cost":          "NUMERIC(0.7)",
		"-cost":             "NUMERIC(-0.3)",
		"cost / 7":          "NUMERIC(0.042857143)",
		"numeric('-2') / 3": "NUMERIC(-0.666666667)",
		"2 / numeric('3')":  "NUMERIC(0.666666667)",
		"numeric('0.000000001') * numeric('0.5')":             "NUMERIC(0.000000001)",
		"numeric('0.000000001') * numeric('0.4')":             "NUMERIC(0)",
		"numeric('0.1234567895')":                             "NUMERIC(0.12345679)",
		"round(numeric('2.345'), 2)":                          "NUMERIC(2.35)",
		"abs(numeric('-1.5'))":                                "NUMERIC(1.5)",
		"numeric(tokens) == tokens":                           "BOOL(true)",
		"tokens == numeric('1500.0')":                         "BOOL(true)",
		"numeric('1500') != tokens":                           "BOOL(false)",
		"1499 < numeric('1499.5') && numeric('1500') >= 1500": "BOOL(true)",
		"cost in [numeric('0.30'), numeric('1')]":             "BOOL(true)",
		"tokens / 7":                                       "INT64(214)",
		"tokens % 7":                                       "INT64(2)",
		"ratio * 2.0":                                      "FLOAT64(1)",
		"credit":                                           "NULL()",
		"credit.orValue(numeric('2')) + cost":              "NUMERIC(2.3)",
		"credit.hasValue() || note.hasValue()":             "BOOL(false)",
		"credit.optMap(c, c + 1)":                          "NULL()",
		"note == optional.none()":                          "BOOL(true)",
		"note.orValue(model).upperAscii()":                 "STRING(GPT-5)",
		"model.startsWith('gpt') ? 'openai' : 'other'":     "STRING(openai)",
		"model.matches('^gpt-[0-9]$') && size(model) == 5": "BOOL(true)",
		"day + 1":                  "DATE(2026-03-01)",
		"day - date('2026-02-01')": "INT64(27)",
		"day < date('2026-03-01') && day == date(seen)":           "BOOL(true)",
		"timestamp(day) < seen":                                   "BOOL(true)",
		"seen - seen < duration('1h')":                            "BOOL(true)",
		"seen + duration('1m')":                                   "TIMESTAMP(2026-03-01T00:00:00Z)",
		"string(cost) + ' ' + string(day) + ' ' + string(labels)": `STRING(0.3 2026-02-28 {"a": 1})`,
		"labels": `JSON({"a": 1})`,
		"raw":    "BYTES(YWI=)",
		"ok":     "BOOL(true)",
	} {
		p, err := n.Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := p.Eval(in)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if fmt.Sprintf("%#v", got) != want {
			t.Errorf("%s = %#v, want %s", text, got, want)
		}
		if kind, nullable := p.Type(); !got.IsNull() && got.Type() != kind || got.IsNull() && !nullable {
			t.Errorf("%s is declared %s, nullable %t, and gave %#v", text, kind, nullable, got)
		}
	}
}

func TestMistakesAreFoundWhereTheyStandBeforeAnythingRuns(t *testing.T) {
	n := names(t)
	for text, want := range map[string]string{
		"cost * 0.1":                   `5: "*" cannot be applied to (numeric, double); a double never mixes with money: write the number as numeric('0.1')`,
		"cost > ratio":                 `5: ">" cannot be applied to (numeric, double); a double never mixes with money: write the number as numeric('0.1')`,
		"0.5 == cost":                  `4: "==" cannot be applied to (double, numeric); a double never mixes with money: write the number as numeric('0.1')`,
		"tokens * 0.5":                 `7: "*" cannot be applied to (int, double)`,
		"numeric(0.1)":                 `7: "numeric" cannot be applied to (double)`,
		"credit + cost":                `7: "+" cannot be applied to (optional(numeric), numeric); a nullable column is an optional: write column.orValue(...) or column.hasValue()`,
		"note == 'x'":                  `5: "==" cannot be applied to (optional(string), string); a nullable column is an optional: write column.orValue(...) or column.hasValue()`,
		"größe + 1":                    `2: token recognition error at: 'ö'`,
		"model == 'ä' && costs > 1":    `17: unknown name "costs"`,
		"[cost, 0.1]":                  `7: expected type 'numeric' but found 'double'`,
		"dyn(cost) * dyn(0.1)":         `3: undeclared reference`,
		"labels == labels":             `7: "==" cannot be applied to (json, json)`,
		"[1,2].all(x, x > 0)":          `9: undeclared reference`,
		"cost >":                       `6: the expression ends too early`,
		"model\n  + 1":                 `8: "+" cannot be applied to (string, int)`,
		"[1]":                          `0: gives list(int), which no column can hold`,
		"date('2026-02-30') < day":     `5: date("2026-02-30"): write it as YYYY-MM-DD`,
		"model.matches('(')":           `14: invalid matches argument`,
		"duration('1h')":               `0: gives google.protobuf.Duration, which no column can hold`,
		"numeric('x') + cost":          `8: numeric("x"): not a decimal number of at most 19 places`,
		strings.Repeat("(", 200) + "1": `0: `,
	} {
		_, err := n.Compile(text)
		var all expr.Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Errorf("%s: error is %v", text, err)
			continue
		}
		if got := fmt.Sprintf("%d: %s", all[0].TextOffset(), all[0].Message); !strings.HasPrefix(got, want) && !strings.Contains(want, "undeclared") {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestConditionsAreTrueOrFalse(t *testing.T) {
	n := names(t)
	for text, want := range map[string]string{
		"cost":                                 "must be true or false, not NUMERIC",
		"note.optMap(x, x == 'a')":             "may be NULL; write ….orValue(false) to say what NULL means",
		"cost > 0":                             "",
		"note.orValue('') == '' && tokens > 0": "",
	} {
		p, err := n.Condition(text)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: error is %v, want %q", text, err, want)
			continue
		}
		if err == nil {
			if holds, err := p.Holds(cells(t)); err != nil || !holds {
				t.Errorf("%s: %t, %v", text, holds, err)
			}
		}
	}
}

func TestWhatCannotBeComputedIsAnErrorOfItsRow(t *testing.T) {
	n := names(t)
	for text, want := range map[string]string{
		"cost / (tokens - 1500)":                                 "division of 0.3 by zero",
		"tokens / (tokens - 1500)":                               "division by zero",
		"numeric('9' + '9999999999999999999999999999') * tokens": "numeric overflow",
		"tokens * 9223372036854775807":                           "overflow",
		"credit.value()":                                         "optional.none() dereference",
		"numeric(model)":                                         `numeric("gpt-5"): not a decimal number`,
		"day + 9223372036854775807":                              "date overflow",
		"date(model)":                                            "write it as YYYY-MM-DD",
		"round(cost, tokens)":                                    "round to 1500 places",
	} {
		p, err := n.Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := p.Eval(cells(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %#v, %v, want %q", text, got, err, want)
		}
	}
	p, err := n.Compile("cost")
	if err != nil {
		t.Fatal(err)
	}
	in := cells(t)
	in[0] = row.Null()
	if _, err := p.Eval(in); err == nil || !strings.Contains(err.Error(), "column cost is NULL") {
		t.Errorf("NULL in a required column: %v", err)
	}
	if _, err := p.Eval(in[:3]); err == nil {
		t.Error("a short row was evaluated")
	}
}

func TestUsesNamesTheColumns(t *testing.T) {
	p, err := names(t).Compile("note.orValue(model) == 'a' || cost > numeric('1')")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Uses()); got != "[cost model note]" {
		t.Errorf("uses %s", got)
	}
}

// TestArithmeticIsThatOfNUMERIC compares with rationals rounded half away from zero.
func TestArithmeticIsThatOfNUMERIC(t *testing.T) {
	n, err := expr.Over(row.Schema{{Name: "a", Type: row.TypeNumeric, Required: true}, {Name: "b", Type: row.TypeNumeric, Required: true}})
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]*expr.Program{}
	for _, op := range []string{"+", "-", "*", "/", "<", "=="} {
		if programs[op], err = n.Compile("a " + op + " b"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,28})(\.[0-9]{0,8}[1-9])?`)
		x, y := text.Draw(t, "a"), text.Draw(t, "b")
		op := rapid.SampledFrom([]string{"+", "-", "*", "/", "<", "=="}).Draw(t, "op")
		a, _ := new(big.Rat).SetString(x)
		b, _ := new(big.Rat).SetString(y)
		cx, errX := row.Numeric(x)
		cy, errY := row.Numeric(y)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		got, err := programs[op].Eval([]row.Cell{cx, cy})
		want := new(big.Rat)
		switch op {
		case "+":
			want.Add(a, b)
		case "-":
			want.Sub(a, b)
		case "*":
			want.Mul(a, b)
		case "/":
			if b.Sign() == 0 {
				if err == nil {
					t.Fatalf("%s / 0 = %#v", x, got)
				}
				return
			}
			want.Quo(a, b)
		default:
			holds, _ := got.AsBool()
			if c := a.Cmp(b); err != nil || op == "<" && holds != (c < 0) || op == "==" && holds != (c == 0) {
				t.Fatalf("%s %s %s is %t, %v", x, op, y, holds, err)
			}
			return
		}
		rounded := want.FloatString(9) // rounds half away from zero
		if strings.IndexByte(strings.TrimPrefix(rounded, "-"), '.') > 29 {
			if err == nil {
				t.Fatalf("%s %s %s = %#v, which overflows", x, op, y, got)
			}
			return
		}
		wanted, wantErr := row.Numeric(rounded)
		if err != nil || wantErr != nil || got != wanted {
			t.Fatalf("%s %s %s = %#v, %v; want %#v, %v", x, op, y, got, err, wanted, wantErr)
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{"cost > numeric('1')", "note.orValue('') + model", "[1,2][0] == tokens", "{'a': 1}['a']", "day + 1", "'%d'.format([tokens])", "model.matches('(a*)*b')"} {
		f.Add(text)
	}
	n, in := names(f), cells(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := n.Compile(text)
		var all expr.Errors
		if err != nil {
			if !errors.As(err, &all) {
				t.Fatalf("%q: error is %T: %v", text, err, err)
			}
			for _, e := range all {
				if e.Offset < 0 || e.Offset > len(text) || e.Message == "" {
					t.Fatalf("%q: %+v", text, e)
				}
			}
			return
		}
		kind, nullable := p.Type()
		got, err := p.Eval(in)
		if err == nil && (got.IsNull() && !nullable || !got.IsNull() && got.Type() != kind) {
			t.Fatalf("%q is declared %s, nullable %t, and gave %#v", text, kind, nullable, got)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	p, err := names(b).Condition("cost * tokens > numeric('10') && model.startsWith('gpt') && !credit.hasValue()")
	if err != nil {
		b.Fatal(err)
	}
	in := cells(b)
	b.ReportAllocs()
	for b.Loop() {
		if holds, err := p.Holds(in); err != nil || !holds {
			b.Fatal(holds, err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	n := names(b)
	for b.Loop() {
		if _, err := n.Condition("cost * tokens > numeric('10') && model.startsWith('gpt')"); err != nil {
			b.Fatal(err)
		}
	}
}
