package credentials

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a credential in the clear that prints, formats, logs and encodes as "[redacted]", whatever
// the verb or encoder. The zero value is the empty secret. Two secrets of equal text are not ==.
type Secret struct {
	// A pointer, because fmt does not call methods on unexported fields of other structs:
	// there it prints the address and not the text.
	text *string
}

// NewSecret wraps a credential.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the credential in the clear, for the one request or call that needs it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
