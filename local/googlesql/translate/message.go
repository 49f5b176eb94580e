package translate

import (
	"regexp"
	"strings"
)

// runtimePrefix is what DuckDB and its driver put before the text of a failure
// raised by a macro or function of this package.
var runtimePrefix = regexp.MustCompile(`^[A-Z][A-Za-z ]* Error: (?:database/sql/driver: API error: )?`)

// Message is the text of a failure at run time as a client should read it: the
// text GoogleSQL has for failures raised here, DuckDB's own otherwise.
func Message(err error) string {
	text := runtimePrefix.ReplaceAllString(err.Error(), "")
	switch {
	case strings.HasPrefix(text, "More than one row returned by a subquery"):
		return "Scalar subquery produced more than one element"
	case strings.HasPrefix(text, "Overflow in ") && strings.Contains(text, "INT64"):
		return "int64 overflow"
	}
	return text
}
