package analyze

import (
	"context"
	"errors"
	"fmt"

	"github.com/goccy/go-googlesql"
)

// ErrTableNotFound is what a Catalog returns, possibly wrapped, for a table
// that does not exist. Statement reports it as BigQuery's "Not found" error.
// When it is wrapped as "table not found: Not found: Dataset p:d" those last
// words say what is missing.
var ErrTableNotFound = errors.New("table not found")

// Column is one column of a table or of a result. Type is GoogleSQL text, for
// example NUMERIC or ARRAY<STRUCT<k STRING, v INT64>>. A pseudo column can be
// named in a query but is not part of SELECT *.
type Column struct {
	Name   string
	Type   string
	Pseudo bool
}

// TableName is the full name of a table.
type TableName struct {
	Project string
	Dataset string
	Name    string
}

// String is the dotted form project.dataset.table.
func (n TableName) String() string { return n.Project + "." + n.Dataset + "." + n.Name }

// Table is what the analysis needs to know of a table. View holds the query
// text when the table is a logical view and is empty otherwise.
type Table struct {
	Project string
	Dataset string
	Name    string
	Columns []Column
	View    string
}

// FullName is the table's name as a value usable as a map key.
func (t *Table) FullName() TableName {
	return TableName{Project: t.Project, Dataset: t.Dataset, Name: t.Name}
}

// Catalog finds tables. It answers an error matching ErrTableNotFound when the
// table does not exist; any other error ends the analysis and is returned
// wrapped.
type Catalog interface {
	Table(ctx context.Context, project, dataset, name string) (*Table, error)
}

// Param is a declared query parameter. Name is empty for a positional one;
// Type is GoogleSQL text.
type Param struct {
	Name string
	Type string
}

// Options says against what a statement is analysed. A nil Catalog has no
// tables. Params are all named or all positional. Location is the name used in
// "not found" messages, US when empty. Line and Col say where the statement
// starts in its script, one-based; zero means at its beginning.
type Options struct {
	DefaultProject string
	DefaultDataset string
	Catalog        Catalog
	Params         []Param
	Location       string
	Line           int
	Col            int
}

// Kind is a statement type under the name BigQuery reports as statementType.
type Kind string

// The kinds of statement that are analysed.
const (
	KindSelect              Kind = "SELECT"
	KindInsert              Kind = "INSERT"
	KindUpdate              Kind = "UPDATE"
	KindDelete              Kind = "DELETE"
	KindMerge               Kind = "MERGE"
	KindTruncateTable       Kind = "TRUNCATE_TABLE"
	KindCreateTable         Kind = "CREATE_TABLE"
	KindCreateTableAsSelect Kind = "CREATE_TABLE_AS_SELECT"
	KindCreateView          Kind = "CREATE_VIEW"
	KindDropTable           Kind = "DROP_TABLE"
	KindDropView            Kind = "DROP_VIEW"
	KindBeginTransaction    Kind = "BEGIN_TRANSACTION"
	KindCommitTransaction   Kind = "COMMIT_TRANSACTION"
	KindRollbackTransaction Kind = "ROLLBACK_TRANSACTION"
)

// IsDML reports whether the statement changes rows of an existing table.
func (k Kind) IsDML() bool {
	switch k {
	case KindInsert, KindUpdate, KindDelete, KindMerge, KindTruncateTable:
		return true
	}
	return false
}

// Option is one entry of an OPTIONS list. Value is GoogleSQL literal text.
type Option struct {
	Name  string
	Value string
}

// ColumnDef is one column of CREATE TABLE.
type ColumnDef struct {
	Name    string
	Type    string
	NotNull bool
	Default string
	Options []Option
}

// PartitionBy is the PARTITION BY clause of CREATE TABLE. Granularity is HOUR,
// DAY, MONTH or YEAR; Column is empty for ingestion-time partitioning. For
// integer ranges IsRange is set and Start, End and Interval hold the bounds.
type PartitionBy struct {
	Column      string
	Granularity string
	IsRange     bool
	Start       int64
	End         int64
	Interval    int64
}

// Create is the DDL part of CREATE TABLE and CREATE VIEW as plain data. For
// AS SELECT, Columns holds the columns of the query.
type Create struct {
	Columns     []ColumnDef
	OrReplace   bool
	IfNotExists bool
	Temporary   bool
	PartitionBy *PartitionBy
	ClusterBy   []string
	Options     []Option
	Query       string
}

// Drop is the DDL part of DROP TABLE and DROP VIEW as plain data.
type Drop struct {
	IfExists bool
}

// Statement is one analysed statement. It is immutable and may be translated
// more than once.
type Statement struct {
	// Kind is the statement type.
	Kind Kind
	// Columns is the schema of the result; empty for a statement without rows.
	// Columns without a name are called f0_, f1_ and so on.
	Columns []Column
	// Target is the name of the table that the statement writes, creates or
	// drops; nil for a query. TargetTable is its catalog entry when it exists
	// and the statement needs one (DML).
	Target      *TableName
	TargetTable *Table
	// Referenced lists the tables that are read, each once, in the order of
	// their first appearance.
	Referenced []*Table
	// Create and Drop are set for those kinds only.
	Create *Create
	Drop   *Drop
	// SQL is the analysed text.
	SQL string

	tables map[string]*Table
	views  map[string]*Statement
	node   googlesql.ResolvedStatementNode
	params []Param
	keep   any
}

// Node is the resolved statement, for translation.
func (s *Statement) Node() googlesql.ResolvedStatementNode { return s.node }

// Params are the query parameters the statement was analysed with.
func (s *Statement) Params() []Param { return s.params }

// TableByID finds the catalog entry behind a resolved table by the name the
// resolver knows it under; nil when there is none.
func (s *Statement) TableByID(id string) *Table { return s.tables[id] }

// ViewByID is the analysed query of a view under the same name as TableByID;
// nil when the table is not a view.
func (s *Statement) ViewByID(id string) *Statement { return s.views[id] }

// StatementText is one statement of a script: the text between its boundaries
// without the closing semicolon, and where it starts (Line and Col one-based).
type StatementText struct {
	SQL    string
	Offset int
	Line   int
	Col    int
}

// Error is a mistake in the SQL. Message ends in "at [line:col]" when the
// position is known; Line and Col are one-based and zero when it is not.
type Error struct {
	Message string
	Line    int
	Col     int
	// NotFound is set when a table does not exist; the service answers 404.
	NotFound bool
}

// Error is the message as BigQuery sends it.
func (e *Error) Error() string { return e.Message }

// UnsupportedError says that a legal construct is not supported here.
type UnsupportedError struct {
	Construct string
	Line      int
	Col       int
}

// Error names the construct and, when known, its position.
func (e *UnsupportedError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s is not supported by the local server", e.Construct)
	}
	return fmt.Sprintf("%s is not supported by the local server at [%d:%d]", e.Construct, e.Line, e.Col)
}
