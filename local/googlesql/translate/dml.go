package translate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// updateOnce is the service's text for two source rows for one target row.
const updateOnce = "UPDATE/MERGE must match at most one source row for each target row"

// targetAlias names the target in the DuckDB statement.
const targetAlias = "t"

// target is the table a DML statement changes.
type target struct {
	table    *analyze.Table
	relation string
}

func (t *translator) target() target {
	table := t.st.TargetTable
	relation, err := t.namer.Relation(table)
	if err != nil {
		fail(fmt.Errorf("naming table %s: %w", table.FullName(), err))
	}
	return target{table: table, relation: relation}
}

// bindTarget makes the columns of the target's scan readable as columns of
// targetAlias.
func (t *translator) bindTarget(scan *googlesql.ResolvedTableScan, table *analyze.Table) map[int32]string {
	names := map[int32]string{}
	indexes := get(scan.ColumnIndexList())
	for i, c := range get(scan.ColumnList()) {
		id, name := get(c.ColumnId()), table.Columns[indexes[i]].Name
		names[id] = name
		t.bound[id] = targetAlias + "." + quoteIdent(name)
	}
	return names
}

// noReturning refuses the clauses of DML that have no translation.
func (t *translator) noReturning(n googlesql.ResolvedNode, returning *googlesql.ResolvedReturningClause, assert *googlesql.ResolvedAssertRowsModified) {
	if returning != nil {
		t.unsupported(n, "THEN RETURN")
	}
	if assert != nil {
		t.unsupported(n, "ASSERT_ROWS_MODIFIED")
	}
}

func (t *translator) insert(q *Query, n *googlesql.ResolvedInsertStmt) {
	t.noReturning(n, get(n.Returning()), get(n.AssertRowsModified()))
	if get(n.OnConflictClause()) != nil || get(n.InsertMode()) != googlesql.ResolvedInsertStmtEnums_InsertModeOrError {
		t.unsupported(n, "INSERT with ON CONFLICT, IGNORE, REPLACE or UPDATE")
	}
	to := t.target()
	var names []string
	for _, c := range get(n.InsertColumnList()) {
		names = append(names, quoteIdent(t.columnOf(to.table, get(c.Name()))))
	}
	head := "INSERT INTO " + to.relation + " (" + strings.Join(names, ", ") + ") "
	if query := get(n.Query()); query != nil {
		var parts []string
		for _, c := range get(n.QueryOutputColumnList()) {
			parts = append(parts, "CAST(s."+t.column(c)+" AS "+duckType(t.columnType(c))+")")
		}
		q.SQL = head + t.wrapOrdered(t.scan(query), parts)
		return
	}
	var rows []string
	for _, row := range get(n.RowList()) {
		rows = append(rows, "("+strings.Join(t.values(row), ", ")+")")
	}
	q.SQL = head + "VALUES " + strings.Join(rows, ", ")
}

// columnOf is the table's spelling of a column.
func (t *translator) columnOf(table *analyze.Table, name string) string {
	for _, c := range table.Columns {
		if strings.EqualFold(c.Name, name) {
			return c.Name
		}
	}
	fail(fmt.Errorf("table %s has no column %s", table.FullName(), name))
	return ""
}

func (t *translator) values(row *googlesql.ResolvedInsertRow) []string {
	var values []string
	for _, v := range get(row.ValueList()) {
		values = append(values, t.dmlValue(v))
	}
	return values
}

func (t *translator) dmlValue(v *googlesql.ResolvedDMLValue) string {
	e := get(v.Value())
	if _, ok := e.(*googlesql.ResolvedDMLDefault); ok {
		return "DEFAULT"
	}
	return t.expr(e)
}

func (t *translator) deleteRows(q *Query, n *googlesql.ResolvedDeleteStmt) {
	t.noReturning(n, get(n.Returning()), get(n.AssertRowsModified()))
	to := t.target()
	t.bindTarget(get(n.TableScan()), to.table)
	q.SQL = "DELETE FROM " + to.relation + " AS t WHERE " + t.expr(get(n.WhereExpr()))
}

// truncate deletes every row, so that the number of rows is known and the
// transaction may roll it back.
func (t *translator) truncate(q *Query, n *googlesql.ResolvedTruncateStmt) {
	if get(n.WhereExpr()) != nil {
		t.unsupported(n, "TRUNCATE with WHERE")
	}
	q.SQL = "DELETE FROM " + t.target().relation
}

func (t *translator) update(q *Query, n *googlesql.ResolvedUpdateStmt) {
	t.noReturning(n, get(n.Returning()), get(n.AssertRowsModified()))
	to := t.target()
	names := t.bindTarget(get(n.TableScan()), to.table)
	q.SQL = "UPDATE " + to.relation + " AS t SET " + t.assignments(get(n.UpdateItemList()), names)
	if from := get(n.FromScan()); from != nil {
		q.SQL += " FROM " + t.scan(from).sub()
		q.Checks = append(q.Checks, t.updateCheck(n, to))
	}
	q.SQL += " WHERE " + t.expr(get(n.WhereExpr()))
}

// updateCheck finds a target row with two source rows. It is translated anew
// because its parameters are numbered for itself.
func (t *translator) updateCheck(n *googlesql.ResolvedUpdateStmt, to target) Check {
	own := newTranslator(t.st, t.namer)
	own.bindTarget(get(n.TableScan()), to.table)
	sql := fmt.Sprintf("SELECT 1 FROM %s AS t JOIN %s ON %s GROUP BY t.rowid HAVING count(*) > 1 LIMIT 1",
		to.relation, own.scan(get(n.FromScan())).sub(), own.expr(get(n.WhereExpr())))
	return Check{SQL: sql, Params: own.params.used, Message: updateOnce}
}

func (t *translator) assignments(items []*googlesql.ResolvedUpdateItem, names map[int32]string) string {
	var sets []string
	for _, item := range items {
		ref, ok := get(item.Target()).(*googlesql.ResolvedColumnRef)
		value := get(item.SetValue())
		if !ok || value == nil {
			t.unsupported(item, "UPDATE of a part of a column")
		}
		sets = append(sets, quoteIdent(names[get(get(ref.Column()).ColumnId())])+" = "+t.dmlValue(value))
	}
	return strings.Join(sets, ", ")
}

func (t *translator) merge(q *Query, n *googlesql.ResolvedMergeStmt) {
	to := t.target()
	names := t.bindTarget(get(n.TableScan()), to.table)
	source, on := t.scan(get(n.FromScan())).sub(), t.expr(get(n.MergeExpr()))
	var clauses []string
	for _, w := range get(n.WhenClauseList()) {
		clauses = append(clauses, t.mergeWhen(w, names, to.table))
	}
	q.SQL = "MERGE INTO " + to.relation + " AS t USING " + source + " AS s ON " + on + " " + strings.Join(clauses, " ")
	t.mergeCheck(q, n, to)
}

// mergeCheck adds the search for a target row that two source rows would
// change. It is translated anew because its parameters are numbered for itself.
func (t *translator) mergeCheck(q *Query, n *googlesql.ResolvedMergeStmt, to target) {
	own := newTranslator(t.st, t.namer)
	own.bindTarget(get(n.TableScan()), to.table)
	source, on := own.scan(get(n.FromScan())).sub(), own.expr(get(n.MergeExpr()))
	var changed []string
	for _, w := range get(n.WhenClauseList()) {
		if get(w.MatchType()) != googlesql.ResolvedMergeWhenEnums_MatchTypeMatched {
			continue
		}
		condition := "TRUE"
		if m := get(w.MatchExpr()); m != nil {
			condition = own.expr(m)
		}
		changed = append(changed, "("+condition+")")
	}
	if len(changed) == 0 {
		return
	}
	sql := fmt.Sprintf("SELECT 1 FROM %s AS t JOIN %s AS s ON %s WHERE %s GROUP BY t.rowid HAVING count(*) > 1 LIMIT 1",
		to.relation, source, on, strings.Join(changed, " OR "))
	q.Checks = append(q.Checks, Check{SQL: sql, Params: own.params.used, Message: updateOnce})
}

func (t *translator) mergeWhen(w *googlesql.ResolvedMergeWhen, names map[int32]string, table *analyze.Table) string {
	heads := map[googlesql.ResolvedMergeWhenEnums_MatchType]string{
		googlesql.ResolvedMergeWhenEnums_MatchTypeMatched:            "WHEN MATCHED",
		googlesql.ResolvedMergeWhenEnums_MatchTypeNotMatchedBySource: "WHEN NOT MATCHED BY SOURCE",
		googlesql.ResolvedMergeWhenEnums_MatchTypeNotMatchedByTarget: "WHEN NOT MATCHED BY TARGET",
	}
	text := heads[get(w.MatchType())]
	if m := get(w.MatchExpr()); m != nil {
		text += " AND " + t.expr(m)
	}
	switch get(w.ActionType()) {
	case googlesql.ResolvedMergeWhenEnums_ActionTypeDelete:
		return text + " THEN DELETE"
	case googlesql.ResolvedMergeWhenEnums_ActionTypeUpdate:
		return text + " THEN UPDATE SET " + t.assignments(get(w.UpdateItemList()), names)
	}
	var columns []string
	for _, c := range get(w.InsertColumnList()) {
		columns = append(columns, quoteIdent(t.columnOf(table, get(c.Name()))))
	}
	return text + " THEN INSERT (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(t.values(get(w.InsertRow())), ", ") + ")"
}
