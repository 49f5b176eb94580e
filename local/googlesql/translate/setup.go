package translate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed"
	"fmt"

	"github.com/duckdb/duckdb-go/v2"
)

//go:embed macros.sql
var macrosSQL string

// Setup installs the macros and Go functions the generated SQL uses on the
// database behind conn, the macros in its current schema. It is called once
// for every opening of a database, works with external access disabled, and
// leaves the connection usable. Every connection that runs generated SQL must
// have TimeZone set to UTC.
func Setup(ctx context.Context, conn *sql.Conn) error {
	for name, f := range goFunctions() {
		if err := duckdb.RegisterScalarUDF(conn, name, f); err != nil {
			return fmt.Errorf("registering function %s: %w", name, err)
		}
	}
	if _, err := conn.ExecContext(ctx, macrosSQL); err != nil {
		return fmt.Errorf("installing macros: %w", err)
	}
	return nil
}

// goFunction is a scalar function of Go in DuckDB; any NULL argument makes the
// result NULL without a call.
type goFunction struct {
	in  []duckdb.TypeInfo
	out duckdb.TypeInfo
	run func(args []driver.Value) (any, error)
}

// Config is part of duckdb.ScalarFunc.
func (f goFunction) Config() duckdb.ScalarFuncConfig {
	return duckdb.ScalarFuncConfig{InputTypeInfos: f.in, ResultTypeInfo: f.out}
}

// Executor is part of duckdb.ScalarFunc.
func (f goFunction) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: f.run}
}

var _ duckdb.ScalarFunc = goFunction{}

// goFunctions is every function in Go by the name it has in DuckDB.
func goFunctions() map[string]goFunction {
	functions := map[string]goFunction{}
	for _, group := range []map[string]goFunction{decimalFunctions(), textFunctions(), timeFunctions()} {
		for name, f := range group {
			functions[name] = f
		}
	}
	return functions
}

// info makes the type of an argument; the types named here always exist.
func info(t duckdb.Type) duckdb.TypeInfo {
	i, err := duckdb.NewTypeInfo(t)
	if err != nil {
		panic("translate: " + err.Error())
	}
	return i
}

func decimalInfo(scale uint8) duckdb.TypeInfo {
	i, err := duckdb.NewDecimalInfo(38, scale)
	if err != nil {
		panic("translate: " + err.Error())
	}
	return i
}

// one, two and so on give Go functions typed arguments.
func one[A any](in, out duckdb.TypeInfo, f func(A) (any, error)) goFunction {
	return goFunction{in: []duckdb.TypeInfo{in}, out: out, run: func(v []driver.Value) (any, error) {
		a, ok := v[0].(A)
		if !ok {
			return nil, fmt.Errorf("unexpected argument %T", v[0])
		}
		return f(a)
	}}
}

func two[A, B any](in [2]duckdb.TypeInfo, out duckdb.TypeInfo, f func(A, B) (any, error)) goFunction {
	return goFunction{in: in[:], out: out, run: func(v []driver.Value) (any, error) {
		a, okA := v[0].(A)
		b, okB := v[1].(B)
		if !okA || !okB {
			return nil, fmt.Errorf("unexpected arguments %T, %T", v[0], v[1])
		}
		return f(a, b)
	}}
}
