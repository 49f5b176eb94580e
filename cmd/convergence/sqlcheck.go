package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// sqlChecker checks SQL with the analyzer of the embedded warehouse. The analyzer starts
// with the first statement, so that documents without SQL do not pay for it.
type sqlChecker struct {
	start func() (*analyze.Analyzer, error)
	known sqlVerdicts
}

func newSQLChecker() *sqlChecker {
	return &sqlChecker{start: sync.OnceValues(analyze.New)}
}

// Check implements configs.SQLChecker. A statement is analysed once as long as the tables
// that it asks for stay what they were.
func (c *sqlChecker) Check(ctx context.Context, r configs.SQLRequest) configs.SQLResult {
	if found, ok := c.known.find(r); ok {
		return found
	}
	asked := map[string]told{}
	out := c.analyse(ctx, r, asked)
	if ctx.Err() == nil {
		c.known.keep(r, asked, out)
	}
	return out
}

// analyse notes in asked what it was told of tables.
func (c *sqlChecker) analyse(ctx context.Context, r configs.SQLRequest, asked map[string]told) configs.SQLResult {
	analyzer, err := c.start()
	if err != nil {
		return configs.SQLResult{Problems: []configs.SQLProblem{unchecked(err)}}
	}
	catalog := &declaredTables{tables: r.Tables, asked: asked, opaque: map[string]bool{}, home: r.Project + "." + r.Dataset + "."}
	options := analyze.Options{DefaultProject: r.Project, DefaultDataset: r.Dataset, Catalog: catalog}
	for _, p := range r.Params {
		options.Params = append(options.Params, analyze.Param{Name: p.Name, Type: p.Type.String()})
	}
	var out configs.SQLResult
	parts, err := split(analyzer, r.SQL)
	if err != nil {
		out.Problems = append(out.Problems, finding(err, configs.SQLMistake))
		return out
	}
	for _, part := range parts {
		options.Line, options.Col = part.Line, part.Col
		statement, problems := catalog.check(ctx, analyzer, part.SQL, options)
		out.Problems = append(out.Problems, problems...)
		if statement != nil && statement.Kind == analyze.KindSelect && len(parts) == 1 {
			out.Columns = columnsOf(statement)
		}
	}
	out.Reads = catalog.reads
	return out
}

// split cuts a script into statements. Text that holds no semicolon is one, which saves
// reading it twice.
func split(a *analyze.Analyzer, sql string) ([]analyze.StatementText, error) {
	if !strings.Contains(sql, ";") {
		return []analyze.StatementText{{SQL: sql, Line: 1, Col: 1}}, nil
	}
	return a.Script(sql)
}

func columnsOf(s *analyze.Statement) []configs.SQLColumn {
	out := make([]configs.SQLColumn, len(s.Columns))
	for i, c := range s.Columns {
		out[i] = configs.SQLColumn{Name: c.Name, Type: c.Type}
	}
	return out
}

// declaredTables implements analyze.Catalog. An opaque table is one that nothing
// declares: it is let through without columns, so that the rest of a statement is read.
type declaredTables struct {
	tables map[string][]configs.SQLColumn
	asked  map[string]told
	opaque map[string]bool
	reads  []string
	home   string // what names of the run's own dataset start with
}

// Table implements analyze.Catalog.
func (d *declaredTables) Table(_ context.Context, project, dataset, name string) (*analyze.Table, error) {
	key := project + "." + dataset + "." + name
	columns, declared := d.tables[key]
	d.asked[key] = told{columns, declared}
	if strings.HasPrefix(strings.ToUpper(name), "INFORMATION_SCHEMA.") {
		d.opaque[key] = true // there in every warehouse
	}
	if !declared && !d.opaque[key] {
		return nil, analyze.ErrTableNotFound
	}
	if !slices.Contains(d.reads, key) {
		d.reads = append(d.reads, key)
	}
	t := &analyze.Table{Project: project, Dataset: dataset, Name: name}
	for _, c := range columns {
		t.Columns = append(t.Columns, analyze.Column{Name: c.Name, Type: c.Type})
	}
	for _, name := range []string{"_PARTITIONDATE", "_PARTITIONTIME"} {
		t.Columns = append(t.Columns, analyze.Column{Name: name, Type: map[string]string{"_PARTITIONDATE": "DATE", "_PARTITIONTIME": "TIMESTAMP"}[name], Pseudo: true})
	}
	return t, nil
}

// mostOpaque bounds how many undeclared tables of one statement are named.
const mostOpaque = 32

// check analyses one statement, again for every table that nothing declares. What does
// not fit an undeclared table is no finding.
func (d *declaredTables) check(ctx context.Context, a *analyze.Analyzer, sql string, o analyze.Options) (*analyze.Statement, []configs.SQLProblem) {
	var problems []configs.SQLProblem
	for range mostOpaque {
		statement, err := a.Statement(ctx, sql, o)
		if err == nil {
			return statement, problems
		}
		if p, undeclared := d.undeclared(err); undeclared {
			problems = append(problems, p)
			continue
		}
		p := finding(err, configs.SQLMismatch)
		if p.Kind != configs.SQLMismatch || len(d.opaque) == 0 {
			problems = append(problems, p)
		}
		return nil, problems
	}
	return nil, problems
}

var notFound = regexp.MustCompile(`^Not found: Table ([^:]+):(\S+) was not found`)

// undeclared recognises that a table is missing and lets it through from now on.
func (d *declaredTables) undeclared(err error) (configs.SQLProblem, bool) {
	var mistake *analyze.Error
	if !errors.As(err, &mistake) || !mistake.NotFound {
		return configs.SQLProblem{}, false
	}
	m := notFound.FindStringSubmatch(mistake.Message)
	if m == nil {
		return configs.SQLProblem{}, false
	}
	key := m[1] + "." + m[2]
	if d.opaque[key] {
		return configs.SQLProblem{}, false
	}
	d.opaque[key] = true
	return configs.SQLProblem{
		Kind: configs.SQLNoTable, Line: mistake.Line, Col: mistake.Col, Table: key,
		Message: fmt.Sprintf("nothing declares the table %s: its columns are not checked", strings.TrimPrefix(key, d.home)),
	}, true
}

// The analyzer ends messages with a suggestion and a place; the first line says it all.
var (
	place   = regexp.MustCompile(`\s*at \[\d+:\d+\]$`)
	similar = regexp.MustCompile(`^(.*); Did you mean (.*)\?$`)
)

// finding says what an error of the analyzer is about. Syntax and functions are the
// statement's own; anything else may come from the tables' columns.
func finding(err error, kind configs.SQLKind) configs.SQLProblem {
	var mistake *analyze.Error
	if !errors.As(err, &mistake) {
		return unchecked(err)
	}
	for _, own := range []string{"Syntax error", "Function not found", "Table-valued function not found", "Query parameter", "Duplicate column names"} {
		if strings.HasPrefix(mistake.Message, own) {
			kind = configs.SQLMistake
		}
	}
	message, _, _ := strings.Cut(place.ReplaceAllString(mistake.Message, ""), "\n")
	p := configs.SQLProblem{Kind: kind, Line: max(mistake.Line, 1), Col: max(mistake.Col, 1), Message: message}
	if m := similar.FindStringSubmatch(message); m != nil {
		p.Message, p.Suggestion = m[1], m[2]
	}
	return p
}

// unchecked is what remains to say of a statement that the analyzer cannot read.
func unchecked(err error) configs.SQLProblem {
	p := configs.SQLProblem{Kind: configs.SQLUnknown, Line: 1, Col: 1, Message: "is not checked: " + err.Error()}
	var unsupported *analyze.UnsupportedError
	if errors.As(err, &unsupported) && unsupported.Line > 0 {
		p.Line, p.Col = unsupported.Line, unsupported.Col
	}
	return p
}
