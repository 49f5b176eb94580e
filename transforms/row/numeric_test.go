package row_test

import (
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudact/convergence/transforms/row"
)

var canonical = regexp.MustCompile(`^(0|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?)$`)

var limit, _ = new(big.Rat).SetString("1e29")

// checkNumeric compares Numeric with math/big on one text of the decimal grammar.
func checkNumeric(t interface{ Fatalf(string, ...any) }, text string) {
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is not a decimal", text)
	}
	scaled := new(big.Rat).Mul(exact, big.NewRat(1_000_000_000, 1))
	fits := scaled.IsInt() && new(big.Rat).Abs(exact).Cmp(limit) < 0
	cell, err := row.Numeric(text)
	if fits != (err == nil) {
		t.Fatalf("%q: fits %t, error %v", text, fits, err)
	}
	if err != nil {
		return
	}
	got, ok := new(big.Rat).SetString(cell.Text())
	if !ok || got.Cmp(exact) != 0 {
		t.Fatalf("%q became %q", text, cell.Text())
	}
	if !canonical.MatchString(cell.Text()) || cell.Text() == "-0" {
		t.Fatalf("%q became %q, which is not canonical", text, cell.Text())
	}
	again, err := row.Numeric(cell.Text())
	if err != nil || again != cell {
		t.Fatalf("%q is not stable: %#v, %v", cell.Text(), again, err)
	}
}

func TestNumericAgreesWithMathBig(t *testing.T) {
	texts := rapid.StringMatching(`[+-]?([0-9]{1,32}(\.[0-9]{0,14})?|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		text := texts.Draw(t, "text")
		if i := strings.IndexAny(text, "eE"); i >= 0 {
			if e := strings.TrimLeft(text[i+1:], "+-0"); len(e) == 2 && e > "64" {
				if _, err := row.Numeric(text); err == nil {
					t.Fatalf("%q: an exponent beyond ±64 must be refused", text)
				}
				return
			}
		}
		checkNumeric(t, text)
	})
}

func TestNumericKnownTexts(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0.00": "0", "+1": "1", "007.500": "7.5", "1.": "1", ".5": "0.5", "-.5": "-0.5", "1e-9": "0.000000001",
		"1.5E3": "1500", "1e28": "10000000000000000000000000000", "99999999999999999999999999999.999999999": "99999999999999999999999999999.999999999",
		"0.0000000010000": "0.000000001",
	} {
		if c, err := row.Numeric(text); err != nil || c.Text() != want {
			t.Errorf("%q: got %#v, %v, want %s", text, c, err, want)
		}
	}
	for _, text := range []string{
		"", "-", "+", ".", "e5", "1e", "1e+", "+-1", "-+1", "--1", "1.2.3", "1,5", "0x1", "1_000", " 1", "NaN", "Infinity", "1e999999999999", "1e65",
		"0.0000000001", "1e-10", "1e29", "100000000000000000000000000000", "١",
	} {
		if c, err := row.Numeric(text); err == nil {
			t.Errorf("%q: got %#v, want an error", text, c)
		}
	}
	if _, err := row.Numeric(strings.Repeat("9", 5000)); err == nil || len(err.Error()) > 200 {
		t.Errorf("a long text must be refused with a short error, got %v", err)
	}
}

func FuzzNumeric(f *testing.F) {
	for _, s := range []string{"1.5", "-0", "1e-9", "99999999999999999999999999999.999999999", ".", "1e5e5"} {
		f.Add(s)
	}
	grammar := regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?([0-5]?[0-9]|6[0-4]))?$`)
	f.Fuzz(func(t *testing.T, text string) {
		if grammar.MatchString(text) && len(text) < 200 {
			checkNumeric(t, text)
			return
		}
		if c, err := row.Numeric(text); err == nil && !canonical.MatchString(c.Text()) {
			t.Fatalf("%q became %q", text, c.Text())
		}
	})
}
