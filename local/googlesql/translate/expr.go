package translate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// expr translates a scalar expression into text that stands for one value
// wherever it is put.
func (t *translator) expr(node googlesql.ResolvedExprNode) string {
	switch n := node.(type) {
	case *googlesql.ResolvedLiteral:
		return t.literal(get(n.Value()))
	case *googlesql.ResolvedColumnRef:
		return t.column(get(n.Column()))
	case *googlesql.ResolvedParameter:
		return t.parameter(n)
	case *googlesql.ResolvedFunctionCall:
		return t.functionCall(n)
	case *googlesql.ResolvedCast:
		return t.castNode(n)
	case *googlesql.ResolvedSubqueryExpr:
		return t.subquery(n)
	case *googlesql.ResolvedMakeStruct:
		return t.makeStruct(n)
	case *googlesql.ResolvedGetStructField:
		return t.structField(n)
	case *googlesql.ResolvedGetJsonField:
		key := quoteText(`$."` + strings.ReplaceAll(get(n.FieldName()), `"`, `\"`) + `"`)
		return "json_extract(" + t.expr(get(n.Expr())) + ", " + key + ")"
	}
	t.unsupported(node, strings.TrimPrefix(fmt.Sprintf("%T", node), "*googlesql.Resolved"))
	return ""
}

func (t *translator) exprType(node googlesql.ResolvedExprNode) *analyze.Type {
	return t.typeOf(get(node.Type()))
}

func (t *translator) makeStruct(n *googlesql.ResolvedMakeStruct) string {
	typ := t.exprType(n)
	values := make([]string, 0, len(typ.Fields))
	for _, f := range get(n.FieldList()) {
		values = append(values, t.expr(f))
	}
	return structText(typ, values)
}

func structText(typ *analyze.Type, values []string) string {
	if len(values) == 0 {
		fail(&UnsupportedError{Construct: "a STRUCT without fields"})
	}
	names := fieldNames(typ)
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = quoteText(names[i]) + ": " + v
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (t *translator) structField(n *googlesql.ResolvedGetStructField) string {
	from := get(n.Expr())
	names := fieldNames(t.exprType(from))
	return "struct_extract(" + t.expr(from) + ", " + quoteText(names[get(n.FieldIdx())]) + ")"
}

// parameter is a bound value, cast from the text the caller binds.
func (t *translator) parameter(n *googlesql.ResolvedParameter) string {
	key := strings.ToLower(get(n.Name()))
	if key == "" {
		key = strconv.Itoa(int(get(n.Position())))
	}
	typ := t.exprType(n)
	if text, ok := t.params.declared[key]; ok {
		declared, err := analyze.ParseType(text)
		if err != nil {
			fail(err)
		}
		typ = declared
	}
	text := fmt.Sprintf("CAST($%d AS VARCHAR)", t.params.number(key))
	if typ.Name == "ARRAY" || typ.Name == "STRUCT" {
		return t.fromJSON(typ, "CAST("+text+" AS JSON)", 0)
	}
	return fromText(typ, text)
}

// fromText reads a scalar from the text form parameters have.
func fromText(typ *analyze.Type, text string) string {
	switch typ.Name {
	case "BYTES":
		return "from_base64(" + text + ")"
	case "STRING":
		return text
	}
	return "CAST(" + text + " AS " + duckType(typ) + ")"
}

// fromJSON reads a value from the JSON form of a parameter.
func (t *translator) fromJSON(typ *analyze.Type, json string, depth int) string {
	switch typ.Name {
	case "ARRAY":
		v := fmt.Sprintf("p%d", depth)
		return fmt.Sprintf("list_transform(CAST(%s AS JSON[]), lambda %s: %s)", json, v, t.fromJSON(typ.Elem, v, depth+1))
	case "STRUCT":
		values := make([]string, len(typ.Fields))
		for i, f := range typ.Fields {
			values[i] = t.fromJSON(f.Type, fmt.Sprintf("json_extract(%s, '$[%d]')", json, i), depth)
		}
		return fmt.Sprintf("CASE WHEN %s IS NULL OR json_type(%s) = 'NULL' THEN NULL ELSE %s END", json, json, structText(typ, values))
	}
	return fromText(typ, "json_extract_string("+json+", '$')")
}

func (t *translator) subquery(n *googlesql.ResolvedSubqueryExpr) string {
	scan := get(n.Subquery())
	switch get(n.SubqueryType()) {
	case googlesql.ResolvedSubqueryExprEnums_SubqueryTypeScalar:
		return "(" + t.onlyColumn(scan) + ")"
	case googlesql.ResolvedSubqueryExprEnums_SubqueryTypeExists:
		return "EXISTS " + t.scan(scan).sub()
	case googlesql.ResolvedSubqueryExprEnums_SubqueryTypeArray:
		return t.arraySubquery(scan)
	case googlesql.ResolvedSubqueryExprEnums_SubqueryTypeIn:
		in := get(n.InExpr())
		t.mustCompare(n, t.exprType(in))
		return "(" + t.expr(in) + " IN (" + t.onlyColumn(scan) + "))"
	}
	t.unsupported(n, "LIKE ANY over a subquery")
	return ""
}

// onlyColumn is the query of a scan with one column.
func (t *translator) onlyColumn(scan googlesql.ResolvedScanNode) string {
	return t.wrapOrdered(t.scan(scan), []string{"s." + t.column(t.columnList(scan)[0])})
}

func (t *translator) arraySubquery(scan googlesql.ResolvedScanNode) string {
	r := t.scan(scan)
	col := t.columnList(scan)[0]
	order := ""
	if len(r.order) > 0 {
		order = " ORDER BY " + strings.Join(prefixed(r.order, "s."), ", ")
	}
	return fmt.Sprintf("(SELECT coalesce(list(s.%s%s), CAST([] AS %s[])) FROM %s AS s)",
		t.column(col), order, duckType(t.columnType(col)), r.unordered().sub())
}

// mustCompare refuses types whose equality DuckDB decides otherwise.
func (t *translator) mustCompare(n googlesql.ResolvedNode, typ *analyze.Type) {
	if typ.Name == "STRUCT" || typ.Name == "ARRAY" || typ.Name == "JSON" {
		t.unsupported(n, "comparing values of type "+typ.Name)
	}
}

// atom reports whether text can be repeated at no cost.
func atom(text string) bool {
	return len(text) < 48 && !strings.ContainsAny(text, " \n") || strings.HasPrefix(text, "CAST('") && len(text) < 60
}
