package expr

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
)

// Error is a mistake in an expression.
type Error struct {
	Offset  int // byte of the expression that it is about
	Message string
	Unknown string // the name, when it is about one that is not there
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// TextOffset returns Offset; the pipeline language finds line and column by it.
func (e *Error) TextOffset() int { return e.Offset }

// Errors are all mistakes of an expression, by place.
type Errors []*Error

// Error implements error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Message
	}
	return strings.Join(lines, "; ")
}

// Unwrap returns the mistakes.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, x := range e {
		out[i] = x
	}
	return out
}

// found turns what CEL found into errors.
func found(text string, issues *cel.Issues) Errors {
	var out Errors
	for _, e := range issues.Errors() {
		x := &Error{Offset: offset(text, e), Message: plainly(e.Message)}
		if m := undeclared.FindStringSubmatch(e.Message); m != nil {
			x.Unknown = m[1]
		}
		out = append(out, x)
	}
	return out
}

// offset returns the byte of a place, whose column counts characters from 0.
func offset(text string, e *common.Error) int {
	if e.Location == nil || e.Location.Line() < 1 {
		return 0
	}
	at := 0
	for line := 1; line < e.Location.Line(); line++ {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			return at
		}
		at += i + 1
	}
	for column := 0; column < e.Location.Column() && at < len(text); column++ {
		_, size := decodeRune(text[at:])
		at += size
	}
	return at
}

var (
	noOverload = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	unexpected = regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(.*)' expecting `)
	symbol     = regexp.MustCompile(`^@?_?([^_]+)_?(?:\]|_)?$`)
)

// plainly says in words of the pipeline what CEL says in its own.
func plainly(message string) string {
	if m := undeclared.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("unknown name %q", m[1])
	}
	if m := unexpected.FindStringSubmatch(message); m != nil {
		if m[1] == "<EOF>" {
			return "the expression ends too early"
		}
		return fmt.Sprintf("%q cannot stand here", m[1])
	}
	m := noOverload.FindStringSubmatch(message)
	if m == nil {
		return strings.TrimPrefix(message, "Syntax error: ")
	}
	function, args := m[1], strings.ReplaceAll(m[2], "optional_type(", "optional(")
	if s := symbol.FindStringSubmatch(function); s != nil {
		function = s[1]
	}
	args = strings.NewReplacer("wrapper(", "", "google.protobuf.", "").Replace(args)
	text := fmt.Sprintf("%q cannot be applied to %s", function, args)
	switch {
	case strings.Contains(args, "optional("):
		return text + "; a nullable column is an optional: write column.orValue(...) or column.hasValue()"
	case strings.Contains(args, "double") && strings.Contains(args, "numeric"):
		return text + "; a double never mixes with money: write the number as numeric('0.1')"
	default:
		return text
	}
}
