package conformance

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// value is a value of an expected answer: NULL, a scalar as the text between
// the separators, or an array or struct of values.
type value struct {
	null    bool
	raw     string // the text it was read from
	scalar  string
	quoted  bool // scalar was a string or bytes literal and is unescaped
	list    []value
	isArray bool
	isRow   bool
	anyHow  bool // an array without an order
}

// expectedReader reads the notation of the GoogleSQL compliance tests, such as
// ARRAY<STRUCT<a INT64, ARRAY<>>>[unknown order:{1, ARRAY<STRING>["x"]}].
type expectedReader struct {
	text string
	pos  int
}

func readExpected(text string) (v value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading the expected answer: %v", r)
		}
	}()
	text, _, _ = strings.Cut(text, "\n\nNOTE: ")
	r := &expectedReader{text: text}
	v = r.value()
	r.space()
	if r.pos != len(r.text) {
		return v, fmt.Errorf("reading the expected answer: %q is left", r.text[r.pos:])
	}
	return v, nil
}

func (r *expectedReader) space() {
	for r.pos < len(r.text) && strings.ContainsRune(" \n\t\r", rune(r.text[r.pos])) {
		r.pos++
	}
}

func (r *expectedReader) take(prefix string) bool {
	if strings.HasPrefix(r.text[r.pos:], prefix) {
		r.pos += len(prefix)
		return true
	}
	return false
}

func (r *expectedReader) must(prefix string) {
	if !r.take(prefix) {
		panic(fmt.Sprintf("expected %q at %q", prefix, r.text[r.pos:min(len(r.text), r.pos+40)]))
	}
}

func (r *expectedReader) value() value {
	r.space()
	start := r.pos
	v := r.any()
	v.raw = r.text[start:r.pos]
	return v
}

var rangeValue = regexp.MustCompile(`^\[[^\[\](){}"]*,\s*[^\[\](){}"]*\)`)

var jsonObject = regexp.MustCompile(`^\{"(?:[^"\\]|\\.)*":`)

func (r *expectedReader) any() value {
	r.typeName()
	r.space()
	switch {
	case rangeValue.MatchString(r.text[r.pos:]):
		text := rangeValue.FindString(r.text[r.pos:])
		r.pos += len(text)
		return value{scalar: text}
	case jsonObject.MatchString(r.text[r.pos:]):
		return r.bare()
	case r.take("(NULL)"), r.takeWord("NULL"):
		return value{null: true}
	case r.take("["):
		v := value{isArray: true}
		if r.take("unknown order:") {
			v.anyHow = true
		} else {
			r.take("known order:")
		}
		v.list = r.items("]")
		return v
	case r.take("{"):
		return value{isRow: true, list: r.items("}")}
	case r.take(`b"`):
		return value{scalar: r.quotedText('"'), quoted: true}
	case r.take(`b'`):
		return value{scalar: r.quotedText('\''), quoted: true}
	case r.take(`"`):
		return value{scalar: r.quotedText('"'), quoted: true}
	case r.take(`'`):
		return value{scalar: r.quotedText('\''), quoted: true}
	}
	return r.bare()
}

func (r *expectedReader) takeWord(word string) bool {
	rest := r.text[r.pos:]
	if !strings.HasPrefix(rest, word) || len(rest) > len(word) && !strings.ContainsRune(",]}) \n", rune(rest[len(word)])) {
		return false
	}
	r.pos += len(word)
	return true
}

// typeName skips ARRAY<...> and STRUCT<...> before a value.
func (r *expectedReader) typeName() {
	rest := r.text[r.pos:]
	if !strings.HasPrefix(rest, "ARRAY<") && !strings.HasPrefix(rest, "STRUCT<") {
		return
	}
	depth := 0
	for i := range len(rest) {
		switch rest[i] {
		case '<':
			depth++
		case '>':
			if depth--; depth == 0 {
				r.pos += i + 1
				return
			}
		}
	}
	panic("a type without an end")
}

func (r *expectedReader) items(end string) []value {
	var list []value
	for {
		r.space()
		if r.take(end) {
			return list
		}
		if len(list) > 0 {
			r.must(",")
		}
		list = append(list, r.value())
	}
}

// bare reads a number, a date and the like, or JSON, up to the separator that
// ends it.
func (r *expectedReader) bare() value {
	start, depth := r.pos, 0
	for ; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; {
		case c == '"':
			r.pos++
			r.quotedText('"')
			r.pos--
		case strings.ContainsRune("{[(", rune(c)):
			depth++
		case depth > 0 && strings.ContainsRune("}])", rune(c)):
			depth--
		case depth == 0 && strings.ContainsRune(",}]", rune(c)):
			return value{scalar: strings.TrimSpace(r.text[start:r.pos])}
		}
	}
	return value{scalar: strings.TrimSpace(r.text[start:r.pos])}
}

// quotedText reads a literal after its opening quote.
func (r *expectedReader) quotedText(quote byte) string {
	var b strings.Builder
	for r.text[r.pos] != quote {
		c := r.text[r.pos]
		r.pos++
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		r.escape(&b)
	}
	r.pos++
	return b.String()
}

var simpleEscapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
	'\\': '\\', '"': '"', '\'': '\'', '`': '`', '?': '?',
}

func (r *expectedReader) escape(b *strings.Builder) {
	c := r.text[r.pos]
	r.pos++
	if plain, ok := simpleEscapes[c]; ok {
		b.WriteByte(plain)
		return
	}
	digits, base := 0, 16
	switch {
	case c == 'x' || c == 'X':
		digits = 2
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	case c >= '0' && c <= '7':
		r.pos--
		digits, base = 3, 8
	default:
		panic(fmt.Sprintf("escape \\%c", c))
	}
	n, err := strconv.ParseUint(r.text[r.pos:r.pos+digits], base, 32)
	if err != nil {
		panic(err)
	}
	r.pos += digits
	if c == 'u' || c == 'U' {
		b.WriteRune(rune(n))
	} else {
		b.WriteByte(byte(n))
	}
}
