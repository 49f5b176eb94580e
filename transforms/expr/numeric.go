package expr

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/quagmt/udecimal"
)

// The bounds of NUMERIC: nine decimal places, 29 digits before them.
const numericScale = 9

var numericLimit = udecimal.MustParse("100000000000000000000000000000") // 10^29, exclusive

var (
	numericType = types.NewOpaqueType("numeric")
	dateType    = types.NewOpaqueType("date")
	jsonType    = types.NewOpaqueType("json")
)

// opaque is what the values of our own types have in common: nothing converts them but
// the functions that are declared for them.
type opaque struct{}

// ConvertToNative implements ref.Val.
func (opaque) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("no conversion to %s", to)
}

// ConvertToType implements ref.Val.
func (opaque) ConvertToType(to ref.Type) ref.Val {
	return types.NewErr("no conversion to %s", to.TypeName())
}

// numeric is an exact decimal within the bounds of NUMERIC.
type numeric struct {
	opaque
	d udecimal.Decimal
}

// Equal implements ref.Val.
func (n *numeric) Equal(other ref.Val) ref.Val {
	m, ok := asNumeric(other)
	return types.Bool(ok && n.d.Equal(m.d))
}

// Type implements ref.Val.
func (n *numeric) Type() ref.Type { return numericType }

// Value implements ref.Val.
func (n *numeric) Value() any { return n.d }

// String returns the value without trailing zeros.
func (n *numeric) String() string { return n.d.String() }

// asNumeric takes a numeric as it is and makes one of an integer.
func asNumeric(v ref.Val) (*numeric, bool) {
	switch v := v.(type) {
	case *numeric:
		return v, true
	case types.Int:
		d, err := udecimal.NewFromInt64(int64(v), 0)
		return &numeric{d: d}, err == nil
	default:
		return nil, false
	}
}

// parseNumeric reads decimal text as CAST(text AS NUMERIC) does: what has more places is
// rounded.
func parseNumeric(text string) (*numeric, error) {
	d, err := udecimal.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("numeric(%q): not a decimal number of at most 19 places", text)
	}
	return bounded(d)
}

// bounded rounds to the scale of NUMERIC and refuses what does not fit it.
func bounded(d udecimal.Decimal) (*numeric, error) {
	d = d.RoundHAZ(numericScale)
	if d.Abs().Cmp(numericLimit) >= 0 {
		return nil, fmt.Errorf("numeric overflow: %s has more than 29 digits before the point", d)
	}
	return &numeric{d: d}, nil
}

// exactly runs an operation on two numerics or integers.
func exactly(op func(a, b udecimal.Decimal) (udecimal.Decimal, error)) func(l, r ref.Val) ref.Val {
	return func(l, r ref.Val) ref.Val {
		a, okA := asNumeric(l)
		b, okB := asNumeric(r)
		if !okA || !okB {
			return types.MaybeNoSuchOverloadErr(r)
		}
		d, err := op(a.d, b.d)
		if err != nil {
			return types.WrapErr(err)
		}
		n, err := bounded(d)
		if err != nil {
			return types.WrapErr(err)
		}
		return n
	}
}

func add(a, b udecimal.Decimal) (udecimal.Decimal, error)      { return a.Add(b), nil }
func subtract(a, b udecimal.Decimal) (udecimal.Decimal, error) { return a.Sub(b), nil }
func multiply(a, b udecimal.Decimal) (udecimal.Decimal, error) { return a.Mul(b), nil }

func divide(a, b udecimal.Decimal) (udecimal.Decimal, error) {
	if b.IsZero() {
		return udecimal.Decimal{}, fmt.Errorf("division of %s by zero", a)
	}
	// Div cuts after 19 places; a cut never moves the tenth place, which alone decides
	// how the ninth is rounded.
	return a.Div(b)
}

// compareNumeric orders two numerics or integers.
func compareNumeric(l, r ref.Val) (int, bool) {
	a, okA := asNumeric(l)
	b, okB := asNumeric(r)
	if !okA || !okB {
		return 0, false
	}
	return a.d.Cmp(b.d), true
}
