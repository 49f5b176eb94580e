package row

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Type is a column type, named as GoogleSQL names it. The zero value is TypeNull,
// which no column has: it tags a NULL cell.
type Type uint8

// The column types. Nested provider data is kept as JSON or as its exact text.
const (
	TypeNull Type = iota
	TypeBool
	TypeInt64
	TypeFloat64
	TypeNumeric
	TypeString
	TypeBytes
	TypeDate
	TypeTimestamp
	TypeJSON
)

var typeNames = [...]string{"NULL", "BOOL", "INT64", "FLOAT64", "NUMERIC", "STRING", "BYTES", "DATE", "TIMESTAMP", "JSON"}

// legacyNames are the names that BigQuery's REST schemas use for the same types.
var legacyNames = map[string]Type{"BOOLEAN": TypeBool, "INTEGER": TypeInt64, "FLOAT": TypeFloat64, "DECIMAL": TypeNumeric}

// String returns the GoogleSQL name.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// ParseType accepts GoogleSQL names and BigQuery's legacy schema names, in any case.
func ParseType(name string) (Type, error) {
	upper := strings.ToUpper(strings.TrimSpace(name))
	for i := 1; i < len(typeNames); i++ {
		if typeNames[i] == upper {
			return Type(i), nil
		}
	}
	if t, ok := legacyNames[upper]; ok {
		return t, nil
	}
	return TypeNull, fmt.Errorf("unknown column type %q: use one of %s", name, strings.Join(typeNames[1:], ", "))
}

// MarshalText implements encoding.TextMarshaler with the GoogleSQL name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler by ParseType.
func (t *Type) UnmarshalText(b []byte) error {
	parsed, err := ParseType(string(b))
	*t = parsed
	return err
}

// Field is one column. Mode is NULLABLE unless Required is set.
type Field struct {
	Name        string
	Type        Type
	Required    bool
	Description string
}

type fieldJSON struct {
	Name        string `json:"name"`
	Type        Type   `json:"type"`
	Mode        string `json:"mode,omitempty"`
	Description string `json:"description,omitempty"`
}

// MarshalJSON writes BigQuery's JSON form of a field.
func (f Field) MarshalJSON() ([]byte, error) {
	mode := ""
	if f.Required {
		mode = "REQUIRED"
	}
	return json.Marshal(fieldJSON{f.Name, f.Type, mode, f.Description})
}

// UnmarshalJSON reads BigQuery's JSON form of a field; REPEATED is refused, because
// cells are scalar and nested data is JSON.
func (f *Field) UnmarshalJSON(b []byte) error {
	var j fieldJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	if j.Name == "" || j.Type == TypeNull {
		return fmt.Errorf("column %q: name and type are both needed", j.Name)
	}
	switch strings.ToUpper(j.Mode) {
	case "", "NULLABLE", "REQUIRED":
	default:
		return fmt.Errorf("column %q: mode %q is not supported in a row; use type JSON", j.Name, j.Mode)
	}
	*f = Field{Name: j.Name, Type: j.Type, Required: strings.EqualFold(j.Mode, "REQUIRED"), Description: j.Description}
	return nil
}

// Schema is an ordered list of columns; a Row's cells stand in the same order. Its
// JSON form is BigQuery's array of fields.
type Schema []Field

// Index returns the place of a column by its exact name, or -1.
func (s Schema) Index(name string) int {
	for i := range s {
		if s[i].Name == name {
			return i
		}
	}
	return -1
}

// Names returns the column names in order.
func (s Schema) Names() []string {
	names := make([]string, len(s))
	for i := range s {
		names[i] = s[i].Name
	}
	return names
}

// Fingerprint is a hash over names, types and modes; descriptions do not count.
// DoFns compare it in Setup so that rows never meet a schema they were not made for.
func (s Schema) Fingerprint() string {
	h := sha256.New()
	for _, f := range s {
		fmt.Fprintf(h, "%q %d %t\n", f.Name, f.Type, f.Required)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
