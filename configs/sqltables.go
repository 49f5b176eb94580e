package configs

import (
	"slices"
	"strings"
)

// Tables returns the tables that a statement reads, as dotted paths in order of first
// use. Names that the statement itself defines in WITH are left out.
func (s *Statement) Tables() []string {
	tokens := significant(lexSQL(s.SQL))
	defined := withNames(tokens)
	var out []string
	for i, t := range tokens {
		if t.kind != sqlWord || !slices.Contains([]string{"FROM", "JOIN"}, strings.ToUpper(t.text)) {
			continue
		}
		name, next := dottedPath(tokens, i+1)
		call := next < len(tokens) && tokens[next].text == "("
		if name == "" || call || slices.Contains(defined, strings.ToLower(name)) || isExtract(tokens, i) || slices.Contains(out, name) {
			continue
		}
		out = append(out, name)
	}
	return out
}

func significant(tokens []sqlToken) []sqlToken {
	return slices.DeleteFunc(tokens, func(t sqlToken) bool { return t.kind == sqlSpace || t.kind == sqlComment })
}

// isExtract recognises FROM of EXTRACT(part FROM value).
func isExtract(tokens []sqlToken, i int) bool {
	return i >= 3 && tokens[i-2].text == "(" && strings.EqualFold(tokens[i-3].text, "EXTRACT")
}

// dottedPath reads a table path and returns the place after it.
func dottedPath(tokens []sqlToken, i int) (path string, next int) {
	var parts []string
	for ; i < len(tokens); i++ {
		switch t := tokens[i]; t.kind {
		case sqlBacktick:
			parts = append(parts, strings.Trim(t.text, "`"))
		case sqlWord:
			parts = append(parts, t.text)
		default:
			return strings.Join(parts, "."), i
		}
		for i+2 < len(tokens) && tokens[i+1].text == "-" && tokens[i+2].kind == sqlWord {
			parts[len(parts)-1] += "-" + tokens[i+2].text
			i += 2
		}
		if i+1 >= len(tokens) || tokens[i+1].text != "." {
			return strings.Join(parts, "."), i + 1
		}
		i++
	}
	return strings.Join(parts, "."), i
}

// withNames returns the names before AS ( in lower case.
func withNames(tokens []sqlToken) []string {
	var out []string
	for i := 2; i < len(tokens); i++ {
		if tokens[i].text == "(" && strings.EqualFold(tokens[i-1].text, "AS") {
			out = append(out, strings.ToLower(strings.Trim(tokens[i-2].text, "`")))
		}
	}
	return out
}

// OutermostLimit returns the byte of the SQL where a LIMIT of the whole result stands.
func (s *Statement) OutermostLimit() (offset int, ok bool) {
	depth := 0
	for _, t := range significant(lexSQL(s.SQL)) {
		switch {
		case t.text == "(":
			depth++
		case t.text == ")":
			depth--
		case t.kind == sqlWord && depth == 0 && strings.EqualFold(t.text, "LIMIT"):
			offset, ok = t.start, true
		case t.text == ";":
			return offset, ok
		}
	}
	return offset, ok
}
