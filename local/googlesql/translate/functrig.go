package translate

// trigRules are the trigonometric and hyperbolic functions, of FLOAT64 alone.
var trigRules = map[string]rule{
	"sin": floats("sin({0})"), "cos": floats("cos({0})"), "tan": floats("tan({0})"),
	"asin": floats("asin({0})"), "acos": floats("acos({0})"), "atan": floats("atan({0})"), "atan2": floats("atan2({0}, {1})"),
	"sinh": floats("bq_finite(sinh({0}), {0})"), "cosh": floats("bq_finite(cosh({0}), {0})"), "tanh": floats("tanh({0})"),
	"asinh": floats("asinh({0})"), "acosh": floats("acosh({0})"), "atanh": floats("atanh({0})"),
	"sec": floats("(1 / cos({0}))"), "sech": floats("(1 / cosh({0}))"), "cbrt": floats("cbrt({0})"),
	"csc":  floats("bq_reciprocal(sin({0}), 'CSC')"),
	"cot":  floats("bq_reciprocal(tan({0}), 'COT')"),
	"csch": floats("bq_reciprocal(sinh({0}), 'CSCH')"),
	"coth": floats("bq_reciprocal(tanh({0}), 'COTH')"),
}

// timeOfDayRules are the functions of TIME, which wraps around midnight.
var timeOfDayRules = map[string]rule{
	"time_add":   shiftTime(""),
	"time_sub":   shiftTime("-"),
	"time_diff":  timeDiff,
	"time_trunc": timeTrunc,
}

func microsOfTime(text string) string { return "epoch_us(DATE '1970-01-01' + " + text + ")" }
