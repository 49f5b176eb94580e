package translate

import (
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

var operatorRules = map[string]rule{
	"$and":                  infix(" AND "),
	"$or":                   infix(" OR "),
	"$not":                  template("(NOT {0})"),
	"$is_null":              template("({0} IS NULL)"),
	"$is_true":              template("({0} IS TRUE)"),
	"$is_false":             template("({0} IS FALSE)"),
	"$equal":                equality,
	"$not_equal":            inequality,
	"$less":                 compare("<"),
	"$less_or_equal":        compare("<="),
	"$greater":              compare(">"),
	"$greater_or_equal":     compare(">="),
	"$between":              between,
	"$in":                   comparing(inList),
	"$in_array":             inArray,
	"$is_distinct_from":     comparing(template("({0} IS DISTINCT FROM {1})")),
	"$is_not_distinct_from": comparing(template("({0} IS NOT DISTINCT FROM {1})")),
	"$add":                  add,
	"$subtract":             subtract,
	"$multiply":             multiply,
	"$divide":               divide,
	"$unary_minus":          template("(-{0})"),
	"$unary_plus":           template("{0}"),
	"$bitwise_and":          integers("({0} & {1})"),
	"$bitwise_or":           integers("({0} | {1})"),
	"$bitwise_xor":          integers("xor({0}, {1})"),
	"$bitwise_not":          integers("(~{0})"),
	"bit_count":             integers("CAST(bit_count({0}) AS BIGINT)"),
}

func integers(text string) rule { return byType(map[string]string{"INT64": text}) }

func infix(op string) rule {
	return func(c *call) string { return "(" + strings.Join(c.args, op) + ")" }
}

// comparing refuses arguments whose equality DuckDB decides otherwise.
func comparing(r rule) rule {
	return func(c *call) string {
		for _, typ := range c.types {
			c.t.mustCompare(c.node, typ)
		}
		return r(c)
	}
}

func equality(c *call) string {
	if c.types[0].Name == "STRUCT" {
		return c.structEqual(c.types[0], c.types[1], c.args[0], c.args[1])
	}
	return compare("=")(c)
}

func inequality(c *call) string {
	if c.types[0].Name == "STRUCT" {
		return "(NOT " + c.structEqual(c.types[0], c.types[1], c.args[0], c.args[1]) + ")"
	}
	return compare("<>")(c)
}

// structEqual compares field by field, so that a NULL field makes the answer
// NULL; DuckDB takes two NULL fields for equal.
func (c *call) structEqual(at, bt *analyze.Type, a, b string) string {
	if bt.Name != "STRUCT" || len(at.Fields) != len(bt.Fields) {
		return c.bad()
	}
	an, bn := fieldNames(at), fieldNames(bt)
	parts := make([]string, len(an))
	for i := range an {
		af := "struct_extract(" + a + ", " + quoteText(an[i]) + ")"
		bf := "struct_extract(" + b + ", " + quoteText(bn[i]) + ")"
		if at.Fields[i].Type.Name == "STRUCT" {
			parts[i] = c.structEqual(at.Fields[i].Type, bt.Fields[i].Type, af, bf)
			continue
		}
		c.t.mustCompare(c.node, at.Fields[i].Type)
		parts[i] = "(" + af + " = " + bf + ")"
	}
	return "(" + strings.Join(parts, " AND ") + ")"
}

// compare is a comparison; NaN, the largest and equal to itself in DuckDB, is
// unordered and unequal here.
func compare(op string) rule {
	return func(c *call) string {
		for _, typ := range c.types {
			c.t.mustCompare(c.node, typ)
		}
		plain := c.args[0] + " " + op + " " + c.args[1]
		if c.types[0].Name != "FLOAT64" {
			return "(" + plain + ")"
		}
		left, right := c.maybeNaN(0), c.maybeNaN(1)
		switch {
		case op == "<>" && left:
			return "(" + plain + " OR isnan(" + c.args[0] + "))"
		case op == "=" && left && right, (op == ">" || op == ">=") && left:
			return "(" + plain + " AND NOT isnan(" + c.args[0] + "))"
		case (op == "<" || op == "<=") && right:
			return "(" + plain + " AND NOT isnan(" + c.args[1] + "))"
		}
		return "(" + plain + ")"
	}
}

// maybeNaN is false for a constant that is a number.
func (c *call) maybeNaN(i int) bool {
	lit, ok := c.nodes[i].(*googlesql.ResolvedLiteral)
	if !ok {
		return true
	}
	v := get(lit.Value())
	if get(v.IsNull()) {
		return false
	}
	f := get(v.DoubleValue())
	return f != f
}

func between(c *call) string {
	low := &call{t: c.t, node: c.node, args: c.args[:2], nodes: c.nodes[:2], types: c.types[:2]}
	high := &call{
		t: c.t, node: c.node, args: []string{c.args[0], c.args[2]},
		nodes: []googlesql.ResolvedExprNode{c.nodes[0], c.nodes[2]}, types: []*analyze.Type{c.types[0], c.types[2]},
	}
	return "(" + compare(">=")(low) + " AND " + compare("<=")(high) + ")"
}

func inList(c *call) string {
	if c.types[0].Name == "FLOAT64" {
		return "((" + c.args[0] + " IN (" + strings.Join(c.args[1:], ", ") + ")) AND NOT isnan(" + c.args[0] + "))"
	}
	return "(" + c.args[0] + " IN (" + strings.Join(c.args[1:], ", ") + "))"
}

// inArray is IN UNNEST. An array that is the same for every row is looked up
// as a set.
func inArray(c *call) string {
	c.t.mustCompare(c.node, c.types[0])
	if c.types[0].Name == "FLOAT64" {
		return c.bad()
	}
	switch c.nodes[1].(type) {
	case *googlesql.ResolvedParameter, *googlesql.ResolvedLiteral:
		return "(" + c.args[0] + " IN (SELECT unnest(" + c.args[1] + ")))"
	}
	return "bq_in_array(" + c.args[0] + ", " + c.args[1] + ")"
}

func caseNoValue(c *call) string {
	var b strings.Builder
	b.WriteString("CASE")
	i := 0
	for ; i+1 < len(c.args); i += 2 {
		b.WriteString(" WHEN " + c.args[i] + " THEN " + c.args[i+1])
	}
	if i < len(c.args) {
		b.WriteString(" ELSE " + c.args[i])
	}
	return b.String() + " END"
}

func caseWithValue(c *call) string {
	rest := *c
	rest.args = c.args[1:]
	return "CASE " + c.args[0] + strings.TrimPrefix(caseNoValue(&rest), "CASE")
}

// arithmetic picks the macro that evaluates its arguments once when they are
// dear, the plain one otherwise.
func (c *call) arithmetic(name string) string {
	if !atom(c.args[0]) || !atom(c.args[1]) {
		name += "_let"
	}
	return name + "(" + c.args[0] + ", " + c.args[1] + ")"
}

func add(c *call) string {
	switch c.types[0].Name + " " + c.types[1].Name {
	case "INT64 INT64", "NUMERIC NUMERIC", "BIGNUMERIC BIGNUMERIC":
		return "(" + c.args[0] + " + " + c.args[1] + ")"
	case "FLOAT64 FLOAT64":
		return c.arithmetic("bq_fadd")
	case "DATE INT64":
		return "bq_date_add(" + c.args[0] + ", " + c.args[1] + ")"
	case "INT64 DATE":
		return "bq_date_add(" + c.args[1] + ", " + c.args[0] + ")"
	}
	return c.bad()
}

func subtract(c *call) string {
	switch c.types[0].Name + " " + c.types[1].Name {
	case "INT64 INT64", "NUMERIC NUMERIC", "BIGNUMERIC BIGNUMERIC":
		return "(" + c.args[0] + " - " + c.args[1] + ")"
	case "FLOAT64 FLOAT64":
		return c.arithmetic("bq_fsub")
	case "DATE INT64":
		return "bq_date_add(" + c.args[0] + ", -" + c.args[1] + ")"
	}
	return c.bad()
}

func multiply(c *call) string {
	switch c.result.Name {
	case "INT64":
		return "(" + c.args[0] + " * " + c.args[1] + ")"
	case "NUMERIC":
		return c.arithmetic("bq_num_mul")
	case "BIGNUMERIC":
		return "bq_udf_big_mul(" + c.args[0] + ", " + c.args[1] + ")"
	case "FLOAT64":
		return c.arithmetic("bq_fmul")
	}
	return c.bad()
}

func divide(c *call) string {
	switch c.result.Name {
	case "NUMERIC":
		return "bq_udf_num_div(" + c.args[0] + ", " + c.args[1] + ")"
	case "BIGNUMERIC":
		return "bq_udf_big_div(" + c.args[0] + ", " + c.args[1] + ")"
	case "FLOAT64":
		return c.arithmetic("bq_fdiv")
	}
	return c.bad()
}
