package analyze

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-googlesql"
)

// createNode is what the CREATE statements have in common.
type createNode interface {
	CreateMode() (googlesql.ResolvedCreateStatementEnums_CreateMode, error)
	CreateScope() (googlesql.ResolvedCreateStatementEnums_CreateScope, error)
	NamePath() ([]string, error)
	OptionList() ([]*googlesql.ResolvedOption, error)
	ColumnDefinitionList() ([]*googlesql.ResolvedColumnDefinition, error)
}

func (r *analysis) describeCreate(st *Statement, n createNode) error {
	path, err := n.NamePath()
	if err != nil {
		return err
	}
	if err := r.setTarget(st, path); err != nil {
		return err
	}
	mode, err := n.CreateMode()
	if err != nil {
		return err
	}
	scope, err := n.CreateScope()
	if err != nil {
		return err
	}
	st.Create = &Create{
		OrReplace:   mode == googlesql.ResolvedCreateStatementEnums_CreateModeCreateOrReplace,
		IfNotExists: mode == googlesql.ResolvedCreateStatementEnums_CreateModeCreateIfNotExists,
		Temporary:   scope == googlesql.ResolvedCreateStatementEnums_CreateScopeCreateTemp,
	}
	options, err := n.OptionList()
	if err != nil {
		return err
	}
	if st.Create.Options, err = r.optionList(options); err != nil {
		return err
	}
	defs, err := n.ColumnDefinitionList()
	if err != nil {
		return err
	}
	for _, d := range defs {
		def, err := r.columnDef(d)
		if err != nil {
			return err
		}
		st.Create.Columns = append(st.Create.Columns, def)
	}
	return nil
}

func (r *analysis) setTarget(st *Statement, path []string) error {
	name, ok := r.opts.tableName(path)
	if !ok {
		return &Error{Message: fmt.Sprintf("Table %q must be qualified with a dataset (e.g. dataset.table)", strings.Join(path, "."))}
	}
	st.Target = &name
	return nil
}

func (r *analysis) describeCreateTable(st *Statement, n *googlesql.ResolvedCreateTableStmt) error {
	if err := r.describeCreate(st, n); err != nil {
		return err
	}
	clone, err := n.CloneFrom()
	if err != nil {
		return err
	}
	copied, err := n.CopyFrom()
	if err != nil {
		return err
	}
	like, err := n.LikeTable()
	if err != nil {
		return err
	}
	if clone != nil || copied != nil {
		return unsupportedAt(r.sql, 0, r.opts, "CREATE TABLE ... CLONE or COPY")
	}
	if like != nil {
		if err := r.likeColumns(st, like); err != nil {
			return err
		}
	}
	return r.describeLayout(st, n)
}

// likeColumns takes the columns of CREATE TABLE ... LIKE from the other table.
func (r *analysis) likeColumns(st *Statement, like googlesql.TableNode) error {
	id, err := like.FullName()
	if err != nil {
		return err
	}
	if t := st.tables[id]; t != nil && len(st.Create.Columns) == 0 {
		for _, c := range t.Columns {
			if !c.Pseudo {
				st.Create.Columns = append(st.Create.Columns, ColumnDef{Name: c.Name, Type: c.Type})
			}
		}
	}
	return nil
}

func (r *analysis) describeCreateTableAs(st *Statement, n *googlesql.ResolvedCreateTableAsSelectStmt) error {
	if err := r.describeCreate(st, n); err != nil {
		return err
	}
	columns, err := n.OutputColumnList()
	if err != nil {
		return err
	}
	if st.Columns, err = r.outputColumns(columns); err != nil {
		return err
	}
	for i, c := range st.Columns {
		if strings.HasPrefix(c.Name, "f") && strings.HasSuffix(c.Name, "_") && r.unnamed(columns[i]) {
			return &Error{Message: fmt.Sprintf("CREATE TABLE columns must be named, but column %d has no name", i+1)}
		}
	}
	if len(st.Create.Columns) == 0 {
		for _, c := range st.Columns {
			st.Create.Columns = append(st.Create.Columns, ColumnDef{Name: c.Name, Type: c.Type})
		}
	}
	return r.describeLayout(st, n)
}

func (r *analysis) unnamed(c *googlesql.ResolvedOutputColumn) bool {
	name, err := c.Name()
	return err == nil && (name == "" || strings.HasPrefix(name, "$"))
}

func (r *analysis) describeCreateView(st *Statement, n *googlesql.ResolvedCreateViewStmt) error {
	if err := r.describeCreate(st, n); err != nil {
		return err
	}
	columns, err := n.OutputColumnList()
	if err != nil {
		return err
	}
	if st.Columns, err = r.outputColumns(columns); err != nil {
		return err
	}
	st.Create.Query, err = n.Sql()
	return err
}

func (r *analysis) describeDrop(st *Statement, n *googlesql.ResolvedDropStmt) error {
	path, err := n.NamePath()
	if err != nil {
		return err
	}
	if err := r.setTarget(st, path); err != nil {
		return err
	}
	st.Drop = &Drop{}
	st.Drop.IfExists, err = n.IsIfExists()
	return err
}

func (r *analysis) optionList(list []*googlesql.ResolvedOption) ([]Option, error) {
	var options []Option
	for _, o := range list {
		name, err := o.Name()
		if err != nil {
			return nil, err
		}
		value, err := o.Value()
		if err != nil {
			return nil, err
		}
		text, err := r.literalText(value)
		if err != nil {
			return nil, err
		}
		options = append(options, Option{Name: name, Value: text})
	}
	return options, nil
}

// literalText is a constant as GoogleSQL text.
func (r *analysis) literalText(e googlesql.ResolvedExprNode) (string, error) {
	switch n := e.(type) {
	case *googlesql.ResolvedLiteral:
		v, err := n.Value()
		if err != nil {
			return "", err
		}
		return v.GetSQLLiteral2(googlesql.ProductModeProductExternal)
	case *googlesql.ResolvedCast:
		inner, err := n.Expr()
		if err != nil {
			return "", err
		}
		return r.literalText(inner)
	case *googlesql.ResolvedFunctionCall:
		return r.callText(n)
	case *googlesql.ResolvedMakeStruct:
		fields, err := n.FieldList()
		if err != nil {
			return "", err
		}
		return r.listText(fields, "(", ")")
	}
	return "", unsupportedAt(r.sql, 0, r.opts, "an option that is not a constant")
}

func (r *analysis) callText(n *googlesql.ResolvedFunctionCall) (string, error) {
	f, err := n.Function()
	if err != nil {
		return "", err
	}
	name, err := f.Name()
	if err != nil {
		return "", err
	}
	args, err := n.ArgumentList()
	if err != nil {
		return "", err
	}
	if name == "$make_array" {
		return r.listText(args, "[", "]")
	}
	return r.listText(args, strings.ToUpper(name)+"(", ")")
}

func (r *analysis) listText(list []googlesql.ResolvedExprNode, open, end string) (string, error) {
	parts := make([]string, len(list))
	for i, e := range list {
		text, err := r.literalText(e)
		if err != nil {
			return "", err
		}
		parts[i] = text
	}
	return open + strings.Join(parts, ", ") + end, nil
}

func (r *analysis) columnDef(d *googlesql.ResolvedColumnDefinition) (ColumnDef, error) {
	var def ColumnDef
	var err error
	if def.Name, err = d.Name(); err != nil {
		return def, err
	}
	t, err := d.Type()
	if err != nil {
		return def, err
	}
	if def.Type, err = TypeText(t); err != nil {
		return def, err
	}
	if value, err := d.DefaultValue(); err != nil {
		return def, err
	} else if value != nil {
		if def.Default, err = value.Sql(); err != nil {
			return def, err
		}
	}
	annotations, err := d.Annotations()
	if err != nil || annotations == nil {
		return def, err
	}
	if def.NotNull, err = annotations.NotNull(); err != nil {
		return def, err
	}
	options, err := annotations.OptionList()
	if err != nil {
		return def, err
	}
	if def.Options, err = r.optionList(options); err != nil {
		return def, err
	}
	params, err := annotations.TypeParameters()
	if err != nil || params == nil {
		return def, err
	}
	text, err := params.DebugString()
	if err != nil {
		return def, err
	}
	def.Type += typeParams(text)
	return def, nil
}

var (
	lengthParam    = regexp.MustCompile(`^\(max_length=(\w+)\)$`)
	precisionParam = regexp.MustCompile(`^\(precision=(\w+)(?:,\s*scale=(\d+))?\)$`)
)

// typeParams is the text between and with the parentheses of STRING(10) or
// NUMERIC(10, 2), from how the engine prints it.
func typeParams(text string) string {
	if m := lengthParam.FindStringSubmatch(text); m != nil {
		return "(" + m[1] + ")"
	}
	if m := precisionParam.FindStringSubmatch(text); m != nil {
		if m[2] == "" || m[2] == "0" {
			return "(" + m[1] + ")"
		}
		return "(" + m[1] + ", " + m[2] + ")"
	}
	return ""
}

func parseInt(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }
