package translate

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// literal is a constant with its DuckDB type spelled out: DuckDB would take a
// bare 5 for a 32-bit number.
func (t *translator) literal(v *googlesql.Value) string {
	typ := t.typeOf(get(v.Type()))
	if typ == enumType {
		if get(v.IsNull()) {
			fail(&UnsupportedError{Construct: "NULL for a part or mode"})
		}
		return quoteText(get(v.EnumDisplayName()))
	}
	if get(v.IsNull()) {
		return "CAST(NULL AS " + duckType(typ) + ")"
	}
	switch typ.Name {
	case "ARRAY":
		return t.arrayLiteral(v, typ)
	case "STRUCT":
		var values []string
		for _, f := range get(v.Fields()) {
			values = append(values, t.literal(f))
		}
		return structText(typ, values)
	}
	return scalarLiteral(v, typ)
}

func (t *translator) arrayLiteral(v *googlesql.Value, typ *analyze.Type) string {
	var values []string
	for _, e := range get(v.Elements()) {
		values = append(values, t.literal(e))
	}
	return "CAST([" + strings.Join(values, ", ") + "] AS " + duckType(typ) + ")"
}

func scalarLiteral(v *googlesql.Value, typ *analyze.Type) string {
	switch typ.Name {
	case "INT64":
		return "CAST('" + strconv.FormatInt(get(v.Int64Value()), 10) + "' AS BIGINT)"
	case "FLOAT64":
		return "CAST('" + strconv.FormatFloat(get(v.DoubleValue()), 'g', -1, 64) + "' AS DOUBLE)"
	case "BOOL":
		if get(v.BoolValue()) {
			return "TRUE"
		}
		return "FALSE"
	case "STRING":
		return quoteText(get(v.StringValue()))
	case "BYTES":
		return "unhex('" + hex.EncodeToString([]byte(get(v.BytesValue()))) + "')"
	case "JSON":
		return "CAST(" + quoteText(get(v.JsonString())) + " AS JSON)"
	case "BIGNUMERIC":
		return "bq_to_bignumeric('" + get(v.DebugString(false)) + "')"
	case "INTERVAL":
		fail(&UnsupportedError{Construct: "an INTERVAL literal"})
	}
	return "CAST('" + get(v.DebugString(false)) + "' AS " + duckType(typ) + ")"
}
