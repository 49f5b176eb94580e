package analyze

import (
	"context"
	"fmt"

	"github.com/goccy/go-googlesql"
)

// Analyzer analyses statements. One serves a whole process; it is safe for
// concurrent use. Its engine starts on first use (about 40 ms).
type Analyzer struct {
	maxViewDepth int
}

// New returns an analyzer. It does no work until first used.
func New() (*Analyzer, error) { return &Analyzer{maxViewDepth: 16}, nil }

// Statement analyses one statement. A mistake in the SQL is an *Error, a legal
// construct without support an *UnsupportedError, a failing catalog any other
// error.
func (a *Analyzer) Statement(ctx context.Context, sql string, o Options) (*Statement, error) {
	return a.statement(ctx, sql, o, 0)
}

func (a *Analyzer) statement(ctx context.Context, sql string, o Options, depth int) (*Statement, error) {
	e, err := startEngine()
	if err != nil {
		return nil, err
	}
	if depth > a.maxViewDepth {
		return nil, &Error{Message: "View nesting is too deep"}
	}
	run := &analysis{engine: e, analyzer: a, sql: sql, opts: o, depth: depth}
	st, err := run.do(ctx)
	if err != nil && !isSQLError(err) {
		return nil, fmt.Errorf("analysing a statement: %w", err)
	}
	return st, err
}

// analysis is the analysis of one statement.
type analysis struct {
	engine   *engine
	analyzer *Analyzer
	sql      string
	opts     Options
	depth    int

	options *googlesql.AnalyzerOptions
	tables  *tableSet
}

func (r *analysis) do(ctx context.Context) (*Statement, error) {
	if err := r.prepareOptions(); err != nil {
		return nil, err
	}
	if err := r.findTables(ctx); err != nil {
		return nil, err
	}
	catalog, err := googlesql.NewMultiCatalogCreate("query", []googlesql.CatalogNode{r.tables.catalog, r.engine.builtins})
	if err != nil {
		return nil, err
	}
	out, err := googlesql.AnalyzeStatement(r.sql, r.options, catalog, r.engine.factory)
	if err != nil {
		return nil, r.explain(err)
	}
	node, err := out.ResolvedStatement()
	if err != nil {
		return nil, err
	}
	st := &Statement{
		SQL: r.sql, node: node, params: r.opts.Params,
		tables: r.tables.byID, views: r.tables.views,
		keep: []any{out, catalog, r.tables, r.options},
	}
	return st, r.describe(st)
}

// prepareOptions declares the query parameters.
func (r *analysis) prepareOptions() error {
	options, err := r.engine.options()
	if err != nil {
		return err
	}
	r.options = options
	if len(r.opts.Params) > 0 && r.opts.Params[0].Name == "" {
		if err := options.SetParameterMode(googlesql.ParameterModeParameterPositional); err != nil {
			return err
		}
	}
	for _, p := range r.opts.Params {
		t, err := r.engine.typeNode(p.Type)
		if err != nil {
			return &Error{Message: fmt.Sprintf("Invalid type of query parameter %q: %s", p.Name, p.Type)}
		}
		if p.Name == "" {
			err = options.AddPositionalQueryParameter(t)
		} else {
			err = options.AddQueryParameter(p.Name, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
