package analyze

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-googlesql"
)

// TypeText is the GoogleSQL text of an engine type.
func TypeText(t googlesql.Googlesql_TypeNode) (string, error) {
	named, ok := t.(interface {
		TypeName(mode googlesql.ProductMode) (string, error)
	})
	if !ok {
		return "", fmt.Errorf("type %T has no name", t)
	}
	return named.TypeName(googlesql.ProductModeProductExternal)
}

// describe fills in what is known of the statement beside its tree.
func (r *analysis) describe(st *Statement) error {
	kind, err := r.kind(st)
	if err != nil {
		return err
	}
	st.Kind = kind
	if err := r.references(st); err != nil {
		return err
	}
	switch n := st.node.(type) {
	case *googlesql.ResolvedQueryStmt:
		return r.describeQuery(st, n)
	case *googlesql.ResolvedCreateTableStmt:
		return r.describeCreateTable(st, n)
	case *googlesql.ResolvedCreateTableAsSelectStmt:
		return r.describeCreateTableAs(st, n)
	case *googlesql.ResolvedCreateViewStmt:
		return r.describeCreateView(st, n)
	case *googlesql.ResolvedDropStmt:
		return r.describeDrop(st, n)
	}
	return r.describeDML(st)
}

func (r *analysis) kind(st *Statement) (Kind, error) {
	switch n := st.node.(type) {
	case *googlesql.ResolvedQueryStmt:
		return KindSelect, nil
	case *googlesql.ResolvedInsertStmt:
		return KindInsert, nil
	case *googlesql.ResolvedUpdateStmt:
		return KindUpdate, nil
	case *googlesql.ResolvedDeleteStmt:
		return KindDelete, nil
	case *googlesql.ResolvedMergeStmt:
		return KindMerge, nil
	case *googlesql.ResolvedTruncateStmt:
		return KindTruncateTable, nil
	case *googlesql.ResolvedCreateTableStmt:
		return KindCreateTable, nil
	case *googlesql.ResolvedCreateTableAsSelectStmt:
		return KindCreateTableAsSelect, nil
	case *googlesql.ResolvedCreateViewStmt:
		return KindCreateView, nil
	case *googlesql.ResolvedBeginStmt:
		return KindBeginTransaction, nil
	case *googlesql.ResolvedCommitStmt:
		return KindCommitTransaction, nil
	case *googlesql.ResolvedRollbackStmt:
		return KindRollbackTransaction, nil
	case *googlesql.ResolvedDropStmt:
		return dropKind(n, r)
	}
	name, err := st.node.NodeKindString()
	if err != nil {
		return "", err
	}
	return "", unsupportedAt(r.sql, 0, r.opts, "statement "+strings.TrimSuffix(name, "Stmt"))
}

func dropKind(n *googlesql.ResolvedDropStmt, r *analysis) (Kind, error) {
	object, err := n.ObjectType()
	if err != nil {
		return "", err
	}
	switch strings.ToUpper(object) {
	case "TABLE":
		return KindDropTable, nil
	case "VIEW":
		return KindDropView, nil
	}
	return "", unsupportedAt(r.sql, 0, r.opts, "DROP "+object)
}

// references lists the tables that are read. The scan of a DML target counts
// as read only when the statement scans that table a second time.
func (r *analysis) references(st *Statement) error {
	scans, err := st.node.GetDescendantsWithKinds([]googlesql.ResolvedNodeKind{
		googlesql.ResolvedNodeKindResolvedTableScan,
	})
	if err != nil {
		return err
	}
	skip, err := r.target(st)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, s := range scans {
		id, err := scanID(s)
		if err != nil {
			return err
		}
		if id == skip {
			skip = ""
			continue
		}
		if t := st.tables[id]; t != nil && !seen[id] {
			seen[id] = true
			st.Referenced = append(st.Referenced, t)
		}
	}
	return nil
}

// target finds the table a DML statement changes and returns its id.
func (r *analysis) target(st *Statement) (string, error) {
	n, ok := st.node.(interface {
		TableScan() (*googlesql.ResolvedTableScan, error)
	})
	if !ok || !st.Kind.IsDML() {
		return "", nil
	}
	scan, err := n.TableScan()
	if err != nil {
		return "", err
	}
	id, err := scanID(scan)
	if err != nil {
		return "", err
	}
	st.TargetTable = st.tables[id]
	if st.TargetTable == nil {
		return "", fmt.Errorf("the target of %s was not resolved", st.Kind)
	}
	name := st.TargetTable.FullName()
	st.Target = &name
	return id, nil
}

func scanID(n googlesql.ResolvedNode) (string, error) {
	scan, ok := n.(*googlesql.ResolvedTableScan)
	if !ok {
		return "", fmt.Errorf("unexpected node %T", n)
	}
	table, err := scan.Table()
	if err != nil {
		return "", err
	}
	return table.FullName()
}

func (r *analysis) describeQuery(st *Statement, n *googlesql.ResolvedQueryStmt) error {
	columns, err := n.OutputColumnList()
	if err != nil {
		return err
	}
	st.Columns, err = r.outputColumns(columns)
	return err
}

// outputColumns names the columns of a result as the service does and refuses
// equal names.
func (r *analysis) outputColumns(list []*googlesql.ResolvedOutputColumn) ([]Column, error) {
	columns := make([]Column, len(list))
	used := map[string]bool{}
	unnamed := 0
	for i, oc := range list {
		c, err := outputColumn(oc)
		if err != nil {
			return nil, err
		}
		if c.Name == "" || strings.HasPrefix(c.Name, "$") {
			c.Name = "f" + strconv.Itoa(unnamed) + "_"
			unnamed++
		}
		key := strings.ToLower(c.Name)
		if used[key] {
			return nil, &Error{Message: "Duplicate column names in the result are not supported. Found duplicate(s): " + c.Name}
		}
		used[key] = true
		if err := uniqueFields(c.Type); err != nil {
			return nil, err
		}
		columns[i] = c
	}
	return columns, nil
}

// uniqueFields refuses equal names of fields: a row of the result could not
// tell them apart.
func uniqueFields(typ string) error {
	if !strings.Contains(typ, "STRUCT<") {
		return nil
	}
	t, err := ParseType(typ)
	if err != nil {
		// A type that cannot be stored is refused where it is used.
		return nil
	}
	return t.uniqueFields()
}

func (t *Type) uniqueFields() error {
	if t.Elem != nil {
		return t.Elem.uniqueFields()
	}
	used := map[string]bool{}
	for _, f := range t.Fields {
		key := strings.ToLower(f.Name)
		if key != "" && used[key] {
			return &Error{Message: "Duplicate column names in the result are not supported. Found duplicate(s): " + f.Name}
		}
		used[key] = true
		if err := f.Type.uniqueFields(); err != nil {
			return err
		}
	}
	return nil
}

func outputColumn(oc *googlesql.ResolvedOutputColumn) (Column, error) {
	name, err := oc.Name()
	if err != nil {
		return Column{}, err
	}
	col, err := oc.Column()
	if err != nil {
		return Column{}, err
	}
	t, err := col.Type()
	if err != nil {
		return Column{}, err
	}
	text, err := TypeText(t)
	return Column{Name: name, Type: text}, err
}

// describeDML finds the target and, for statements without THEN RETURN, leaves
// the result without columns.
func (r *analysis) describeDML(st *Statement) error {
	if !st.Kind.IsDML() {
		return nil
	}
	if st.TargetTable.View != "" {
		return &Error{Message: fmt.Sprintf("Cannot modify view %s", st.Target)}
	}
	switch n := st.node.(type) {
	case *googlesql.ResolvedDeleteStmt:
		if where, err := n.WhereExpr(); err != nil || where == nil {
			return firstError(err, r.noWhere("DELETE"))
		}
	case *googlesql.ResolvedUpdateStmt:
		if where, err := n.WhereExpr(); err != nil || where == nil {
			return firstError(err, r.noWhere("UPDATE"))
		}
	}
	return nil
}

func (r *analysis) noWhere(verb string) error {
	return errorAt(r.sql, 0, r.opts, verb+" must have a WHERE clause")
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
