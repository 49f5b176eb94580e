package translate

import (
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

func (t *translator) analyticScan(n *googlesql.ResolvedAnalyticScan) *rel {
	r := &rel{columns: t.keep(n), from: t.scan(get(n.InputScan())).sub()}
	wanted := map[int32]bool{}
	for _, c := range r.columns {
		wanted[c.id] = true
	}
	for _, g := range get(n.FunctionGroupList()) {
		partition, order := t.windowParts(g)
		for _, f := range get(g.AnalyticFunctionList()) {
			cc := t.computed(f)
			if id := get(get(cc.Column()).ColumnId()); wanted[id] {
				r.define(id, t.analytic(get(cc.Expr()), partition, order))
			}
		}
	}
	return r
}

func (t *translator) windowParts(g *googlesql.ResolvedAnalyticFunctionGroup) (partition string, order []orderKey) {
	if p := get(g.PartitionBy()); p != nil {
		var names []string
		for _, ref := range get(p.PartitionByList()) {
			t.mustGroup(ref, t.exprType(ref))
			names = append(names, t.column(get(ref.Column())))
		}
		partition = "PARTITION BY " + strings.Join(names, ", ")
	}
	if o := get(g.OrderBy()); o != nil {
		order = t.orderKeys(get(o.OrderByItemList()))
	}
	return partition, order
}

// windowRules is every function that only works over a window.
var windowRules = map[string]func(a *aggCall) string{
	"row_number":      numbering("row_number"),
	"rank":            numbering("rank"),
	"dense_rank":      numbering("dense_rank"),
	"percent_rank":    numbering("percent_rank"),
	"cume_dist":       numbering("cume_dist"),
	"ntile":           numbering("ntile"),
	"lag":             navigation("lag"),
	"lead":            navigation("lead"),
	"first_value":     navigation("first_value"),
	"last_value":      navigation("last_value"),
	"nth_value":       navigation("nth_value"),
	"percentile_cont": percentile("quantile_cont"),
	"percentile_disc": percentile("quantile_disc"),
}

func numbering(name string) func(a *aggCall) string {
	return func(a *aggCall) string {
		return name + "(" + strings.Join(a.args, ", ") + ") OVER " + a.over
	}
}

func navigation(name string) func(a *aggCall) string {
	return func(a *aggCall) string {
		if len(a.args) == 3 && !constant(a.nodes[2]) {
			fail(&analyze.Error{Message: "The third argument (the default expression) to " + strings.ToUpper(name) + " must be constant"})
		}
		text := strings.Join(a.args, ", ")
		if a.ignoreNulls {
			text += " IGNORE NULLS"
		}
		return name + "(" + text + ") OVER " + a.over
	}
}

// constant reports whether an expression is a literal or parameter, perhaps
// cast.
func constant(node googlesql.ResolvedExprNode) bool {
	switch n := node.(type) {
	case *googlesql.ResolvedLiteral, *googlesql.ResolvedParameter:
		return true
	case *googlesql.ResolvedCast:
		return constant(get(n.Expr()))
	}
	return false
}

func percentile(name string) func(a *aggCall) string {
	return func(a *aggCall) string {
		if a.types[0].Name == "NUMERIC" && name == "quantile_cont" || a.types[0].Name == "BIGNUMERIC" {
			return a.bad()
		}
		return name + "(" + a.args[0] + ", " + a.args[1] + ") OVER " + a.over
	}
}

func (t *translator) analytic(node googlesql.ResolvedExprNode, partition string, order []orderKey) string {
	n, ok := node.(*googlesql.ResolvedAnalyticFunctionCall)
	if !ok {
		t.unsupported(node, "this window function")
	}
	a := t.newAggCall(n, "")
	parts := []string{}
	if partition != "" {
		parts = append(parts, partition)
	}
	if len(order) > 0 {
		parts = append(parts, "ORDER BY "+strings.Join(prefixed(order, ""), ", "))
	}
	f, isWindow := windowRules[a.name]
	if frame := get(n.WindowFrame()); frame != nil && !strings.HasPrefix(a.name, "percentile") {
		parts = append(parts, t.frame(frame, len(order)))
	}
	a.over = "(" + strings.Join(parts, " ") + ")"
	if isWindow {
		return f(a)
	}
	return a.text()
}

func (t *translator) frame(f *googlesql.ResolvedWindowFrame, keys int) string {
	unit := "ROWS"
	if get(f.FrameUnit()) == googlesql.ResolvedWindowFrameEnums_FrameUnitRange {
		unit = "RANGE"
	}
	start, startOffset := t.frameEnd(get(f.StartExpr()))
	end, endOffset := t.frameEnd(get(f.EndExpr()))
	if unit == "RANGE" && (startOffset || endOffset) && keys > 1 {
		t.unsupported(f, "RANGE with an offset over this ORDER BY")
	}
	return unit + " BETWEEN " + start + " AND " + end
}

// frameEnd is one end of a frame; offset reports whether it has a distance.
func (t *translator) frameEnd(e *googlesql.ResolvedWindowFrameExpr) (text string, offset bool) {
	switch get(e.BoundaryType()) {
	case googlesql.ResolvedWindowFrameExprEnums_BoundaryTypeUnboundedPreceding:
		return "UNBOUNDED PRECEDING", false
	case googlesql.ResolvedWindowFrameExprEnums_BoundaryTypeOffsetPreceding:
		return t.expr(get(e.Expression())) + " PRECEDING", true
	case googlesql.ResolvedWindowFrameExprEnums_BoundaryTypeOffsetFollowing:
		return t.expr(get(e.Expression())) + " FOLLOWING", true
	case googlesql.ResolvedWindowFrameExprEnums_BoundaryTypeUnboundedFollowing:
		return "UNBOUNDED FOLLOWING", false
	}
	return "CURRENT ROW", false
}
