package plan

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// sqlTables are the tables that statements are checked against. Those that the document
// itself writes are own; one of them without columns is known to exist and no more.
type sqlTables struct {
	columns map[string][]configs.SQLColumn
	own     map[string]bool
}

// sql checks the statements of all steps against the declared tables. Only the first
// slice is looked at: the others differ in values.
func (b *builder) sql() {
	if b.deps.SQL == nil || !slices.ContainsFunc(b.plan.Steps, func(s *Step) bool { return statementOf(s) != nil }) {
		return
	}
	tables := b.sqlTables()
	nodes := configs.StepNodes(b.canonical)
	for _, s := range b.plan.Steps {
		statement := statementOf(s)
		if statement == nil {
			continue
		}
		result := b.deps.SQL.Check(b.ctx, configs.SQLRequest{
			SQL: statement.SQL, Params: statement.Params, Project: b.plan.Project, Dataset: b.plan.Dataset, Tables: tables.columns,
		})
		n := configs.Member(configs.Member(nodes[s.Index], "config"), "sql")
		b.analysed(n, stepPath(s)+".config.sql", statement, &result)
		before := b.errors()
		for _, found := range result.Problems {
			severity, told := tables.severity(found, result.Reads)
			if !told {
				continue
			}
			p := b.canonical.SQLProblem(n, stepPath(s)+".config.sql", statement, found)
			p.Severity = severity
			b.problems = append(b.problems, p)
		}
		if b.errors() == before {
			b.landsAs(s, n, &result, tables.own)
		}
		if key := b.tableKey(s); tables.own[key] && tables.columns[key] == nil && result.Columns != nil {
			tables.columns[key] = result.Columns
		}
	}
}

// statementOf returns the statement of a step's first slice, or nil.
func statementOf(s *Step) *configs.Statement {
	if len(s.Units) == 0 {
		return nil
	}
	return s.Units[0].Statement
}

// severity is what a finding means: a mistake in the text or against the document's own
// tables is an error, against tables of others a warning, because those may differ.
func (t sqlTables) severity(p configs.SQLProblem, reads []string) (severity configs.Severity, told bool) {
	switch p.Kind {
	case configs.SQLMistake:
		return configs.SeverityError, true
	case configs.SQLMismatch:
		if !slices.ContainsFunc(reads, func(table string) bool { return !t.own[table] }) {
			return configs.SeverityError, true
		}
	case configs.SQLNoTable:
		return configs.SeverityWarning, !t.own[p.Table]
	}
	return configs.SeverityWarning, true
}

func (b *builder) tableKey(s *Step) string {
	return b.plan.Project + "." + b.plan.Dataset + "." + s.Destination.Table
}

// sqlTables gathers the tables of the shipped schemas and those of the document's steps,
// which win.
func (b *builder) sqlTables() sqlTables {
	prefix := b.plan.Project + "." + b.plan.Dataset + "."
	out := sqlTables{columns: map[string][]configs.SQLColumn{}, own: map[string]bool{}}
	for _, ref := range b.deps.Catalog.Tables() {
		if t, ok := b.deps.Catalog.Table(ref); ok {
			out.columns[prefix+ref[strings.LastIndexByte(ref, '/')+1:]] = t.SQLColumns()
		}
	}
	for _, t := range b.deps.Catalog.Central() {
		out.columns[b.plan.Project+".organizations."+t.Name] = t.SQLColumns()
	}
	for _, s := range b.plan.Steps {
		if s.Destination.Table == "" {
			continue
		}
		key := b.tableKey(s)
		out.own[key] = true
		if len(s.Schema.Fields) > 0 && !s.inferred {
			out.columns[key] = s.Schema.SQLColumns()
		} else {
			delete(out.columns, key)
		}
	}
	return out
}

// analysed refuses statements of an org's document that the analyzer cannot vouch for,
// and tables that it found beside those that the text names.
func (b *builder) analysed(n *yaml.Node, path string, statement *configs.Statement, result *configs.SQLResult) {
	if b.canonical.File.Org == "" {
		return
	}
	for _, p := range result.Problems {
		if p.Kind == configs.SQLUnknown {
			b.problem(n, path, "cannot be checked, so that a document of an organization may not run it: %s", p.Message)
			return
		}
	}
	onlyMissing := !slices.ContainsFunc(result.Problems, func(p configs.SQLProblem) bool { return p.Kind != configs.SQLNoTable })
	missing := slices.DeleteFunc(b.unknownTables(result), func(name string) bool { return strings.Contains(name, ".") })
	switch {
	case result.Columns != nil || !onlyMissing:
	case statement.IsQuery() && len(missing) > 0:
		b.problem(n, path, "cannot be checked, because nothing declares the columns of %s, so that a document of an organization may not run it: declare them in schemas/%s.json beside the document", strings.Join(missing, ", "), missing[0])
	default:
		b.problem(n, path, "must be one SELECT: a document of an organization runs no other statement")
	}
	b.foreign(n, path, result.Reads)
}

// foreign refuses tables that a document of an org may not read.
func (b *builder) foreign(n *yaml.Node, path string, tables []string) {
	for _, table := range tables {
		if message := b.canonical.File.Foreign(table, b.plan.Project, b.plan.Dataset); message != "" {
			b.problem(n, path, "%s", message)
		}
	}
}
