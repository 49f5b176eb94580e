package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"
)

// recursion is a recursive entry of WITH.
func (t *translator) recursion(n *googlesql.ResolvedRecursiveScan, name string) string {
	if get(n.RecursionDepthModifier()) != nil {
		t.unsupported(n, "WITH DEPTH")
	}
	op := " UNION ALL "
	if get(n.OpType()) == googlesql.ResolvedRecursiveScanEnums_RecursiveSetOperationTypeUnionDistinct {
		op = " UNION "
		for _, c := range get(n.ColumnList()) {
			t.mustGroup(n, t.columnType(c))
		}
	}
	var names []string
	for i := range get(n.ColumnList()) {
		names = append(names, fmt.Sprintf("k%d", i+1))
	}
	if len(names) == 0 {
		t.unsupported(n, "recursion without columns")
	}
	outer := t.loop
	first := t.recursiveTerm(get(n.NonRecursiveTerm()))
	t.loop = name
	again := t.recursiveTerm(get(n.RecursiveTerm()))
	t.loop = outer
	return fmt.Sprintf("%s(%s) AS (%s%s%s)", withName(name), strings.Join(names, ", "), first, op, again)
}

func (t *translator) recursiveTerm(item *googlesql.ResolvedSetOperationItem) string {
	inner := t.scan(get(item.Scan()))
	var parts []string
	for i, c := range get(item.OutputColumnList()) {
		parts = append(parts, fmt.Sprintf("CAST(%s AS %s) AS k%d", t.column(c), duckType(t.columnType(c)), i+1))
	}
	return "SELECT " + strings.Join(parts, ", ") + " FROM " + inner.sub()
}

// recursiveRef reads the rows of the step before.
func (t *translator) recursiveRef(n *googlesql.ResolvedRecursiveRefScan) *rel {
	if t.loop == "" {
		t.unsupported(n, "recursion outside WITH")
	}
	r := &rel{from: withName(t.loop)}
	for i, c := range get(n.ColumnList()) {
		r.define(get(c.ColumnId()), fmt.Sprintf("k%d", i+1))
	}
	return r
}
