package configs

import "context"

// Kinds of processors.
const (
	KindSource  = "source"  // fetches
	KindProcess = "process" // turns the rows of another step into rows
	KindQuery   = "query"   // a SQL template whose result the warehouse computes itself
)

// Output are the defaults of a processor's destination. Zero values mean: no default.
type Output struct {
	SchemaRef  string // declared schema, "{provider}/{domain}/{name}"
	Table      string
	WriteMode  string
	ByDay      bool // the step's slices are days
	MoneyTable bool // rejects are not tolerated by default
	Envelope   bool // rows are raw envelopes plus added fields, when the step declares no schema
}

// Processor is what the language needs to know of a processor.
type Processor interface {
	Name() string
	Kind() string         // source, process or query
	NewConfig() any       // pointer to a fresh config with defaults
	ConfigSchema() []byte // JSON Schema of the config
	Template(config any) string
	Output() Output
	Provider() string // credential provider; "" when any
}

// Processors finds processors by name or alias. Names lists them without aliases.
type Processors interface {
	Lookup(name string) (Processor, bool)
	Names() []string
}

// SQLProblem is what a SQL check found; Line and Col count from 1 in the SQL text that
// was given to it.
type SQLProblem struct {
	Line, Col int
	Message   string
}

// SQLChecker analyses a statement against tables, keyed "project.dataset.table", without
// running it.
type SQLChecker interface {
	Check(ctx context.Context, sql string, params []Param, tables map[string]TableSchema) []SQLProblem
}
