package analyze

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"
)

// tableSet is the catalog of one statement: the tables its text may name,
// under the spelling the text uses.
type tableSet struct {
	catalog *googlesql.SimpleCatalog
	nested  map[string]*googlesql.SimpleCatalog
	added   map[string]TableName
	byID    map[string]*Table
	views   map[string]*Statement
	missing map[string]string
}

// findTables looks up in the caller's catalog every table the text may name.
func (r *analysis) findTables(ctx context.Context) error {
	catalog, err := googlesql.NewSimpleCatalog("tables", r.engine.factory)
	if err != nil {
		return err
	}
	r.tables = &tableSet{
		catalog: catalog, nested: map[string]*googlesql.SimpleCatalog{}, added: map[string]TableName{},
		byID: map[string]*Table{}, views: map[string]*Statement{}, missing: map[string]string{},
	}
	paths, err := r.tablePaths()
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := r.addPath(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// tablePaths are the paths in the text that may be table names.
func (r *analysis) tablePaths() ([][]string, error) {
	parserOptions, err := r.options.GetParserOptions()
	if err != nil {
		return nil, err
	}
	out, err := googlesql.ParseStatement(r.sql, parserOptions)
	if err != nil {
		return nil, sqlError(err, r.opts)
	}
	root, err := out.Statement()
	if err != nil {
		return nil, err
	}
	var paths [][]string
	err = walkTablePaths(root, &paths)
	return paths, err
}

// walkTablePaths collects the paths that stand where a table may be named.
func walkTablePaths(node googlesql.ASTNode, paths *[][]string) error {
	owner := false
	switch node.(type) {
	case *googlesql.ASTIdentifier, *googlesql.ASTPathExpression, *googlesql.ASTAlias,
		*googlesql.ASTIntLiteral, *googlesql.ASTStringLiteral, *googlesql.ASTParameterExpr:
		return nil
	case *googlesql.ASTTablePathExpression, *googlesql.ASTInsertStatement, *googlesql.ASTDeleteStatement,
		*googlesql.ASTUpdateStatement, *googlesql.ASTMergeStatement, *googlesql.ASTTruncateStatement,
		*googlesql.ASTCreateTableStatement, *googlesql.ASTCopyDataSource, *googlesql.ASTCloneDataSource:
		owner = true
	}
	n, err := node.NumChildren()
	if err != nil {
		return err
	}
	for i := range n {
		child, err := node.Child(i)
		if err != nil {
			return err
		}
		path, ok := child.(*googlesql.ASTPathExpression)
		if !ok {
			if err := walkTablePaths(child, paths); err != nil {
				return err
			}
			continue
		}
		if !owner {
			continue
		}
		names, err := path.ToIdentifierVector()
		if err != nil {
			return err
		}
		*paths = append(*paths, names)
	}
	return nil
}

// tableName reads a path as a table name. A backticked part may hold several
// names; INFORMATION_SCHEMA and what follows it belong to the last part.
func (o Options) tableName(path []string) (TableName, bool) {
	parts := strings.Split(strings.Join(path, "."), ".")
	name := parts[len(parts)-1]
	parts = parts[:len(parts)-1]
	for i, p := range parts {
		if strings.EqualFold(p, "INFORMATION_SCHEMA") {
			name = "INFORMATION_SCHEMA." + strings.Join(append(parts[i+1:], name), ".")
			parts = parts[:i]
			break
		}
	}
	if projectView(name) {
		return o.projectViewName(parts, name)
	}
	switch len(parts) {
	case 0:
		return TableName{o.DefaultProject, o.DefaultDataset, name}, o.DefaultDataset != ""
	case 1:
		return TableName{o.DefaultProject, parts[0], name}, true
	case 2:
		return TableName{parts[0], parts[1], name}, true
	}
	return TableName{}, false
}

// projectView reports whether a view of INFORMATION_SCHEMA is about a project,
// not about a dataset.
func projectView(name string) bool {
	view, ok := strings.CutPrefix(strings.ToUpper(name), "INFORMATION_SCHEMA.")
	return ok && (strings.HasPrefix(view, "SCHEMATA") || strings.HasPrefix(view, "JOBS"))
}

// projectViewName reads the path of such a view: nothing, a project, a region
// or both may stand before it. The region goes where the dataset would.
func (o Options) projectViewName(parts []string, name string) (TableName, bool) {
	n := TableName{Project: o.DefaultProject, Name: name}
	if len(parts) > 0 && strings.HasPrefix(strings.ToLower(parts[len(parts)-1]), "region-") {
		n.Dataset, parts = parts[len(parts)-1], parts[:len(parts)-1]
	}
	if len(parts) > 0 {
		n.Project = parts[0]
	}
	return n, len(parts) <= 1
}

func (r *analysis) addPath(ctx context.Context, path []string) error {
	key := strings.ToLower(strings.Join(path, "\x00"))
	full, ok := r.opts.tableName(path)
	if !ok || r.opts.Catalog == nil {
		return nil
	}
	if old, done := r.tables.added[key]; done {
		if old != full {
			return &UnsupportedError{Construct: fmt.Sprintf("naming %s and %s, which differ only in case, in one statement", old, full)}
		}
		return nil
	}
	table, err := r.opts.Catalog.Table(ctx, full.Project, full.Dataset, full.Name)
	if errors.Is(err, ErrTableNotFound) {
		r.tables.missing[strings.ToLower(strings.Join(path, "."))] = notFound(full, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up table %s: %w", full, err)
	}
	node, err := r.tableNode(ctx, table)
	if err != nil {
		return err
	}
	r.tables.added[key] = full
	return r.tables.register(path, node)
}

// notFound says what a catalog did not find: its own words if they are the
// service's, which may name the dataset, else the table.
func notFound(n TableName, err error) string {
	if _, own, ok := strings.Cut(err.Error(), ErrTableNotFound.Error()+": "); ok && strings.HasPrefix(own, "Not found: ") {
		return own
	}
	return fmt.Sprintf("Not found: Table %s:%s.%s", n.Project, n.Dataset, n.Name)
}

// register makes the table reachable under path through nested catalogs.
func (s *tableSet) register(path []string, table *googlesql.SimpleTable) error {
	at, prefix := s.catalog, ""
	for _, part := range path[:len(path)-1] {
		prefix += "\x00" + strings.ToLower(part)
		next, ok := s.nested[prefix]
		if !ok {
			made, err := at.MakeOwnedSimpleCatalog(part)
			if err != nil {
				return err
			}
			s.nested[prefix], next = made, made
		}
		at = next
	}
	return at.AddTable2(path[len(path)-1], table)
}

func (r *analysis) tableNode(ctx context.Context, table *Table) (*googlesql.SimpleTable, error) {
	full := table.FullName().String()
	if table.View != "" {
		expanded, err := r.view(ctx, table)
		if err != nil {
			return nil, err
		}
		table = expanded
	}
	node, err := googlesql.NewSimpleTable(full, 0)
	if err != nil {
		return nil, err
	}
	if err := node.SetFullName(full); err != nil {
		return nil, err
	}
	for _, c := range table.Columns {
		t, err := r.engine.typeNode(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s of table %s: %w", c.Name, full, err)
		}
		col, err := googlesql.NewSimpleColumn(full, c.Name, t, c.Pseudo, !c.Pseudo)
		if err != nil {
			return nil, err
		}
		if err := node.AddColumn2(col, true); err != nil {
			return nil, err
		}
	}
	r.tables.byID[full] = table
	return node, nil
}

// view analyses the query of a view and gives the table its columns.
func (r *analysis) view(ctx context.Context, table *Table) (*Table, error) {
	o := Options{DefaultProject: table.Project, Catalog: r.opts.Catalog, Location: r.opts.Location}
	st, err := r.analyzer.statement(ctx, table.View, o, r.depth+1)
	if err != nil {
		return nil, fmt.Errorf("view %s: %w", table.FullName(), err)
	}
	if st.Kind != KindSelect {
		return nil, &Error{Message: fmt.Sprintf("View %s is not a query", table.FullName())}
	}
	r.tables.views[table.FullName().String()] = st
	expanded := *table
	expanded.Columns = st.Columns
	return &expanded, nil
}

// explain gives the engine's error BigQuery's words where they differ.
func (r *analysis) explain(err error) error {
	e := sqlError(err, r.opts)
	name, ok := strings.CutPrefix(e.Message, "Table not found: ")
	if !ok {
		return e
	}
	name, _, _ = strings.Cut(name, " at [")
	name, _, _ = strings.Cut(name, "; Did you mean")
	name = strings.ReplaceAll(name, "`", "")
	missing, found := r.tables.missing[strings.ToLower(name)]
	if !found {
		e.Message = fmt.Sprintf("Table %q must be qualified with a dataset (e.g. dataset.table)", name)
	} else {
		e.NotFound = true
		e.Message = fmt.Sprintf("%s was not found in location %s", missing, r.opts.location())
	}
	if e.Line > 0 {
		e.Message += fmt.Sprintf(" at [%d:%d]", e.Line, e.Col)
	}
	return e
}

func (o Options) location() string {
	if o.Location == "" {
		return "US"
	}
	return o.Location
}
