package translate

import (
	"fmt"
	"regexp"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

func (t *translator) castNode(n *googlesql.ResolvedCast) string {
	inner := get(n.Expr())
	from, to := t.exprType(inner), t.exprType(n)
	if get(n.Format()) != nil {
		t.unsupported(n, "CAST with FORMAT")
	}
	if zone := get(n.TimeZone()); zone != nil {
		t.unsupported(n, "CAST with AT TIME ZONE")
	}
	limit := func(text string) string { return text }
	limited := false
	if params := get(n.TypeParameters()); params != nil && !get(params.IsEmpty()) {
		limit, limited = t.limits(n, to, get(params.DebugString())), true
	}
	c := &call{
		t: t, node: n, nodes: []googlesql.ResolvedExprNode{inner},
		args: []string{t.expr(inner)}, types: []*analyze.Type{from}, result: to,
	}
	convert := func(c *call) string { return limit(t.cast(n, c.args[0], from, to)) }
	if get(n.ReturnNullOnError()) && (limited || from.String() != to.String()) {
		return c.safely(convert)
	}
	return convert(c)
}

var (
	maxLength = regexp.MustCompile(`^\(max_length=(\d+)\)$`)
	precision = regexp.MustCompile(`^\(precision=(\d+)(?:,\s*scale=(\d+))?\)$`)
)

// limits makes the check of a type's parameters, such as STRING(10) has.
func (t *translator) limits(n googlesql.ResolvedNode, to *analyze.Type, params string) func(string) string {
	if m := maxLength.FindStringSubmatch(params); m != nil && (to.Name == "STRING" || to.Name == "BYTES") {
		size := map[string]string{"STRING": "length", "BYTES": "octet_length"}[to.Name]
		return func(text string) string {
			return fmt.Sprintf("bq_within(%s, %s(%s) <= %s, '%s(%s) has maximum length %s but got a longer value')", text, size, text, m[1], to.Name, m[1], m[1])
		}
	}
	if m := precision.FindStringSubmatch(params); m != nil && to.Name == "NUMERIC" {
		scale := max(m[2], "0")
		return func(text string) string {
			rounded := "bq_udf_num_round(" + text + ", " + scale + ")"
			return fmt.Sprintf("bq_within(%s, abs(%s) < bq_to_numeric('1e' || (%s - %s)), 'NUMERIC(%s, %s) got a value that is out of range')",
				rounded, rounded, m[1], scale, m[1], scale)
		}
	}
	t.unsupported(n, "CAST to "+to.Name+" with these parameters")
	return nil
}

// castFunctions are the casts that DuckDB does otherwise, by "FROM TO".
var castFunctions = map[string]string{
	"FLOAT64 INT64":         "bq_float_to_int",
	"FLOAT64 STRING":        "bq_float_to_text",
	"FLOAT64 NUMERIC":       "bq_float_to_numeric",
	"FLOAT64 BIGNUMERIC":    "bq_float_to_bignumeric",
	"NUMERIC INT64":         "bq_decimal_to_int",
	"BIGNUMERIC INT64":      "bq_decimal_to_int",
	"BIGNUMERIC NUMERIC":    "bq_bignumeric_to_numeric",
	"NUMERIC FLOAT64":       "bq_decimal_to_float",
	"BIGNUMERIC FLOAT64":    "bq_decimal_to_float",
	"NUMERIC STRING":        "bq_decimal_to_text",
	"BIGNUMERIC STRING":     "bq_decimal_to_text",
	"BYTES STRING":          "bq_bytes_to_text",
	"STRING BYTES":          "encode",
	"STRING INT64":          "bq_text_to_int",
	"STRING FLOAT64":        "bq_text_to_float",
	"STRING BOOL":           "bq_text_to_bool",
	"STRING NUMERIC":        "bq_to_numeric",
	"STRING BIGNUMERIC":     "bq_to_bignumeric",
	"STRING DATE":           "bq_text_to_date",
	"STRING DATETIME":       "bq_text_to_datetime",
	"STRING TIMESTAMP":      "bq_text_to_timestamp",
	"STRING TIME":           "bq_text_to_time",
	"DATETIME STRING":       "bq_datetime_to_text",
	"TIMESTAMP STRING":      "bq_timestamp_to_text",
	"TIME STRING":           "bq_time_to_text",
	"BIGNUMERIC BIGNUMERIC": "",
}

// plainCasts are the casts DuckDB does alike (time zone UTC).
var plainCasts = map[string]bool{
	"INT64 FLOAT64": true, "INT64 NUMERIC": true, "INT64 BIGNUMERIC": true, "INT64 STRING": true, "INT64 BOOL": true,
	"NUMERIC BIGNUMERIC": true, "BOOL INT64": true, "BOOL STRING": true,
	"DATE STRING": true, "DATE DATETIME": true, "DATE TIMESTAMP": true,
	"DATETIME DATE": true, "DATETIME TIMESTAMP": true, "DATETIME TIME": true,
	"TIMESTAMP DATE": true, "TIMESTAMP DATETIME": true, "TIMESTAMP TIME": true,
}

// cast converts text, a value of type from, to type to.
func (t *translator) cast(n googlesql.ResolvedNode, text string, from, to *analyze.Type) string {
	if from.String() == to.String() {
		return text
	}
	pair := from.Name + " " + to.Name
	if f := castFunctions[pair]; f != "" {
		return f + "(" + text + ")"
	}
	if plainCasts[pair] {
		return "CAST(" + text + " AS " + duckType(to) + ")"
	}
	switch pair {
	case "ARRAY ARRAY":
		return fmt.Sprintf("list_transform(%s, lambda e: %s)", text, t.cast(n, "e", from.Elem, to.Elem))
	case "STRUCT STRUCT":
		return t.castStruct(n, text, from, to)
	}
	t.unsupported(n, "CAST from "+from.Name+" to "+to.Name)
	return ""
}

// castStruct converts field by field: DuckDB would match fields by name.
func (t *translator) castStruct(n googlesql.ResolvedNode, text string, from, to *analyze.Type) string {
	if len(from.Fields) != len(to.Fields) {
		t.unsupported(n, "CAST between structs of different size")
	}
	names := fieldNames(from)
	values := make([]string, len(names))
	for i, f := range from.Fields {
		values[i] = t.cast(n, "struct_extract(e, "+quoteText(names[i])+")", f.Type, to.Fields[i].Type)
	}
	return fmt.Sprintf("list_transform([%s], lambda e: CASE WHEN e IS NULL THEN NULL ELSE %s END)[1]", text, structText(to, values))
}
