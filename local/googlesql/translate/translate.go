package translate

import (
	"context"
	"database/sql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// Namer gives a table its quoted DuckDB relation, for example "main"."t_17".
// Columns keep their GoogleSQL names in that relation.
type Namer interface {
	Relation(t *analyze.Table) (string, error)
}

// UnsupportedError says that a construct has no translation.
type UnsupportedError = analyze.UnsupportedError

// Query is a statement in DuckDB SQL.
type Query struct {
	// SQL is the statement; for CREATE_TABLE (without AS SELECT), CREATE_VIEW,
	// DROP and transaction statements it is empty: the server acts on the
	// analysed statement. For CREATE_TABLE_AS_SELECT it is the query alone.
	SQL string
	// Params names the parameter behind $1, $2, ...: the name of a named
	// parameter in lower case, or the one-based position ("1") of a
	// positional one. A parameter that is used twice appears once.
	Params []string
	// ParamTypes is the GoogleSQL type of each entry of Params.
	ParamTypes []string
	// Columns is the schema of the rows; empty without rows.
	Columns []analyze.Column
	Kind    analyze.Kind
	// Checks are queries with the same parameters to run before SQL in the
	// same transaction: a row in the answer fails the statement with Message.
	Checks []Check
}

// Check is a condition the service enforces and DuckDB does not. SQL yields a
// row when the statement must fail with Message.
type Check struct {
	SQL     string
	Params  []string
	Message string
}

// Statement translates st. The error is *UnsupportedError for a construct
// without translation.
func Statement(st *analyze.Statement, n Namer) (*Query, error) {
	return nil, &UnsupportedError{Construct: string(st.Kind)}
}

// DuckType is the DuckDB type that stores a GoogleSQL type.
func DuckType(googleSQLType string) (string, error) {
	return "", &UnsupportedError{Construct: "type " + googleSQLType}
}

// Setup installs the macros and Go functions the generated SQL uses on the
// database behind conn. It is called once a database, works with external
// access disabled, and leaves the connection usable. Every connection that
// runs generated SQL must have TimeZone set to UTC.
func Setup(ctx context.Context, conn *sql.Conn) error {
	return nil
}
