package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"
)

// aggregates is every aggregate function that is supported, under the name the
// resolver gives it; most serve as window functions too.
var aggregates = map[string]func(a *aggCall) string{
	"$count_star":           func(a *aggCall) string { return "count(*)" + a.suffix("") },
	"count":                 func(a *aggCall) string { return a.comparable().plain("count", a.args[0]) },
	"countif":               countIf,
	"sum":                   sum,
	"avg":                   average,
	"min":                   minimum,
	"max":                   func(a *aggCall) string { return a.comparable().plain("max", a.args[0]) },
	"any_value":             func(a *aggCall) string { return "any_value(" + a.args[0] + ")" + a.suffix("") },
	"array_agg":             func(a *aggCall) string { return a.list(a.args[0], a.ignoreNulls) },
	"array_concat_agg":      arrayConcatAgg,
	"string_agg":            stringAgg,
	"logical_and":           func(a *aggCall) string { return a.plain("bool_and", a.args[0]) },
	"logical_or":            func(a *aggCall) string { return a.plain("bool_or", a.args[0]) },
	"bit_and":               bits("bit_and"),
	"bit_or":                bits("bit_or"),
	"bit_xor":               bits("bit_xor"),
	"approx_count_distinct": approxCountDistinct,
	"approx_quantiles":      approxQuantiles,
	"stddev":                statistics("stddev_samp"),
	"stddev_samp":           statistics("stddev_samp"),
	"stddev_pop":            statistics("stddev_pop"),
	"variance":              statistics("var_samp"),
	"var_samp":              statistics("var_samp"),
	"var_pop":               statistics("var_pop"),
	"corr":                  statistics("corr"),
	"covar_samp":            statistics("covar_samp"),
	"covar_pop":             statistics("covar_pop"),
}

// comparable refuses types whose order or equality differs.
func (a *aggCall) comparable() *aggCall {
	if a.name != "count" || a.distinct {
		a.t.mustCompare(a.node, a.types[0])
	}
	return a
}

func (a *aggCall) noDistinct() {
	if a.distinct {
		a.t.unsupported(a.node, "DISTINCT inside this aggregate function")
	}
}

// countIf counts in the filter: DuckDB's count_if is NULL over no rows.
func countIf(a *aggCall) string {
	a.noDistinct()
	return "count(*)" + a.suffix(a.args[0])
}

// sum of INT64 must fit INT64.
func sum(a *aggCall) string {
	switch a.result.Name {
	case "INT64":
		return "CAST(" + a.plain("sum", a.args[0]) + " AS BIGINT)"
	case "NUMERIC", "BIGNUMERIC":
		return a.plain("sum", a.args[0])
	case "FLOAT64":
		return a.finite(a.plain("sum", a.args[0]))
	}
	return a.bad()
}

// finite makes an infinite result of finite values a failure.
func (a *aggCall) finite(text string) string {
	return "bq_float_total(" + text + ", bool_or(isinf(" + a.args[0] + "))" + a.suffix("") + ")"
}

// average of decimals is exact: DuckDB's would be a DOUBLE.
func average(a *aggCall) string {
	switch a.result.Name {
	case "FLOAT64":
		return a.finite(a.plain("avg", a.args[0]))
	case "NUMERIC":
		return "bq_num_avg(" + a.plain("sum", a.args[0]) + ", " + a.plain("count", a.args[0]) + ")"
	case "BIGNUMERIC":
		return "bq_big_avg(" + a.plain("sum", a.args[0]) + ", " + a.plain("count", a.args[0]) + ")"
	}
	return a.bad()
}

// minimum of floats is NaN when any value is; in DuckDB NaN is the largest.
func minimum(a *aggCall) string {
	a.comparable()
	text := a.plain("min", a.args[0])
	if a.types[0].Name == "FLOAT64" {
		return "CASE WHEN bool_or(isnan(" + a.args[0] + "))" + a.suffix("") + " THEN CAST('nan' AS DOUBLE) ELSE " + text + " END"
	}
	return text
}

func arrayConcatAgg(a *aggCall) string { return "flatten(" + a.list(a.args[0], true) + ")" }

func stringAgg(a *aggCall) string {
	if a.types[0].Name != "STRING" {
		return a.bad()
	}
	delimiter := "','"
	if len(a.args) > 1 {
		delimiter = a.args[1]
	}
	return "bq_string_agg(" + a.list(a.args[0], true) + ", " + delimiter + ")"
}

func bits(name string) func(a *aggCall) string {
	return func(a *aggCall) string {
		if a.types[0].Name != "INT64" {
			return a.bad()
		}
		return a.plain(name, a.args[0])
	}
}

// approxCountDistinct counts exactly, which is a legal approximation.
func approxCountDistinct(a *aggCall) string {
	a.comparable()
	a.distinct = true
	return a.plain("count", a.args[0])
}

// approxQuantiles takes values of the rows, which is a legal approximation.
func approxQuantiles(a *aggCall) string {
	a.comparable()
	lit, ok := a.nodes[1].(*googlesql.ResolvedLiteral)
	if !ok || a.types[0].Name == "FLOAT64" && a.over != "" {
		return a.bad()
	}
	n := get(get(lit.Value()).Int64Value())
	if n < 1 || n > 1000 || get(a.node.(aggNode).NullHandlingModifier()) == googlesql.ResolvedNonScalarFunctionCallBaseEnums_NullHandlingModifierRespectNulls {
		return a.bad()
	}
	parts := make([]string, n+1)
	for i := range parts {
		parts[i] = fmt.Sprintf("CAST(%d AS DOUBLE) / %d", i, n)
	}
	return a.plain("quantile_disc", a.args[0], "["+strings.Join(parts, ", ")+"]")
}

func statistics(name string) func(a *aggCall) string {
	return func(a *aggCall) string {
		for _, typ := range a.types {
			if typ.Name != "FLOAT64" {
				return a.bad()
			}
		}
		return a.plain(name, a.args...)
	}
}
