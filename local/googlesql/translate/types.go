package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// Go code and macros that speak of NUMERIC use the same DuckDB types.
const (
	duckNumeric    = "DECIMAL(38,9)"
	duckBignumeric = "DECIMAL(38,18)"
)

var duckScalars = map[string]string{
	"INT64": "BIGINT", "FLOAT64": "DOUBLE", "BOOL": "BOOLEAN", "STRING": "VARCHAR",
	"BYTES": "BLOB", "NUMERIC": duckNumeric, "BIGNUMERIC": duckBignumeric,
	"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIME": "TIME", "TIMESTAMP": "TIMESTAMPTZ",
	"JSON": "JSON", "INTERVAL": "INTERVAL",
}

// DuckType is the DuckDB type that stores a GoogleSQL type. Struct fields
// without a name, or with a name another field has, are called _field_1,
// _field_2 and so on by their position.
func DuckType(googleSQLType string) (string, error) {
	t, err := analyze.ParseType(googleSQLType)
	if err != nil {
		return "", err
	}
	return duckTypeOf(t)
}

func duckTypeOf(t *analyze.Type) (string, error) {
	switch t.Name {
	case "ARRAY":
		elem, err := duckTypeOf(t.Elem)
		return elem + "[]", err
	case "STRUCT":
		names := fieldNames(t)
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			ft, err := duckTypeOf(f.Type)
			if err != nil {
				return "", err
			}
			parts[i] = quoteIdent(names[i]) + " " + ft
		}
		if len(parts) == 0 {
			return "", &UnsupportedError{Construct: "a STRUCT without fields"}
		}
		return "STRUCT(" + strings.Join(parts, ", ") + ")", nil
	}
	if s, ok := duckScalars[t.Name]; ok {
		return s, nil
	}
	return "", &UnsupportedError{Construct: "type " + t.String()}
}

// duckType is duckTypeOf inside a translation.
func duckType(t *analyze.Type) string {
	s, err := duckTypeOf(t)
	if err != nil {
		fail(err)
	}
	return s
}

// fieldNames are the names a struct's fields have in DuckDB.
func fieldNames(t *analyze.Type) []string {
	names := make([]string, len(t.Fields))
	seen := map[string]bool{}
	for i, f := range t.Fields {
		name := f.Name
		if name == "" || seen[strings.ToLower(name)] {
			name = fmt.Sprintf("_field_%d", i+1)
		}
		seen[strings.ToLower(name)] = true
		names[i] = name
	}
	return names
}

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteText(text string) string {
	if strings.ContainsRune(text, 0) {
		fail(&UnsupportedError{Construct: "a string literal with a zero byte"})
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

var enumType = &analyze.Type{Name: "ENUM"}

// typeOf reads an engine type; an enum (a date part and the like) is ENUM.
func (t *translator) typeOf(node googlesql.Googlesql_TypeNode) *analyze.Type {
	if _, ok := node.(*googlesql.EnumType); ok {
		return enumType
	}
	text := get(analyze.TypeText(node))
	if known, ok := t.types[text]; ok {
		return known
	}
	typ, err := analyze.ParseType(text)
	if err != nil {
		fail(&UnsupportedError{Construct: "type " + text})
	}
	t.types[text] = typ
	return typ
}

func (t *translator) columnType(c *googlesql.ResolvedColumn) *analyze.Type {
	return t.typeOf(get(c.Type()))
}
