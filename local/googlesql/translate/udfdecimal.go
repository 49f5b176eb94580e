package translate

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// scaleNumeric and scaleBignumeric are the digits after the point.
const (
	scaleNumeric    = 9
	scaleBignumeric = 18
)

var maxUnscaled = new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimal makes a value of 38 digits, an error outside.
func decimal(unscaled *big.Int, scale uint8, name string) (any, error) {
	if unscaled.CmpAbs(maxUnscaled) >= 0 {
		return nil, fmt.Errorf("%s overflow", name)
	}
	return duckdb.Decimal{Width: 38, Scale: scale, Value: unscaled}, nil
}

// divRound divides and rounds half away from zero.
func divRound(num, den *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(num, den, new(big.Int))
	r.Lsh(r.Abs(r), 1)
	if r.CmpAbs(den) >= 0 {
		if num.Sign()*den.Sign() < 0 {
			return q.Sub(q, big.NewInt(1))
		}
		return q.Add(q, big.NewInt(1))
	}
	return q
}

// errTooFine refuses what a BIGNUMERIC of the service would hold.
var errTooFine = errors.New("BIGNUMERIC with more than 18 digits after the point is not supported by the local server")

// ratio makes a value of num/den units. NUMERIC rounds half away from zero;
// BIGNUMERIC, which has 38 digits after the point in the service, refuses what
// does not fit its 18.
func ratio(num, den *big.Int, scale int, name string) (any, error) {
	if scale == scaleBignumeric && new(big.Int).Rem(num, den).Sign() != 0 {
		return nil, errTooFine
	}
	return decimal(divRound(num, den), uint8(scale), name)
}

func decimalFunctions() map[string]goFunction {
	num, bignum := decimalInfo(scaleNumeric), decimalInfo(scaleBignumeric)
	text, integer, double := info(duckdb.TYPE_VARCHAR), info(duckdb.TYPE_BIGINT), info(duckdb.TYPE_DOUBLE)
	nums, bigs := [2]duckdb.TypeInfo{num, num}, [2]duckdb.TypeInfo{bignum, bignum}
	digits := [2]duckdb.TypeInfo{num, integer}
	return map[string]goFunction{
		"bq_udf_num_mul":             two(nums, num, multiplyDecimal(scaleNumeric, "numeric")),
		"bq_udf_big_mul":             two(bigs, bignum, multiplyDecimal(scaleBignumeric, "bignumeric")),
		"bq_udf_num_div":             two(nums, num, divideDecimal(scaleNumeric, "numeric")),
		"bq_udf_big_div":             two(bigs, bignum, divideDecimal(scaleBignumeric, "bignumeric")),
		"bq_udf_num_idiv":            two(nums, num, divideWhole),
		"bq_udf_num_round":           two(digits, num, roundDecimal(divRound)),
		"bq_udf_num_round_even":      two(digits, num, roundDecimal(divRoundEven)),
		"bq_udf_num_trunc":           two(digits, num, roundDecimal(func(n, d *big.Int) *big.Int { return new(big.Int).Quo(n, d) })),
		"bq_udf_float_round":         two([2]duckdb.TypeInfo{double, integer}, double, roundFloat),
		"bq_udf_float_to_numeric":    one(double, num, floatToDecimal(scaleNumeric, "NUMERIC")),
		"bq_udf_float_to_bignumeric": one(double, bignum, floatToDecimal(scaleBignumeric, "BIGNUMERIC")),
		"bq_udf_text_to_numeric":     one(text, num, textToDecimal(scaleNumeric, "NUMERIC")),
		"bq_udf_text_to_bignumeric":  one(text, bignum, textToDecimal(scaleBignumeric, "BIGNUMERIC")),
	}
}

func multiplyDecimal(scale int, name string) func(a, b duckdb.Decimal) (any, error) {
	unit := pow10(scale)
	return func(a, b duckdb.Decimal) (any, error) {
		return ratio(new(big.Int).Mul(a.Value, b.Value), unit, scale, name)
	}
}

func divideDecimal(scale int, name string) func(a, b duckdb.Decimal) (any, error) {
	unit := pow10(scale)
	return func(a, b duckdb.Decimal) (any, error) {
		if b.Value.Sign() == 0 {
			return nil, fmt.Errorf("division by zero: %s / %s", decimalText(a), decimalText(b))
		}
		return ratio(new(big.Int).Mul(a.Value, unit), b.Value, scale, name)
	}
}

func divideWhole(a, b duckdb.Decimal) (any, error) {
	if b.Value.Sign() == 0 {
		return nil, fmt.Errorf("division by zero: DIV(%s, %s)", decimalText(a), decimalText(b))
	}
	q := new(big.Int).Quo(a.Value, b.Value)
	return decimal(q.Mul(q, pow10(scaleNumeric)), scaleNumeric, "numeric")
}

// decimalText prints without trailing zeros.
func decimalText(d duckdb.Decimal) string {
	text := new(big.Rat).SetFrac(d.Value, pow10(int(d.Scale))).FloatString(int(d.Scale))
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// roundDecimal keeps digits places after the point; fewer than none zero the
// places before it.
func roundDecimal(div func(num, den *big.Int) *big.Int) func(a duckdb.Decimal, digits int64) (any, error) {
	return func(a duckdb.Decimal, digits int64) (any, error) {
		if digits >= scaleNumeric {
			return a, nil
		}
		if digits < -38 {
			return decimal(new(big.Int), scaleNumeric, "numeric")
		}
		unit := pow10(scaleNumeric - int(digits))
		q := div(a.Value, unit)
		return decimal(q.Mul(q, unit), scaleNumeric, "numeric")
	}
}

func divRoundEven(num, den *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(num, den, new(big.Int))
	r.Lsh(r.Abs(r), 1)
	half := r.CmpAbs(den)
	if half < 0 || half == 0 && q.Bit(0) == 0 {
		return q
	}
	if num.Sign()*den.Sign() < 0 {
		return q.Sub(q, big.NewInt(1))
	}
	return q.Add(q, big.NewInt(1))
}

// roundFloat rounds the exact binary value's shortest decimal half away.
func roundFloat(x float64, digits int64) (any, error) {
	if math.IsNaN(x) || math.IsInf(x, 0) || digits > 323 {
		return x, nil
	}
	if digits < -308 {
		return 0.0, nil
	}
	if digits >= 0 && math.Abs(x) >= 1<<53 {
		return x, nil
	}
	unit := math.Pow(10, math.Abs(float64(digits)))
	r := math.Round(x*unit) / unit
	if digits < 0 {
		r = math.Round(x/unit) * unit
	}
	if math.IsInf(r, 0) {
		if digits >= 0 {
			return x, nil
		}
		return nil, errors.New("Floating point overflow in function: ROUND")
	}
	return r, nil
}

func floatToDecimal(scale int, name string) func(x float64) (any, error) {
	unit := pow10(scale)
	return func(x float64) (any, error) {
		r := new(big.Rat).SetFloat64(x)
		if r == nil {
			return nil, fmt.Errorf("Illegal conversion of non-finite floating point number to %s: %s", strings.ToLower(name), floatText(x))
		}
		v, err := ratio(new(big.Int).Mul(r.Num(), unit), r.Denom(), scale, strings.ToLower(name))
		if errors.Is(err, errTooFine) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s out of range: %s", strings.ToLower(name), floatText(x))
		}
		return v, nil
	}
}

// textToDecimal reads digits, a point and an exponent, exactly, and rounds the
// digits that do not fit half away from zero.
func textToDecimal(scale int, name string) func(s string) (any, error) {
	return func(s string) (any, error) {
		bad := fmt.Errorf("Invalid %s value: %s", name, s)
		t := strings.TrimFunc(s, isSpace)
		body := strings.TrimLeft(t, "+-")
		if len(t)-len(body) > 1 || body == "" || strings.Trim(body, "0123456789.eE+-") != "" || len(body) > 2000 {
			return nil, bad
		}
		mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(body), "e")
		if strings.Trim(mantissa, "0123456789.") != "" || strings.Count(mantissa, ".") > 1 || strings.Trim(mantissa, ".") == "" {
			return nil, bad
		}
		if hasExponent && (len(exponent) == 0 || len(exponent) > 5) {
			return nil, bad
		}
		r, ok := new(big.Rat).SetString(strings.TrimPrefix(t, "+"))
		if !ok {
			return nil, bad
		}
		v, err := ratio(new(big.Int).Mul(r.Num(), pow10(scale)), r.Denom(), scale, name)
		if errors.Is(err, errTooFine) {
			return nil, err
		}
		if err != nil {
			return nil, bad
		}
		return v, nil
	}
}
