package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// aggregateScan computes the grouping keys below the grouping, so that GROUP
// BY names columns only: a constant would be taken for a position.
func (t *translator) aggregateScan(n *googlesql.ResolvedAggregateScan) *rel {
	input := t.scan(get(n.InputScan()))
	keys := &rel{extra: []string{"*"}, from: input.sub()}
	var groups []string
	for _, g := range get(n.GroupByList()) {
		id := get(get(g.Column()).ColumnId())
		expr := get(g.Expr())
		t.mustGroup(n, t.exprType(expr))
		keys.columns = append(keys.columns, column{id: id, expr: t.expr(expr)})
		groups = append(groups, colName(id))
	}
	r := &rel{columns: t.keep(n), from: keys.sub(), group: strings.Join(groups, ", ")}
	if len(keys.columns) == 0 {
		r.from = input.sub()
	}
	if sets := get(n.GroupingSetList()); len(sets) > 0 {
		r.group = t.groupingSets(sets)
	}
	wanted := map[int32]bool{}
	for _, c := range r.columns {
		wanted[c.id] = true
	}
	for _, a := range get(n.AggregateList()) {
		cc := t.computed(a)
		if id := get(get(cc.Column()).ColumnId()); wanted[id] {
			r.define(id, t.aggregate(get(cc.Expr()), ""))
		}
	}
	for _, g := range get(n.GroupingCallList()) {
		r.define(get(get(g.OutputColumn()).ColumnId()), "grouping("+t.column(get(get(g.GroupByColumn()).Column()))+")")
	}
	if r.group == "" && len(r.columns) == 0 {
		r.extra = []string{"count(*) AS c0"}
	}
	return r
}

func (t *translator) mustGroup(n googlesql.ResolvedNode, typ *analyze.Type) {
	if typ.Name == "JSON" || typ.Name == "GEOGRAPHY" {
		t.unsupported(n, "grouping by a value of type "+typ.Name)
	}
}

// computed is the column and expression of an aggregate or window function.
func (t *translator) computed(n googlesql.ResolvedNode) *googlesql.ResolvedComputedColumn {
	cc, ok := n.(*googlesql.ResolvedComputedColumn)
	if !ok {
		t.unsupported(n, strings.TrimPrefix(fmt.Sprintf("%T", n), "*googlesql.Resolved"))
	}
	return cc
}

func (t *translator) groupingSets(sets []googlesql.ResolvedGroupingSetBaseNode) string {
	parts := make([]string, len(sets))
	for i, s := range sets {
		switch set := s.(type) {
		case *googlesql.ResolvedGroupingSet:
			var names []string
			for _, ref := range get(set.GroupByColumnList()) {
				names = append(names, t.column(get(ref.Column())))
			}
			parts[i] = "(" + strings.Join(names, ", ") + ")"
		case *googlesql.ResolvedRollup:
			parts[i] = "ROLLUP (" + t.multiColumns(get(set.RollupColumnList())) + ")"
		case *googlesql.ResolvedCube:
			parts[i] = "CUBE (" + t.multiColumns(get(set.CubeColumnList())) + ")"
		default:
			t.unsupported(s, "grouping sets")
		}
	}
	return "GROUPING SETS (" + strings.Join(parts, ", ") + ")"
}

func (t *translator) multiColumns(list []*googlesql.ResolvedGroupingSetMultiColumn) string {
	parts := make([]string, len(list))
	for i, m := range list {
		var names []string
		for _, ref := range get(m.ColumnList()) {
			names = append(names, t.column(get(ref.Column())))
		}
		parts[i] = strings.Join(names, ", ")
		if len(names) > 1 {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// aggCall is a call of an aggregate function. Over is the OVER clause, empty in
// a grouping.
type aggCall struct {
	call
	distinct    bool
	ignoreNulls bool
	order       []orderKey
	limit       string
	filter      string
	over        string
}

// aggNode is what aggregate and window calls have in common.
type aggNode interface {
	googlesql.ResolvedExprNode
	Function() (*googlesql.Function, error)
	ArgumentList() ([]googlesql.ResolvedExprNode, error)
	Distinct() (bool, error)
	ErrorMode() (googlesql.ResolvedFunctionCallBaseEnums_ErrorMode, error)
	NullHandlingModifier() (googlesql.ResolvedNonScalarFunctionCallBaseEnums_NullHandlingModifier, error)
	WhereExpr() (googlesql.ResolvedExprNode, error)
}

func (t *translator) newAggCall(n aggNode, over string) *aggCall {
	a := &aggCall{over: over, distinct: get(n.Distinct())}
	if get(n.ErrorMode()) == googlesql.ResolvedFunctionCallBaseEnums_ErrorModeSafeErrorMode {
		t.unsupported(n, "SAFE with an aggregate function")
	}
	a.call = *t.newCall(n, get(n.Function()), get(n.ArgumentList()), t.exprType(n))
	a.ignoreNulls = get(n.NullHandlingModifier()) == googlesql.ResolvedNonScalarFunctionCallBaseEnums_NullHandlingModifierIgnoreNulls
	if where := get(n.WhereExpr()); where != nil {
		a.filter = t.expr(where)
	}
	return a
}

func (t *translator) aggregate(node googlesql.ResolvedExprNode, over string) string {
	n, ok := node.(*googlesql.ResolvedAggregateFunctionCall)
	if !ok {
		t.unsupported(node, strings.TrimPrefix(fmt.Sprintf("%T", node), "*googlesql.Resolved"))
	}
	a := t.newAggCall(n, over)
	a.order = t.orderKeys(get(n.OrderByItemList()))
	if limit := get(n.Limit()); limit != nil {
		a.limit = t.expr(limit)
	}
	if len(get(n.GroupByList())) > 0 || get(n.HavingExpr()) != nil {
		t.unsupported(n, "GROUP BY inside an aggregate function")
	}
	if having := get(n.HavingModifier()); having != nil {
		return a.having(having)
	}
	return a.text()
}

// having is ANY_VALUE(x HAVING MAX y).
func (a *aggCall) having(m *googlesql.ResolvedAggregateHavingModifier) string {
	if a.name != "any_value" {
		a.t.unsupported(a.node, "HAVING MAX and MIN inside "+strings.ToUpper(a.name))
	}
	key, typ := a.t.expr(get(m.HavingExpr())), a.t.exprType(get(m.HavingExpr()))
	a.t.mustCompare(a.node, typ)
	f := "arg_min_null"
	if get(m.Kind()) == googlesql.ResolvedAggregateHavingModifierEnums_HavingModifierKindMax {
		f = "arg_max_null"
	}
	text := f + "(" + a.args[0] + ", " + key + ")" + a.suffix("")
	if typ.Name == "FLOAT64" {
		// The extreme of values with NaN is NaN, and no value equals that.
		return "CASE WHEN NOT coalesce(bool_or(isnan(" + key + "))" + a.suffix("") + ", FALSE) THEN " + text + " END"
	}
	return text
}

func (a *aggCall) text() string {
	f, ok := aggregates[a.name]
	if !ok {
		a.t.unsupported(a.node, "function "+strings.ToUpper(strings.TrimPrefix(a.name, "$")))
	}
	return f(a)
}

// plain is name(args) with everything the call carries.
func (a *aggCall) plain(name string, args ...string) string {
	text := strings.Join(args, ", ")
	if a.distinct {
		text = "DISTINCT " + text
	}
	if len(a.order) > 0 {
		text += " ORDER BY " + strings.Join(prefixed(a.order, ""), ", ")
	}
	return name + "(" + text + ")" + a.suffix("")
}

// suffix is FILTER and OVER; more is a further condition of the filter.
func (a *aggCall) suffix(more string) string {
	var conditions []string
	for _, c := range []string{a.filter, more} {
		if c != "" {
			conditions = append(conditions, "("+c+")")
		}
	}
	text := ""
	if len(conditions) > 0 {
		text = " FILTER (WHERE " + strings.Join(conditions, " AND ") + ")"
	}
	if a.over != "" {
		text += " OVER " + a.over
	}
	return text
}

// list collects values into an array, as ARRAY_AGG does.
func (a *aggCall) list(value string, skipNulls bool) string {
	text := value
	if a.distinct {
		text = "DISTINCT " + text
	}
	if len(a.order) > 0 {
		text += " ORDER BY " + strings.Join(prefixed(a.order, ""), ", ")
	}
	more := ""
	if skipNulls {
		more = value + " IS NOT NULL"
	}
	out := "list(" + text + ")" + a.suffix(more)
	if a.limit != "" {
		out = "CASE WHEN " + a.limit + " > 0 THEN (" + out + ")[1:" + a.limit + "] END"
	}
	return out
}
