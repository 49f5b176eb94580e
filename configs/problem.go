package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a problem means for its document.
type Severity uint8

// The severities. Only errors keep a document from running.
const (
	SeverityError   Severity = iota
	SeverityWarning          // it runs, but probably not as meant; an error where that is asked for
	SeverityNote             // worth knowing, never an error
)

// String returns the word that stands before the message, "" for an error.
func (s Severity) String() string {
	switch s {
	case SeverityWarning:
		return "warning"
	case SeverityNote:
		return "note"
	default:
		return ""
	}
}

// Problem is one thing wrong with a document, at the place where its author can mend it.
type Problem struct {
	File       string // name of the document as the user knows it
	Line, Col  int    // from 1; 0 when the problem has no place in the text
	Path       string // of the value in canonical spelling, e.g. steps[1].config.auth.type; may be empty
	Message    string // one sentence, lower case, without the path
	Suggestion string // a spelling that would be right; may be empty
	Severity   Severity
}

// String returns "file:line:col: path: message; did you mean "suggestion"?", with the
// severity before the path when it is no error.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, max(p.Col, 1))
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if word := p.Severity.String(); word != "" {
		b.WriteString(word + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", p.Suggestion)
	}
	return b.String()
}

// Problems is a list of problems and an error when it is not empty. Its text has one
// line per problem.
type Problems []Problem

// Error implements error.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the errors among the problems, sorted and each once, as an error; nil when
// there are none.
func (p Problems) Err() error {
	found := p.errors()
	if len(found) == 0 {
		return nil
	}
	return found.Sorted()
}

func (p Problems) errors() Problems {
	return p.where(func(x Problem) bool { return x.Severity == SeverityError })
}

// Warnings returns what is no error, sorted and each once.
func (p Problems) Warnings() Problems {
	return p.where(func(x Problem) bool { return x.Severity != SeverityError }).Sorted()
}

// Strict returns the problems with every warning made an error. Notes stay notes.
func (p Problems) Strict() Problems {
	out := slices.Clone(p)
	for i := range out {
		if out[i].Severity == SeverityWarning {
			out[i].Severity = SeverityError
		}
	}
	return out
}

func (p Problems) where(keep func(Problem) bool) Problems {
	return slices.DeleteFunc(slices.Clone(p), func(x Problem) bool { return !keep(x) })
}

// Sorted returns the problems by file, place, path and message, each once.
func (p Problems) Sorted() Problems {
	out := slices.Clone(p)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Severity, b.Severity))
	})
	return slices.Compact(out)
}
