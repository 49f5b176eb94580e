package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// scan translates a scan into a relation that offers its columns.
func (t *translator) scan(node googlesql.ResolvedScanNode) *rel {
	switch n := node.(type) {
	case *googlesql.ResolvedSingleRowScan:
		return &rel{}
	case *googlesql.ResolvedTableScan:
		return t.tableScan(n)
	case *googlesql.ResolvedProjectScan:
		return t.projectScan(n)
	case *googlesql.ResolvedFilterScan:
		return &rel{columns: t.keep(n), from: t.scan(get(n.InputScan())).sub(), where: t.expr(get(n.FilterExpr()))}
	case *googlesql.ResolvedJoinScan:
		return t.joinScan(n)
	case *googlesql.ResolvedArrayScan:
		return t.arrayScan(n)
	case *googlesql.ResolvedAggregateScan:
		return t.aggregateScan(n)
	case *googlesql.ResolvedAnalyticScan:
		return t.analyticScan(n)
	case *googlesql.ResolvedOrderByScan:
		return t.orderByScan(n)
	case *googlesql.ResolvedLimitOffsetScan:
		return t.limitScan(n)
	case *googlesql.ResolvedSetOperationScan:
		return t.setOperation(n)
	case *googlesql.ResolvedWithScan:
		return t.withScan(n)
	case *googlesql.ResolvedWithRefScan:
		return t.withRef(n)
	case *googlesql.ResolvedRecursiveRefScan:
		return t.recursiveRef(n)
	case *googlesql.ResolvedBarrierScan:
		return &rel{columns: t.keep(n), from: t.scan(get(n.InputScan())).sub()}
	}
	t.unsupported(node, scanName(node))
	return nil
}

func scanName(node googlesql.ResolvedNode) string {
	switch node.(type) {
	case *googlesql.ResolvedSampleScan:
		return "TABLESAMPLE"
	case *googlesql.ResolvedPivotScan:
		return "PIVOT"
	case *googlesql.ResolvedUnpivotScan:
		return "UNPIVOT"
	case *googlesql.ResolvedTVFScan:
		return "a table-valued function"
	case *googlesql.ResolvedRecursiveScan, *googlesql.ResolvedRecursiveRefScan:
		return "recursion outside WITH"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", node), "*googlesql.Resolved")
}

func (t *translator) tableScan(n *googlesql.ResolvedTableScan) *rel {
	if at := get(n.ForSystemTimeExpr()); at != nil {
		t.unsupported(n, "FOR SYSTEM_TIME AS OF")
	}
	id := get(get(n.Table()).FullName())
	table := t.st.TableByID(id)
	if table == nil {
		fail(fmt.Errorf("table %s has no catalog entry", id))
	}
	r := &rel{from: t.relation(table, id)}
	indexes := get(n.ColumnIndexList())
	for i, c := range get(n.ColumnList()) {
		r.define(get(c.ColumnId()), "r."+quoteIdent(table.Columns[indexes[i]].Name))
	}
	return r
}

// relation is a table as an item of FROM called r.
func (t *translator) relation(table *analyze.Table, id string) string {
	if view := t.st.ViewByID(id); view != nil {
		inner := newTranslator(view, t.namer)
		q := &Query{}
		inner.statement(q)
		return "(" + q.SQL + ") AS r"
	}
	name, err := t.namer.Relation(table)
	if err != nil {
		fail(fmt.Errorf("naming table %s: %w", table.FullName(), err))
	}
	return name + " AS r"
}

func (t *translator) projectScan(n *googlesql.ResolvedProjectScan) *rel {
	input := t.scan(get(n.InputScan()))
	r := &rel{columns: t.keep(n)}
	if input.from != "" || len(input.columns) > 0 {
		r.from = input.sub()
	}
	wanted := map[int32]bool{}
	for _, c := range r.columns {
		wanted[c.id] = true
	}
	for _, cc := range get(n.ExprList()) {
		if id := get(get(cc.Column()).ColumnId()); wanted[id] {
			r.define(id, t.expr(get(cc.Expr())))
		}
	}
	if get(n.IsOrdered()) && len(input.order) > 0 {
		t.carryOrder(r, input)
	}
	return r
}

// carryOrder keeps the order of input by adding its keys' columns to r.
func (t *translator) carryOrder(r, input *rel) {
	have := map[int32]bool{}
	for _, c := range r.columns {
		have[c.id] = true
	}
	for _, c := range input.columns {
		if !have[c.id] {
			r.columns = append(r.columns, column{id: c.id, expr: colName(c.id)})
		}
	}
	r.order = input.order
}

func (t *translator) joinScan(n *googlesql.ResolvedJoinScan) *rel {
	kinds := map[googlesql.ResolvedJoinScanEnums_JoinType]string{
		googlesql.ResolvedJoinScanEnums_JoinTypeInner: "JOIN", googlesql.ResolvedJoinScanEnums_JoinTypeLeft: "LEFT JOIN",
		googlesql.ResolvedJoinScanEnums_JoinTypeRight: "RIGHT JOIN", googlesql.ResolvedJoinScanEnums_JoinTypeFull: "FULL JOIN",
	}
	left, right := t.scan(get(n.LeftScan())).sub(), t.scan(get(n.RightScan())).sub()
	kind := get(n.JoinType())
	lateral := ""
	if get(n.IsLateral()) {
		lateral = "LATERAL "
	}
	r := &rel{columns: t.keep(n)}
	if on := get(n.JoinExpr()); on != nil {
		r.from = fmt.Sprintf("%s %s %s%s ON %s", left, kinds[kind], lateral, right, t.expr(on))
	} else if kind == googlesql.ResolvedJoinScanEnums_JoinTypeInner {
		r.from = fmt.Sprintf("%s CROSS JOIN %s%s", left, lateral, right)
	} else {
		r.from = fmt.Sprintf("%s %s %s%s ON TRUE", left, kinds[kind], lateral, right)
	}
	return r
}

func (t *translator) arrayScan(n *googlesql.ResolvedArrayScan) *rel {
	arrays, elements := get(n.ArrayExprList()), get(n.ElementColumnList())
	if len(arrays) != 1 || len(elements) != 1 {
		t.unsupported(n, "UNNEST of several arrays")
	}
	inner := &rel{from: "unnest(" + t.expr(arrays[0]) + ") WITH ORDINALITY AS u(x, o)"}
	inner.define(get(elements[0].ColumnId()), "u.x")
	if holder := get(n.ArrayOffsetColumn()); holder != nil {
		inner.define(get(get(holder.Column()).ColumnId()), "u.o - 1")
	}
	if on := get(n.JoinExpr()); on != nil {
		inner = &rel{columns: inner.columns, from: inner.sub(), where: t.expr(on)}
		for i := range inner.columns {
			inner.columns[i].expr = colName(inner.columns[i].id)
		}
	}
	r := &rel{columns: t.keep(n)}
	input := get(n.InputScan())
	switch {
	case input == nil:
		r.from = inner.sub()
	case get(n.IsOuter()):
		r.from = t.scan(input).sub() + " LEFT JOIN LATERAL " + inner.sub() + " ON TRUE"
	default:
		r.from = t.scan(input).sub() + " CROSS JOIN LATERAL " + inner.sub()
	}
	return r
}

func (t *translator) orderByScan(n *googlesql.ResolvedOrderByScan) *rel {
	input := t.scan(get(n.InputScan()))
	r := &rel{columns: t.keep(n), from: input.sub(), order: t.orderKeys(get(n.OrderByItemList()))}
	have := map[int32]bool{}
	for _, c := range r.columns {
		have[c.id] = true
	}
	// The keys must be readable above, where the order is repeated.
	for _, item := range get(n.OrderByItemList()) {
		id := get(get(get(item.ColumnRef()).Column()).ColumnId())
		if !have[id] {
			have[id] = true
			r.columns = append(r.columns, column{id: id, expr: colName(id)})
		}
	}
	return r
}

// orderKeys spells out where NULL and NaN go: first of all, in that order, when
// ascending.
func (t *translator) orderKeys(items []*googlesql.ResolvedOrderByItem) []orderKey {
	var keys []orderKey
	for _, item := range items {
		if get(item.CollationName()) != nil {
			t.unsupported(item, "COLLATE")
		}
		col := get(get(item.ColumnRef()).Column())
		name := "%s" + t.column(col)
		dir, nulls := " ASC", " NULLS FIRST"
		if get(item.IsDescending()) {
			dir, nulls = " DESC", " NULLS LAST"
		}
		switch get(item.NullOrder()) {
		case googlesql.ResolvedOrderByItemEnums_NullOrderModeNullsFirst:
			nulls = " NULLS FIRST"
		case googlesql.ResolvedOrderByItemEnums_NullOrderModeNullsLast:
			nulls = " NULLS LAST"
		}
		typ := t.columnType(col)
		switch typ.Name {
		case "STRUCT", "JSON", "GEOGRAPHY", "INTERVAL", "ARRAY":
			t.unsupported(item, "ORDER BY a value of type "+typ.Name)
		case "FLOAT64":
			keys = append(keys, orderKey{"isnan(" + name + ")", flip(dir) + nulls})
		}
		keys = append(keys, orderKey{name, dir + nulls})
	}
	return keys
}

func flip(dir string) string {
	if dir == " ASC" {
		return " DESC"
	}
	return " ASC"
}

func (t *translator) limitScan(n *googlesql.ResolvedLimitOffsetScan) *rel {
	r := t.scan(get(n.InputScan()))
	if r.tail != "" {
		r = &rel{columns: t.keep(n), from: r.sub(), order: r.order}
	}
	if limit := get(n.Limit()); limit != nil {
		r.tail += " LIMIT " + t.expr(limit)
	}
	if offset := get(n.Offset()); offset != nil {
		r.tail += " OFFSET " + t.expr(offset)
	}
	return r
}

func (t *translator) setOperation(n *googlesql.ResolvedSetOperationScan) *rel {
	words := map[googlesql.ResolvedSetOperationScanEnums_SetOperationType]string{
		googlesql.ResolvedSetOperationScanEnums_SetOperationTypeUnionAll:          "UNION ALL",
		googlesql.ResolvedSetOperationScanEnums_SetOperationTypeUnionDistinct:     "UNION",
		googlesql.ResolvedSetOperationScanEnums_SetOperationTypeIntersectAll:      "INTERSECT ALL",
		googlesql.ResolvedSetOperationScanEnums_SetOperationTypeIntersectDistinct: "INTERSECT",
		googlesql.ResolvedSetOperationScanEnums_SetOperationTypeExceptAll:         "EXCEPT ALL",
		googlesql.ResolvedSetOperationScanEnums_SetOperationTypeExceptDistinct:    "EXCEPT",
	}
	columns := get(n.ColumnList())
	parts := []string{}
	for _, item := range get(n.InputItemList()) {
		inner := t.scan(get(item.Scan()))
		names := make([]string, len(columns))
		for i, c := range get(item.OutputColumnList()) {
			names[i] = t.column(c) + " AS " + t.column(columns[i])
		}
		parts = append(parts, "(SELECT "+strings.Join(names, ", ")+" FROM "+inner.sub()+")")
	}
	return &rel{columns: t.keep(n), from: "(" + strings.Join(parts, " "+words[get(n.OpType())]+" ") + ")"}
}

func (t *translator) withScan(n *googlesql.ResolvedWithScan) *rel {
	var entries []string
	for _, e := range get(n.WithEntryList()) {
		scan := get(e.WithSubquery())
		if loop, ok := scan.(*googlesql.ResolvedRecursiveScan); ok {
			entries = append(entries, t.recursion(loop, get(e.WithQueryName())))
			continue
		}
		inner := t.scan(scan)
		var names, parts []string
		for i, c := range t.columnList(scan) {
			names = append(names, fmt.Sprintf("k%d", i+1))
			parts = append(parts, "s."+t.column(c))
		}
		if len(parts) == 0 {
			names, parts = []string{"k0"}, []string{"1"}
		}
		entries = append(entries, fmt.Sprintf("%s(%s) AS (%s)", withName(get(e.WithQueryName())),
			strings.Join(names, ", "), t.wrapOrdered(inner, parts)))
	}
	r := t.scan(get(n.Query()))
	r.with = append(entries, r.with...)
	r.recursive = r.recursive || get(n.Recursive())
	return r
}

func withName(name string) string { return quoteIdent("w_" + strings.ToLower(name)) }

func (t *translator) withRef(n *googlesql.ResolvedWithRefScan) *rel {
	r := &rel{from: withName(get(n.WithQueryName()))}
	for i, c := range get(n.ColumnList()) {
		r.define(get(c.ColumnId()), fmt.Sprintf("k%d", i+1))
	}
	return r
}
