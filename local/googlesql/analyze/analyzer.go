package analyze

import "context"

// Analyzer analyses statements. One serves a whole process; it is safe for
// concurrent use. Its engine starts on first use (about 40 ms).
type Analyzer struct {
}

// New returns an analyzer. It does no work until first used.
func New() (*Analyzer, error) { return &Analyzer{}, nil }

// Script splits a script at its statement boundaries. A procedural construct
// (DECLARE, IF, LOOP and so on) is an *UnsupportedError naming it; a syntax
// mistake is an *Error.
func (a *Analyzer) Script(sql string) ([]StatementText, error) {
	return nil, &UnsupportedError{Construct: "script"}
}

// Statement analyses one statement. A mistake in the SQL is an *Error, a legal
// construct without support an *UnsupportedError, a failing catalog any other
// error.
func (a *Analyzer) Statement(ctx context.Context, sql string, o Options) (*Statement, error) {
	return nil, &UnsupportedError{Construct: "statement"}
}
