package translate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// testDB is a DuckDB in memory behind the analysis and the translation: the
// smallest server there can be.
type testDB struct {
	conn     *sql.Conn
	analyzer *analyze.Analyzer

	mu     sync.Mutex
	tables map[analyze.TableName]*analyze.Table
}

func openDB(t testing.TB) *testDB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.ExecContext(t.Context(), "SET TimeZone='UTC'; SET enable_external_access=false"); err != nil {
		t.Fatal(err)
	}
	if err := translate.Setup(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	analyzer, err := analyze.New()
	if err != nil {
		t.Fatal(err)
	}
	return &testDB{conn: conn, analyzer: analyzer, tables: map[analyze.TableName]*analyze.Table{}}
}

func (d *testDB) Table(_ context.Context, project, dataset, name string) (*analyze.Table, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if table, ok := d.tables[analyze.TableName{Project: project, Dataset: dataset, Name: name}]; ok {
		return table, nil
	}
	return nil, analyze.ErrTableNotFound
}

func (d *testDB) Relation(table *analyze.Table) (string, error) {
	return `"` + strings.ReplaceAll(table.FullName().String(), `"`, `""`) + `"`, nil
}

// param is a query parameter of a test.
type param struct {
	name, typ string
	value     any
}

func (d *testDB) prepare(ctx context.Context, text string, params []param) (*analyze.Statement, *translate.Query, error) {
	o := analyze.Options{DefaultProject: "p", DefaultDataset: "d", Catalog: d}
	for _, p := range params {
		o.Params = append(o.Params, analyze.Param{Name: p.name, Type: p.typ})
	}
	st, err := d.analyzer.Statement(ctx, text, o)
	if err != nil {
		return nil, nil, err
	}
	q, err := translate.Statement(st, d)
	return st, q, err
}

func bind(names []string, params []param) []any {
	var args []any
	for _, name := range names {
		for i, p := range params {
			if p.name == name || p.name == "" && name == fmt.Sprint(i+1) {
				args = append(args, p.value)
			}
		}
	}
	return args
}

// run executes a script and answers the rows of its last query, each value as
// text.
func (d *testDB) run(ctx context.Context, script string, params ...param) ([][]string, error) {
	statements, err := d.analyzer.Script(script)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, text := range statements {
		if rows, err = d.statement(ctx, text.SQL, params); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (d *testDB) statement(ctx context.Context, text string, params []param) ([][]string, error) {
	st, q, err := d.prepare(ctx, text, params)
	if err != nil {
		return nil, err
	}
	switch st.Kind {
	case analyze.KindSelect:
		return d.query(ctx, q.SQL, bind(q.Params, params))
	case analyze.KindCreateTable, analyze.KindCreateTableAsSelect, analyze.KindCreateView:
		return nil, d.create(ctx, st, q, params)
	}
	for _, check := range q.Checks {
		rows, err := d.query(ctx, check.SQL, bind(check.Params, params))
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			return nil, errors.New(check.Message)
		}
	}
	res, err := d.conn.ExecContext(ctx, q.SQL, bind(q.Params, params)...)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, q.SQL)
	}
	n, err := res.RowsAffected()
	return [][]string{{fmt.Sprint(n)}}, err
}

func (d *testDB) create(ctx context.Context, st *analyze.Statement, q *translate.Query, params []param) error {
	table := &analyze.Table{Project: st.Target.Project, Dataset: st.Target.Dataset, Name: st.Target.Name, View: st.Create.Query}
	var columns []string
	for _, c := range st.Create.Columns {
		table.Columns = append(table.Columns, analyze.Column{Name: c.Name, Type: c.Type})
		typ, err := translate.DuckType(c.Type)
		if err != nil {
			return err
		}
		columns = append(columns, `"`+c.Name+`" `+typ)
	}
	d.mu.Lock()
	d.tables[*st.Target] = table
	d.mu.Unlock()
	if st.Kind == analyze.KindCreateView {
		return nil
	}
	relation, err := d.Relation(table)
	if err != nil {
		return err
	}
	text := "CREATE OR REPLACE TABLE " + relation + " (" + strings.Join(columns, ", ") + ")"
	if q.SQL != "" {
		text = "CREATE OR REPLACE TABLE " + relation + " AS " + q.SQL
	}
	if _, err := d.conn.ExecContext(ctx, text, bind(q.Params, params)...); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

func (d *testDB) query(ctx context.Context, text string, args []any) ([][]string, error) {
	rows, err := d.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := [][]string{}
	for rows.Next() {
		values := make([]any, len(names))
		targets := make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = show(v)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return out, nil
}

// show prints a value of DuckDB without its type.
func show(v any) string {
	switch x := v.(type) {
	case nil:
		return "NULL"
	case duckdb.Decimal:
		r := new(big.Rat).SetFrac(x.Value, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(x.Scale)), nil))
		return strings.TrimSuffix(strings.TrimRight(r.FloatString(int(x.Scale)), "0"), ".")
	case time.Time:
		return strings.TrimSuffix(strings.TrimSuffix(x.UTC().Format("2006-01-02 15:04:05.999999"), " 00:00:00"), "1-01-01 ")
	case []byte:
		return fmt.Sprintf("%x", x)
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = show(e)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		return showStruct(x)
	}
	return fmt.Sprint(v)
}

func showStruct(m map[string]any) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	for i := range names {
		for j := range names[:i] {
			if names[i] < names[j] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + ":" + show(m[name])
	}
	return "{" + strings.Join(parts, " ") + "}"
}
