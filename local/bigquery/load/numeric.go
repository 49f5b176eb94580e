package load

import (
	"math/big"
	"strconv"
)

// Digits around the point that the decimal types hold here. BIGNUMERIC is
// stored with 18 decimals; more is an error, never rounded.
const (
	numericScale    = 9
	bigNumericScale = 18
	decimalDigits   = 38
)

// parseDecimal reads decimal text exactly into an unscaled integer: int64 when
// it fits, *big.Int otherwise. It reports false for text that is no number,
// has more than scale decimals, or is out of range.
func parseDecimal(text string, scale int) (any, bool) {
	digits, exponent, negative, ok := splitDecimal(text)
	if !ok {
		return nil, false
	}
	exponent += scale
	for exponent < 0 && len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exponent++
	}
	if len(digits) == 0 {
		return int64(0), true
	}
	if exponent < 0 || len(digits)+exponent > decimalDigits {
		return nil, false
	}
	for ; exponent > 0; exponent-- {
		digits = append(digits, '0')
	}
	if len(digits) <= 18 {
		n, err := strconv.ParseInt(string(digits), 10, 64)
		if err != nil {
			return nil, false
		}
		if negative {
			n = -n
		}
		return n, true
	}
	n, ok := new(big.Int).SetString(string(digits), 10)
	if ok && negative {
		n.Neg(n)
	}
	return n, ok
}

// splitDecimal returns the significant digits without leading zeros and the
// power of ten they are multiplied by.
func splitDecimal(text string) (digits []byte, exponent int, negative, ok bool) {
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		negative = text[i] == '-'
		i++
	}
	buf := make([]byte, 0, 48)
	seen, point := false, false
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		if point {
			exponent--
		}
		if c != '0' || len(buf) > 0 {
			buf = append(buf, c)
		}
	}
	if !seen {
		return nil, 0, false, false
	}
	if i < len(text) {
		if text[i] != 'e' && text[i] != 'E' {
			return nil, 0, false, false
		}
		e, err := strconv.Atoi(text[i+1:])
		if err != nil || e > 1000 || e < -1000 {
			return nil, 0, false, false
		}
		exponent += e
	}
	return buf, exponent, negative, true
}
