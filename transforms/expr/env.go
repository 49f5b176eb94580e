package expr

import (
	"fmt"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cloud.google.com/go/civil"
)

// base is the environment without variables, made once: it is the same for every
// expression.
var base = sync.OnceValues(func() (*cel.Env, error) {
	subset := env.NewLibrarySubset().AddExcludedMacros(operators.All, operators.Exists, operators.ExistsOne, operators.Map, operators.Filter)
	for _, name := range redeclared {
		subset.AddExcludedFunctions(&env.Function{Name: name})
	}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.OptionalTypes(),
		ext.Strings(ext.StringsVersion(2)),
		cel.HomogeneousAggregateLiterals(),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxLength),
		cel.ParserRecursionLimit(maxDepth),
		validators(),
	}
	e, err := cel.NewCustomEnv(append(options, language()...)...)
	if err != nil {
		return nil, fmt.Errorf("make the environment of expressions: %w", err)
	}
	return e, nil
})

const (
	maxLength = 8192 // characters
	maxDepth  = 64
)

// redeclared are the functions whose standard overloads would let values of several types
// meet that here must not, or cannot know ours.
var redeclared = []string{
	operators.Equals, operators.NotEquals, operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Negate,
	operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, "dyn", "type",
}

// scalars are the types of columns and variables that have an order or equality.
var scalars = []*cel.Type{
	cel.BoolType, cel.IntType, cel.UintType, cel.DoubleType, cel.StringType, cel.BytesType, cel.TimestampType, cel.DurationType, dateType, numericType,
}

// mixed are the pairs of types that may meet in arithmetic and comparison beside a type
// and itself.
var mixed = [][2]*cel.Type{{cel.IntType, numericType}, {numericType, cel.IntType}}

func language() []cel.EnvOption {
	out := []cel.EnvOption{
		equality(operators.Equals), equality(operators.NotEquals),
		order(operators.Less, func(c int) bool { return c < 0 }), order(operators.LessEquals, func(c int) bool { return c <= 0 }),
		order(operators.Greater, func(c int) bool { return c > 0 }), order(operators.GreaterEquals, func(c int) bool { return c >= 0 }),
	}
	out = append(out, arithmetic()...)
	return append(out, conversions()...)
}

// overloadID names an overload as CEL does: function and types of arguments.
func overloadID(function string, args ...*cel.Type) string {
	id := "expr_" + function
	for _, a := range args {
		id += "_" + a.String()
	}
	return id
}

// equality declares == or !=. Its meaning is the interpreter's, and ours where an integer
// meets a numeric: see decorate.
func equality(function string) cel.EnvOption {
	a, b := cel.TypeParamType("A"), cel.TypeParamType("B")
	var overloads []cel.FunctionOpt
	pair := func(l, r *cel.Type) {
		overloads = append(overloads, cel.Overload(overloadID(function, l, r), []*cel.Type{l, r}, cel.BoolType))
	}
	for _, t := range scalars {
		pair(t, t)
		pair(cel.OptionalType(t), cel.OptionalType(t))
	}
	pair(cel.ListType(a), cel.ListType(a))
	pair(cel.MapType(a, b), cel.MapType(a, b))
	for _, m := range mixed {
		pair(m[0], m[1])
	}
	return cel.Function(function, overloads...)
}

// order declares a comparison.
func order(function string, holds func(int) bool) cel.EnvOption {
	var overloads []cel.FunctionOpt
	pair := func(l, r *cel.Type, compare func(l, r ref.Val) (int, bool)) {
		overloads = append(overloads, cel.Overload(overloadID(function, l, r), []*cel.Type{l, r}, cel.BoolType,
			cel.BinaryBinding(func(l, r ref.Val) ref.Val {
				c, ok := compare(l, r)
				if !ok {
					return types.MaybeNoSuchOverloadErr(r)
				}
				return types.Bool(holds(c))
			})))
	}
	for _, t := range scalars {
		switch t {
		case numericType:
			pair(t, t, compareNumeric)
		case dateType:
			pair(t, t, compareDates)
		case cel.DoubleType:
			overloads = append(overloads, cel.Overload(overloadID(function, t, t), []*cel.Type{t, t}, cel.BoolType, cel.BinaryBinding(doubles(function))))
		default:
			pair(t, t, compareStandard)
		}
	}
	for _, m := range mixed {
		pair(m[0], m[1], compareNumeric)
	}
	return cel.Function(function, overloads...)
}

func compareStandard(l, r ref.Val) (int, bool) {
	c, ok := l.(traits.Comparer)
	if !ok {
		return 0, false
	}
	n, ok := c.Compare(r).(types.Int)
	return int(n), ok
}

// doubles compares as Go does, so that every comparison with NaN is false.
func doubles(function string) functions.BinaryOp {
	return func(l, r ref.Val) ref.Val {
		a, okA := l.(types.Double)
		b, okB := r.(types.Double)
		if !okA || !okB {
			return types.MaybeNoSuchOverloadErr(r)
		}
		switch function {
		case operators.Less:
			return types.Bool(a < b)
		case operators.LessEquals:
			return types.Bool(a <= b)
		case operators.Greater:
			return types.Bool(a > b)
		default:
			return types.Bool(a >= b)
		}
	}
}

// signature is an overload of an operator: two arguments, one result.
type signature struct{ left, right, result *cel.Type }

func same(of ...*cel.Type) []signature {
	out := make([]signature, len(of))
	for i, t := range of {
		out[i] = signature{t, t, t}
	}
	return out
}

func operator(function string, standard functions.BinaryOp, of []signature, ours functions.BinaryOp) cel.EnvOption {
	var overloads []cel.FunctionOpt
	add := func(s signature, op functions.BinaryOp) {
		overloads = append(overloads, cel.Overload(overloadID(function, s.left, s.right), []*cel.Type{s.left, s.right}, s.result, cel.BinaryBinding(op)))
	}
	for _, s := range of {
		add(s, standard)
	}
	add(signature{numericType, numericType, numericType}, ours)
	for _, m := range mixed {
		add(signature{m[0], m[1], numericType}, ours)
	}
	switch function {
	case operators.Add:
		add(signature{dateType, cel.IntType, dateType}, func(l, r ref.Val) ref.Val { return shift(l, r, 1) })
	case operators.Subtract:
		add(signature{dateType, cel.IntType, dateType}, func(l, r ref.Val) ref.Val { return shift(l, r, -1) })
		add(signature{dateType, dateType, cel.IntType}, daysBetween)
	}
	return cel.Function(function, overloads...)
}

func arithmetic() []cel.EnvOption {
	list := cel.ListType(cel.TypeParamType("A"))
	numbers := []*cel.Type{cel.IntType, cel.UintType, cel.DoubleType}
	addable := append(same(append(numbers, cel.StringType, cel.BytesType, cel.DurationType, list)...),
		signature{cel.TimestampType, cel.DurationType, cel.TimestampType}, signature{cel.DurationType, cel.TimestampType, cel.TimestampType})
	subtractable := append(same(append(numbers, cel.DurationType)...),
		signature{cel.TimestampType, cel.DurationType, cel.TimestampType}, signature{cel.TimestampType, cel.TimestampType, cel.DurationType})
	return []cel.EnvOption{
		operator(operators.Add, func(l, r ref.Val) ref.Val { return l.(traits.Adder).Add(r) }, addable, exactly(add)),
		operator(operators.Subtract, func(l, r ref.Val) ref.Val { return l.(traits.Subtractor).Subtract(r) }, subtractable, exactly(subtract)),
		operator(operators.Multiply, func(l, r ref.Val) ref.Val { return l.(traits.Multiplier).Multiply(r) }, same(numbers...), exactly(multiply)),
		operator(operators.Divide, func(l, r ref.Val) ref.Val { return l.(traits.Divider).Divide(r) }, same(numbers...), exactly(divide)),
		cel.Function(operators.Negate,
			negation(cel.IntType, func(v ref.Val) ref.Val { return v.(traits.Negater).Negate() }),
			negation(cel.DoubleType, func(v ref.Val) ref.Val { return v.(traits.Negater).Negate() }),
			negation(cel.DurationType, func(v ref.Val) ref.Val { return v.(traits.Negater).Negate() }),
			negation(numericType, func(v ref.Val) ref.Val { return &numeric{d: v.(*numeric).d.Neg()} })),
	}
}

func negation(t *cel.Type, op functions.UnaryOp) cel.FunctionOpt {
	return cel.Overload(overloadID(operators.Negate, t), []*cel.Type{t}, t, cel.UnaryBinding(op))
}

func shift(l, r ref.Val, sign int) ref.Val {
	const most = 4_000_000 // days: more than from year 1 to 9999
	days := int64(r.(types.Int))
	if days > most || days < -most {
		return types.NewErr("date overflow: %d days", days)
	}
	return dateWithin(l.(date).d.AddDays(sign * int(days)))
}

func dateWithin(d civil.Date) ref.Val {
	if d.Year < 1 || d.Year > 9999 {
		return types.NewErr("date overflow: %s is not between year 1 and 9999", d)
	}
	return date{d: d}
}

func daysBetween(l, r ref.Val) ref.Val { return types.Int(l.(date).d.DaysSince(r.(date).d)) }

func conversion(function string, from, to *cel.Type, op functions.UnaryOp) cel.FunctionOpt {
	return cel.Overload(overloadID(function, from), []*cel.Type{from}, to, cel.UnaryBinding(op))
}

func conversions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("numeric",
			conversion("numeric", cel.StringType, numericType, func(v ref.Val) ref.Val {
				n, err := parseNumeric(string(v.(types.String)))
				if err != nil {
					return types.WrapErr(err)
				}
				return n
			}),
			conversion("numeric", cel.IntType, numericType, func(v ref.Val) ref.Val { n, _ := asNumeric(v); return n })),
		cel.Function("round", cel.Overload("expr_round", []*cel.Type{numericType, cel.IntType}, numericType, cel.BinaryBinding(round))),
		cel.Function("abs",
			conversion("abs", numericType, numericType, func(v ref.Val) ref.Val { return &numeric{d: v.(*numeric).d.Abs()} }),
			conversion("abs", cel.IntType, cel.IntType, func(v ref.Val) ref.Val {
				if i := v.(types.Int); i < 0 {
					return i.Negate()
				}
				return v
			})),
		cel.Function("date",
			conversion("date", cel.StringType, dateType, func(v ref.Val) ref.Val {
				d, err := parseDate(string(v.(types.String)))
				if err != nil {
					return types.WrapErr(err)
				}
				return dateWithin(d)
			}),
			conversion("date", cel.TimestampType, dateType, func(v ref.Val) ref.Val {
				return dateWithin(civil.DateOf(v.(types.Timestamp).UTC()))
			})),
		cel.Function("timestamp", conversion("timestamp", dateType, cel.TimestampType, func(v ref.Val) ref.Val {
			return types.Timestamp{Time: v.(date).d.In(time.UTC)}
		})),
		cel.Function("string",
			conversion("string", numericType, cel.StringType, func(v ref.Val) ref.Val { return types.String(v.(*numeric).String()) }),
			conversion("string", dateType, cel.StringType, func(v ref.Val) ref.Val { return types.String(v.(date).d.String()) }),
			conversion("string", jsonType, cel.StringType, func(v ref.Val) ref.Val { return types.String(v.(document).text) })),
	}
}

// round rounds to some decimal places, half away from zero.
func round(n, places ref.Val) ref.Val {
	p := places.(types.Int)
	if p < 0 || p > numericScale {
		return types.NewErr("round to %d places: there are 0 to %d", int64(p), numericScale)
	}
	return &numeric{d: n.(*numeric).d.RoundHAZ(uint8(p))}
}
