package row

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	numericScale         = 9
	numericIntegerDigits = 29
	maxExponent          = 64
)

// canonicalNumeric turns JSON or SQL decimal text into "-?digits[.digits]" without
// leading or trailing zeros.
func canonicalNumeric(text string) (string, error) {
	mantissa, negative := strings.CutPrefix(text, "-")
	if !negative {
		mantissa = strings.TrimPrefix(mantissa, "+")
	}
	exponent := 0
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		e, err := strconv.Atoi(mantissa[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return "", fmt.Errorf("%q is not a NUMERIC", clip(text))
		}
		exponent, mantissa = e, mantissa[:i]
	}
	integer, fraction, _ := strings.Cut(mantissa, ".")
	if !digitsOnly(integer) || !digitsOnly(fraction) || integer+fraction == "" {
		return "", fmt.Errorf("%q is not a NUMERIC", clip(text))
	}
	integer, fraction = shift(integer, fraction, exponent)
	integer = strings.TrimLeft(integer, "0")
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > numericScale {
		return "", fmt.Errorf("%q has more than %d decimal places", clip(text), numericScale)
	}
	if len(integer) > numericIntegerDigits {
		return "", fmt.Errorf("%q has more than %d integer digits", clip(text), numericIntegerDigits)
	}
	return join(negative, integer, fraction), nil
}

// shift moves the decimal point by exponent places.
func shift(integer, fraction string, exponent int) (string, string) {
	for ; exponent > 0; exponent-- {
		if fraction == "" {
			fraction = "0"
		}
		integer, fraction = integer+fraction[:1], fraction[1:]
	}
	for ; exponent < 0; exponent++ {
		if integer == "" {
			integer = "0"
		}
		last := len(integer) - 1
		integer, fraction = integer[:last], integer[last:]+fraction
	}
	return integer, fraction
}

func join(negative bool, integer, fraction string) string {
	if integer == "" {
		integer = "0"
	}
	out := integer
	if fraction != "" {
		out += "." + fraction
	}
	if negative && out != "0" {
		out = "-" + out
	}
	return out
}

func digitsOnly(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
