package analyze

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// enginePosition is how the engine ends a message that has a position.
var enginePosition = regexp.MustCompile(`\s*\[at (\d+):(\d+)\]\s*$`)

// statusPrefix is the status code the engine's binding puts before a message.
var statusPrefix = regexp.MustCompile(`^(?:wasm error: |googlesql: )?(?:[A-Z_]+|Status \d+): `)

// sqlError turns an error of the engine into an *Error with the position moved
// by where the statement starts in its script.
func sqlError(err error, o Options) *Error {
	text := statusPrefix.ReplaceAllString(err.Error(), "")
	e := &Error{Message: text}
	if m := enginePosition.FindStringSubmatchIndex(text); m != nil {
		line, _ := strconv.Atoi(text[m[2]:m[3]])
		col, _ := strconv.Atoi(text[m[4]:m[5]])
		e.Line, e.Col = o.position(line, col)
		e.Message = text[:m[0]]
	}
	e.Message = strings.TrimSpace(e.Message)
	if e.Line > 0 {
		e.Message += fmt.Sprintf(" at [%d:%d]", e.Line, e.Col)
	}
	return e
}

// position is a position within the statement as one within its script.
func (o Options) position(line, col int) (int, int) {
	if o.Line == 0 {
		return line, col
	}
	if line == 1 {
		col += o.Col - 1
	}
	return line + o.Line - 1, col
}

// errorAt is an *Error about a byte of the statement.
func errorAt(sql string, offset int, o Options, message string) *Error {
	line, col := o.position(lineCol(sql, offset))
	return &Error{Message: fmt.Sprintf("%s at [%d:%d]", message, line, col), Line: line, Col: col}
}

// lineCol counts as the engine does: one-based, columns in characters.
func lineCol(sql string, offset int) (line, col int) {
	offset = min(max(offset, 0), len(sql))
	before := sql[:offset]
	line = strings.Count(before, "\n") + 1
	lastLine := before[strings.LastIndexByte(before, '\n')+1:]
	return line, len([]rune(lastLine)) + 1
}

// unsupportedAt is an *UnsupportedError about a byte of the statement.
func unsupportedAt(sql string, offset int, o Options, construct string) *UnsupportedError {
	line, col := o.position(lineCol(sql, offset))
	return &UnsupportedError{Construct: construct, Line: line, Col: col}
}

// isSQLError reports whether err is the statement's own fault.
func isSQLError(err error) bool {
	var e *Error
	var u *UnsupportedError
	return errors.As(err, &e) || errors.As(err, &u)
}
