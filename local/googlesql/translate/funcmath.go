package translate

import "strings"

var mathRules = map[string]rule{
	"abs":           numbers("abs({0})", ""),
	"sign":          sign,
	"ceil":          numbers("ceil({0})", "cast"),
	"ceiling":       numbers("ceil({0})", "cast"),
	"floor":         numbers("floor({0})", "cast"),
	"round":         rounded,
	"trunc":         truncated,
	"mod":           numbers("bq_mod({0}, {1})", ""),
	"div":           divInteger,
	"safe_divide":   safeDivide,
	"ieee_divide":   floats("({0} / {1})"),
	"safe_add":      safeArithmetic(add),
	"safe_subtract": safeArithmetic(subtract),
	"safe_multiply": safeArithmetic(multiply),
	"safe_negate":   safeArithmetic(template("(-{0})")),
	"sqrt":          floats("bq_sqrt({0})"),
	"exp":           floats("bq_finite(exp({0}), {0})"),
	"ln":            floats("ln({0})"),
	"log10":         floats("log10({0})"),
	"log":           logarithm,
	"pow":           floats("bq_pow({0}, {1})"),
	"power":         floats("bq_pow({0}, {1})"),
	"is_nan":        floats("isnan({0})"),
	"is_inf":        floats("isinf({0})"),
	"greatest":      extreme("greatest"),
	"least":         extreme("least"),
}

// numbers takes any number; with "cast" the result is cast back to its type,
// which DuckDB changes.
func numbers(text, mode string) rule {
	return func(c *call) string {
		switch c.types[0].Name {
		case "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC":
		default:
			return c.bad()
		}
		out := template(text)(c)
		if mode == "cast" {
			return "CAST(" + out + " AS " + duckType(c.result) + ")"
		}
		return out
	}
}

// logarithm is LOG, to a base when one is given.
func logarithm(c *call) string {
	if c.types[0].Name != "FLOAT64" {
		return c.bad()
	}
	if len(c.args) == 1 {
		return "ln(" + c.args[0] + ")"
	}
	return "bq_log(" + c.args[0] + ", " + c.args[1] + ")"
}

func safeArithmetic(r rule) rule {
	return func(c *call) string { return c.safely(r) }
}

// rounded rounds half away from zero.
func rounded(c *call) string {
	digits := "0"
	if len(c.args) > 1 {
		digits = c.args[1]
	}
	switch {
	case len(c.args) == 3:
		mode := c.enum(2)
		if c.types[0].Name == "NUMERIC" && mode == "ROUND_HALF_EVEN" {
			return "bq_udf_num_round_even(" + c.args[0] + ", " + digits + ")"
		}
		if c.types[0].Name != "NUMERIC" || mode != "ROUND_HALF_AWAY_FROM_ZERO" {
			return c.bad()
		}
		fallthrough
	case c.types[0].Name == "NUMERIC" && len(c.args) > 1:
		return "bq_udf_num_round(" + c.args[0] + ", " + digits + ")"
	case c.types[0].Name == "NUMERIC":
		return "CAST(round(" + c.args[0] + ") AS " + duckNumeric + ")"
	case c.types[0].Name == "FLOAT64" && len(c.args) == 1:
		return "round(" + c.args[0] + ")"
	case c.types[0].Name == "FLOAT64":
		return "bq_udf_float_round(" + c.args[0] + ", " + digits + ")"
	}
	return c.bad()
}

func truncated(c *call) string {
	digits := "CAST('0' AS BIGINT)"
	if len(c.args) > 1 {
		digits = c.args[1]
	}
	switch {
	case c.types[0].Name == "NUMERIC":
		return "bq_udf_num_trunc(" + c.args[0] + ", " + digits + ")"
	case c.types[0].Name == "FLOAT64" && len(c.args) == 1:
		return "trunc(" + c.args[0] + ")"
	}
	return c.bad()
}

func divInteger(c *call) string {
	switch c.types[0].Name {
	case "INT64":
		return "bq_div(" + c.args[0] + ", " + c.args[1] + ")"
	case "NUMERIC":
		return "bq_udf_num_idiv(" + c.args[0] + ", " + c.args[1] + ")"
	}
	return c.bad()
}

func safeDivide(c *call) string {
	switch c.result.Name {
	case "FLOAT64":
		return c.arithmetic("bq_safe_fdiv")
	case "NUMERIC":
		return c.safely(template("bq_udf_num_div({0}, {1})"))
	case "BIGNUMERIC":
		return c.safely(template("bq_udf_big_div({0}, {1})"))
	}
	return c.bad()
}

// sign of NaN is NaN.
func sign(c *call) string {
	if c.types[0].Name == "FLOAT64" {
		return "CASE WHEN isnan(" + c.args[0] + ") THEN " + c.args[0] + " ELSE CAST(sign(" + c.args[0] + ") AS DOUBLE) END"
	}
	return numbers("sign({0})", "cast")(c)
}

// extreme is GREATEST or LEAST: NULL when any argument is, NaN when any is.
func extreme(name string) rule {
	return func(c *call) string {
		var null, nan []string
		for i, a := range c.args {
			c.t.mustCompare(c.node, c.types[i])
			null = append(null, a+" IS NULL")
			nan = append(nan, "isnan("+a+")")
		}
		text := "CASE WHEN " + strings.Join(null, " OR ") + " THEN NULL"
		if c.types[0].Name == "FLOAT64" {
			text += " WHEN " + strings.Join(nan, " OR ") + " THEN CAST('nan' AS DOUBLE)"
		}
		return text + " ELSE " + name + "(" + strings.Join(c.args, ", ") + ") END"
	}
}
