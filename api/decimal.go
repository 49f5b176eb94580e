package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Decimal is a number as its digits were written: money is never a float here. In JSON it
// is a number; the zero value is 0.
type Decimal struct{ text string }

var decimalText = regexp.MustCompile(`^-?[0-9]{1,29}(\.[0-9]{1,38})?([eE][+-]?[0-9]{1,2})?$`)

// MarshalJSON implements json.Marshaler.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if d.text == "" {
		return []byte("0"), nil
	}
	return []byte(d.text), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if !decimalText.MatchString(text) {
		return fmt.Errorf("%s is no decimal number", string(b))
	}
	d.text = text
	return nil
}

// Schema implements huma.SchemaProvider.
func (Decimal) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "exact; at most nine places"}
}

var _ json.Marshaler = Decimal{}
