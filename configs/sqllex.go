package configs

import "strings"

// sqlKind is the kind of a lexical element of GoogleSQL, as far as templates care.
type sqlKind uint8

const (
	sqlSpace sqlKind = iota
	sqlComment
	sqlString     // with its prefix and quotes
	sqlBacktick   // with its backticks
	sqlWord       // keyword, identifier or number
	sqlPunct      // one character
	sqlVariable   // {name} or {{ name }} outside of quotes and comments
	sqlUnfinished // a quote or comment that never ends
)

type sqlToken struct {
	kind   sqlKind
	text   string
	start  int
	prefix string // of a string: r, b, rb ... in lower case
	quote  string // of a string: one or three quote characters
}

// body returns the text between the quotes and the place where it starts.
func (t sqlToken) body() (text string, start int) {
	open := len(t.prefix) + len(t.quote)
	return t.text[open : len(t.text)-len(t.quote)], t.start + open
}

// lexSQL cuts a template into tokens; together they are the template again.
func lexSQL(text string) []sqlToken {
	var out []sqlToken
	for i := 0; i < len(text); {
		t := nextToken(text, i)
		t.start = i
		out = append(out, t)
		i += len(t.text)
	}
	return out
}

func nextToken(text string, i int) sqlToken {
	rest := text[i:]
	c := rest[0]
	switch {
	case isSpace(c):
		n := 1
		for n < len(rest) && isSpace(rest[n]) {
			n++
		}
		return sqlToken{kind: sqlSpace, text: rest[:n]}
	case strings.HasPrefix(rest, "--") || c == '#':
		n := strings.IndexByte(rest, '\n')
		if n < 0 {
			n = len(rest)
		}
		return sqlToken{kind: sqlComment, text: rest[:n]}
	case strings.HasPrefix(rest, "/*"):
		return until(rest, "*/", 2, sqlComment)
	case c == '`':
		return quoted(rest, "", "`", sqlBacktick)
	case c == '{':
		if m := refPattern.FindStringIndex(rest); m != nil && m[0] == 0 {
			return sqlToken{kind: sqlVariable, text: rest[:m[1]]}
		}
	case c == '\'' || c == '"':
		return stringToken(rest, "")
	case isWordByte(c):
		return word(rest)
	}
	return sqlToken{kind: sqlPunct, text: rest[:1]}
}

// word reads a word, or the string that it is the prefix of.
func word(rest string) sqlToken {
	n := 1
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	if n < len(rest) && (rest[n] == '\'' || rest[n] == '"') {
		switch prefix := strings.ToLower(rest[:n]); prefix {
		case "r", "b", "rb", "br":
			return stringToken(rest, prefix)
		}
	}
	return sqlToken{kind: sqlWord, text: rest[:n]}
}

func stringToken(rest, prefix string) sqlToken {
	quote := rest[len(prefix) : len(prefix)+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(rest[len(prefix):], triple) {
		quote = triple
	}
	return quoted(rest, prefix, quote, sqlString)
}

// quoted reads up to the closing quote; a backslash keeps the character after it from
// closing, in raw strings too.
func quoted(rest, prefix, quote string, kind sqlKind) sqlToken {
	open := len(prefix) + len(quote)
	for i := open; i < len(rest); i++ {
		switch {
		case strings.HasPrefix(rest[i:], "{{") && strings.Contains(rest[i:], "}}"):
			i += strings.Index(rest[i:], "}}") + 1 // filters may quote as the literal does
		case rest[i] == '\\':
			i++
		case rest[i] == '\n' && len(quote) == 1:
			return sqlToken{kind: sqlUnfinished, text: rest[:i]}
		case strings.HasPrefix(rest[i:], quote):
			return sqlToken{kind: kind, text: rest[:i+len(quote)], prefix: prefix, quote: quote}
		}
	}
	return sqlToken{kind: sqlUnfinished, text: rest}
}

func until(rest, end string, from int, kind sqlKind) sqlToken {
	i := strings.Index(rest[from:], end)
	if i < 0 {
		return sqlToken{kind: sqlUnfinished, text: rest}
	}
	return sqlToken{kind: kind, text: rest[:from+i+len(end)]}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
