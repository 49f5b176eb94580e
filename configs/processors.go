package configs

import "context"

// Kinds of processors.
const (
	KindSource  = "source"  // fetches
	KindProcess = "process" // turns the rows of another step into rows
	KindQuery   = "query"   // a SQL template whose result the warehouse computes itself
	KindRows    = "rows"    // changes rows on their way; a table of its own is optional
	KindAction  = "action"  // checks or stores something and has no rows
	KindHook    = "hook"    // runs when a run ends; no step waits for it
)

// Output are the defaults of a processor's destination. Zero values mean: no default.
type Output struct {
	SchemaRef  string // declared schema, "{provider}/{domain}/{name}"
	Table      string
	WriteMode  string
	ByDay      bool // the step's slices are days
	MoneyTable bool // rejects are not tolerated by default
	Envelope   bool // rows are raw envelopes plus added fields, when the step declares no schema
	RowVersion int  // counts up when the processor makes other rows of the same data
}

// Processor is what the language needs to know of a processor.
type Processor interface {
	Name() string
	Kind() string         // one of the kinds
	NewConfig() any       // pointer to a fresh config with defaults
	ConfigSchema() []byte // JSON Schema of the config
	Template(config any) string
	Output() Output
	Provider() string // credential provider; "" when any
	Planned() bool    // the language has it, this version cannot run it
}

// Processors finds processors by name or alias, planned ones too. Names and PlannedNames
// list those that can run and those that cannot yet, without aliases.
type Processors interface {
	Lookup(name string) (Processor, bool)
	Names() []string
	PlannedNames() []string
}

// SQLKind says what a SQL check found.
type SQLKind uint8

// The kinds of findings.
const (
	SQLMistake  SQLKind = iota // wrong whatever the tables are
	SQLMismatch                // does not fit the columns of the tables
	SQLNoTable                 // nothing declares the table
	SQLUnknown                 // could not be checked
)

// SQLProblem is what a SQL check found; Line and Col count from 1 in the SQL text that
// was given to it, Col in characters.
type SQLProblem struct {
	Kind       SQLKind
	Line, Col  int
	Message    string
	Suggestion string // a spelling that would be right; may be empty
	Table      string // of SQLNoTable, as in SQLRequest.Tables
}

// SQLColumn is a column of a table or result; Type is GoogleSQL text.
type SQLColumn struct{ Name, Type string }

// SQLRequest asks for the check of one statement.
type SQLRequest struct {
	SQL              string
	Params           []Param
	Project, Dataset string                 // of names that do not say theirs
	Tables           map[string][]SQLColumn // by project.dataset.table
}

// SQLResult is what a check found. Columns are those of the result, nil when unknown.
type SQLResult struct {
	Columns  []SQLColumn
	Problems []SQLProblem
	Reads    []string // declared tables that the statement reads, as in SQLRequest.Tables
}

// SQLChecker analyses a statement without running it.
type SQLChecker interface {
	Check(ctx context.Context, r SQLRequest) SQLResult
}
