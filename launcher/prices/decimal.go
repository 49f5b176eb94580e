package prices

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// decimalPlaces are those of BigQuery's NUMERIC.
const decimalPlaces = 9

// decimalRE bounds the exponent, so that no short text becomes a number of a million
// digits.
var decimalRE = regexp.MustCompile(`^-?[0-9]{1,29}(\.[0-9]{1,38})?([eE][+-]?[0-9]{1,2})?$`)

// Decimal is an exact decimal with up to nine places. It is a JSON number. The zero value
// is 0.
type Decimal struct{ text string }

// ParseDecimal reads decimal text; what BigQuery's NUMERIC cannot hold exactly is an error.
func ParseDecimal(text string) (Decimal, error) {
	if !decimalRE.MatchString(text) {
		return Decimal{}, fmt.Errorf("%q is not a decimal number", clip(text))
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return Decimal{}, fmt.Errorf("%q is not a decimal number", clip(text))
	}
	places, exact := r.FloatPrec()
	if !exact || places > decimalPlaces {
		return Decimal{}, fmt.Errorf("%s has more than %d decimal places", clip(text), decimalPlaces)
	}
	if digits := strings.TrimPrefix(r.FloatString(0), "-"); len(digits) > 29 {
		return Decimal{}, fmt.Errorf("%s has more than 29 digits before the point", clip(text))
	}
	return Decimal{r.FloatString(places)}, nil
}

// String returns the number without an exponent or trailing zeros.
func (d Decimal) String() string {
	if d.text == "" {
		return "0"
	}
	return d.text
}

// Rat returns the number.
func (d Decimal) Rat() *big.Rat {
	r, _ := new(big.Rat).SetString(d.String())
	return r
}

// MarshalJSON implements json.Marshaler.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalJSON implements json.Unmarshaler; it takes a number, or the same as text.
func (d *Decimal) UnmarshalJSON(raw []byte) error {
	got, err := ParseDecimal(strings.Trim(string(raw), `"`))
	if err != nil {
		return err
	}
	*d = got
	return nil
}

func clip(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}
