package translate

import (
	"bytes"
	"crypto/sha512"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2"
)

func isSpace(r rune) bool { return unicode.IsSpace(r) }

func textFunctions() map[string]goFunction {
	text, integer := info(duckdb.TYPE_VARCHAR), info(duckdb.TYPE_BIGINT)
	double, blob := info(duckdb.TYPE_DOUBLE), info(duckdb.TYPE_BLOB)
	return map[string]goFunction{
		"bq_udf_text_to_int":   one(text, integer, textToInt),
		"bq_udf_text_to_float": one(text, double, textToFloat),
		"bq_udf_float_text":    one(double, text, func(x float64) (any, error) { return floatText(x), nil }),
		"bq_udf_bytes_to_text": one(blob, text, bytesToText),
		"bq_udf_json_quote":    one(text, text, func(s string) (any, error) { return jsonQuote(s), nil }),
		"bq_udf_parse_json":    one(text, text, normalJSON),
		"bq_udf_raise":         one(text, integer, func(message string) (any, error) { return nil, errors.New(message) }),
		"bq_sha512": one(blob, blob, func(b []byte) (any, error) {
			sum := sha512.Sum512(b)
			return sum[:], nil
		}),
		"bq_udf_regexp_extract": {in: []duckdb.TypeInfo{text, text, integer, integer}, out: text, run: regexpExtractRow},
	}
}

func textToInt(s string) (any, error) {
	t := strings.TrimFunc(s, isSpace)
	digits, base := strings.TrimLeft(t, "+-"), 10
	sign := t[:len(t)-len(digits)]
	if len(sign) > 1 || digits == "" {
		return nil, fmt.Errorf("Bad int64 value: %s", s)
	}
	if len(digits) > 2 && (digits[:2] == "0x" || digits[:2] == "0X") {
		digits, base = digits[2:], 16
	}
	if sign == "+" {
		sign = ""
	}
	n, err := strconv.ParseInt(sign+digits, base, 64)
	if err != nil {
		return nil, fmt.Errorf("Bad int64 value: %s", s)
	}
	return n, nil
}

func textToFloat(s string) (any, error) {
	t := strings.ToLower(strings.TrimFunc(s, isSpace))
	if strings.ContainsAny(t, "_xp") {
		return nil, fmt.Errorf("Bad double value: %s", s)
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || err != nil && math.IsInf(f, 0) {
		return nil, fmt.Errorf("Bad double value: %s", s)
	}
	return f, nil
}

// floatText prints 15 digits when they read back as the same number, else 17.
func floatText(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	case x == 0 && math.Signbit(x):
		return "-0"
	}
	text := formatG(x, 15)
	if back, err := strconv.ParseFloat(text, 64); err != nil || back != x {
		text = formatG(x, 17)
	}
	return text
}

// formatG is C's %.<digits>g.
func formatG(x float64, digits int) string {
	text := strconv.FormatFloat(x, 'e', digits-1, 64)
	mantissa, exponent, _ := strings.Cut(text, "e")
	e, err := strconv.Atoi(exponent)
	if err != nil {
		return text
	}
	if e < -4 || e >= digits {
		mantissa = strings.TrimSuffix(strings.TrimRight(mantissa, "0"), ".")
		return fmt.Sprintf("%se%+03d", mantissa, e)
	}
	fixed := strconv.FormatFloat(x, 'f', max(digits-1-e, 0), 64)
	if strings.Contains(fixed, ".") {
		fixed = strings.TrimSuffix(strings.TrimRight(fixed, "0"), ".")
	}
	return fixed
}

func bytesToText(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("Invalid UTF-8 in cast from BYTES to STRING")
	}
	return string(b), nil
}

func jsonQuote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// normalJSON checks a document and prints it without spaces, keys in order.
func normalJSON(s string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("Invalid input to PARSE_JSON: %w", err)
	}
	if dec.More() {
		return nil, errors.New("Invalid input to PARSE_JSON: syntax error while parsing value")
	}
	if err := normalNumbers(&v); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("Invalid input to PARSE_JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// normalNumbers refuses numbers that a FLOAT64 does not hold exactly enough to
// print them back, as PARSE_JSON does.
func normalNumbers(v *any) error {
	switch x := (*v).(type) {
	case json.Number:
		text := x.String()
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return nil
		}
		if _, err := strconv.ParseUint(text, 10, 64); err == nil {
			return nil
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("Invalid input to PARSE_JSON: Input number: %s cannot round-trip through string representation", text)
		}
		printed := floatText(f)
		if !strings.ContainsAny(printed, ".e") {
			printed += ".0"
		}
		*v = json.RawMessage(printed)
	case []any:
		for i := range x {
			if err := normalNumbers(&x[i]); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range x {
			if err := normalNumbers(&e); err != nil {
				return err
			}
			x[k] = e
		}
	}
	return nil
}

// patterns remembers compiled expressions: a query uses one for every row. It
// is emptied when a query makes its patterns out of rows.
var patterns = struct {
	sync.Mutex
	byText map[string]*regexp.Regexp
}{byText: map[string]*regexp.Regexp{}}

const maxPatterns = 1000

func pattern(text string) (*regexp.Regexp, error) {
	patterns.Lock()
	defer patterns.Unlock()
	if re, ok := patterns.byText[text]; ok {
		return re, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("Cannot parse regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if len(patterns.byText) >= maxPatterns {
		clear(patterns.byText)
	}
	patterns.byText[text] = re
	return re, nil
}

// regexpExtractRow is REGEXP_EXTRACT(value, pattern, position, occurrence).
func regexpExtractRow(v []driver.Value) (any, error) {
	value, okV := v[0].(string)
	text, okP := v[1].(string)
	position, okN := v[2].(int64)
	occurrence, okO := v[3].(int64)
	if !okV || !okP || !okN || !okO {
		return nil, errors.New("unexpected arguments of REGEXP_EXTRACT")
	}
	re, err := pattern(text)
	if err != nil {
		return nil, err
	}
	if re.NumSubexp() > 1 {
		return nil, errors.New("Regular expressions passed into extraction functions must not have more than 1 capturing group")
	}
	if position < 1 || occurrence < 1 {
		return nil, errors.New("Position and occurrence of REGEXP_EXTRACT must be positive")
	}
	start := 0
	for ; position > 1; position-- {
		if start >= len(value) {
			return nil, nil
		}
		_, size := utf8.DecodeRuneInString(value[start:])
		start += size
	}
	matches := re.FindAllStringSubmatchIndex(value[start:], int(occurrence))
	if len(matches) < int(occurrence) {
		return nil, nil
	}
	m := matches[occurrence-1]
	at := 2 * re.NumSubexp()
	if m[at] < 0 {
		return nil, nil
	}
	return value[start+m[at] : start+m[at+1]], nil
}
