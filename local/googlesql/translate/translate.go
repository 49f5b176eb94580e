package translate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-googlesql"

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
	// SQL is the statement. It is empty for CREATE_TABLE without a query,
	// CREATE_VIEW, DROP and transaction statements: the server acts on the
	// analysed statement. For CREATE_TABLE_AS_SELECT it is the query alone,
	// with the columns named as the table's. For statements that change rows
	// DuckDB answers the number of rows changed.
	SQL string
	// Params says what to bind to $1, $2, ... of SQL: the name of a named
	// parameter in lower case, or the one-based position of a positional one
	// ("1"). Bind the text ParamText makes of a value, or nil for NULL.
	Params []string
	// Columns is the schema of the rows; empty without rows.
	Columns []analyze.Column
	Kind    analyze.Kind
	// Checks are queries to run before SQL in the same transaction.
	Checks []Check
}

// Check is a condition the service enforces and DuckDB does not: when SQL
// yields a row the statement fails with Message. Params is as in Query.
type Check struct {
	SQL     string
	Params  []string
	Message string
}

// Statement translates st. The error is *UnsupportedError for a construct
// without translation.
func Statement(st *analyze.Statement, n Namer) (q *Query, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			q, err = nil, r.err
		default:
			panic(r)
		}
	}()
	t := newTranslator(st, n)
	q = &Query{Kind: st.Kind}
	t.statement(q)
	q.Columns = nil
	if st.Kind == analyze.KindSelect || st.Kind == analyze.KindCreateTableAsSelect {
		q.Columns = st.Columns
	}
	return q, nil
}

// failure carries an error out of the recursion; Statement turns it back.
type failure struct{ err error }

func fail(err error) { panic(failure{err}) }

// get unwraps the result of one of the engine's accessors.
func get[T any](v T, err error) T {
	if err != nil {
		fail(fmt.Errorf("reading the resolved statement: %w", err))
	}
	return v
}

// translator is the state of one translation.
type translator struct {
	st     *analyze.Statement
	namer  Namer
	params *paramList
	types  map[string]*analyze.Type
	// bound replaces columns whose value is not the column of that name:
	// columns of a DML target, arguments of lambdas.
	bound map[int32]string
	// loop is the WITH entry whose recursive term is being translated.
	loop string
}

func newTranslator(st *analyze.Statement, n Namer) *translator {
	return &translator{
		st: st, namer: n, params: newParamList(st.Params()),
		types: map[string]*analyze.Type{}, bound: map[int32]string{},
	}
}

func (t *translator) statement(q *Query) {
	switch n := t.st.Node().(type) {
	case *googlesql.ResolvedQueryStmt:
		q.SQL = t.output(get(n.Query()), get(n.OutputColumnList()))
	case *googlesql.ResolvedCreateTableAsSelectStmt:
		q.SQL = t.output(get(n.Query()), get(n.OutputColumnList()))
	case *googlesql.ResolvedInsertStmt:
		t.insert(q, n)
	case *googlesql.ResolvedDeleteStmt:
		t.deleteRows(q, n)
	case *googlesql.ResolvedUpdateStmt:
		t.update(q, n)
	case *googlesql.ResolvedMergeStmt:
		t.merge(q, n)
	case *googlesql.ResolvedTruncateStmt:
		t.truncate(q, n)
	case *googlesql.ResolvedCreateTableStmt, *googlesql.ResolvedCreateViewStmt, *googlesql.ResolvedDropStmt,
		*googlesql.ResolvedBeginStmt, *googlesql.ResolvedCommitStmt, *googlesql.ResolvedRollbackStmt:
	default:
		t.unsupported(n, "statement "+string(t.st.Kind))
	}
	q.Params = t.params.used
}

// output is the outermost query: named columns of the declared types, in the
// order the query asks for.
func (t *translator) output(scan googlesql.ResolvedScanNode, columns []*googlesql.ResolvedOutputColumn) string {
	r := t.scan(scan)
	parts := make([]string, len(columns))
	for i, oc := range columns {
		col := get(oc.Column())
		typ := t.columnType(col)
		value := "s." + t.column(col)
		parts[i] = fmt.Sprintf("CAST(%s AS %s) AS %s", value, duckType(typ), quoteIdent(t.st.Columns[i].Name))
	}
	return t.wrapOrdered(r, parts)
}

// wrapOrdered selects parts from r, keeping the order r has.
func (t *translator) wrapOrdered(r *rel, parts []string) string {
	sql := "SELECT " + strings.Join(parts, ", ") + " FROM " + r.unordered().sub() + " AS s"
	if len(r.order) > 0 {
		sql += " ORDER BY " + strings.Join(prefixed(r.order, "s."), ", ")
	}
	return sql
}

// unsupported ends the translation, naming construct and where it stands.
func (t *translator) unsupported(n googlesql.ResolvedNode, construct string) {
	u := &UnsupportedError{Construct: construct}
	if n != nil {
		if loc, err := n.GetParseLocationRangeOrNULL(); err == nil && loc != nil {
			if p, err := loc.Start(); err == nil {
				if off, err := p.GetByteOffset(); err == nil && int(off) <= len(t.st.SQL) {
					before := t.st.SQL[:off]
					u.Line = strings.Count(before, "\n") + 1
					u.Col = len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
				}
			}
		}
	}
	fail(u)
}

// paramList numbers the parameters in the order of their first use.
type paramList struct {
	declared map[string]string
	used     []string
	index    map[string]int
}

func newParamList(params []analyze.Param) *paramList {
	l := &paramList{declared: map[string]string{}, index: map[string]int{}}
	for i, p := range params {
		key := strings.ToLower(p.Name)
		if p.Name == "" {
			key = strconv.Itoa(i + 1)
		}
		l.declared[key] = p.Type
	}
	return l
}

// number is the $n of a parameter.
func (l *paramList) number(key string) int {
	if n, ok := l.index[key]; ok {
		return n
	}
	l.used = append(l.used, key)
	l.index[key] = len(l.used)
	return len(l.used)
}
