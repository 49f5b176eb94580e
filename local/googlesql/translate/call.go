package translate

import (
	"strconv"
	"strings"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// call is one call of a function, its arguments already translated.
type call struct {
	t      *translator
	node   googlesql.ResolvedNode
	name   string
	args   []string
	nodes  []googlesql.ResolvedExprNode
	types  []*analyze.Type
	result *analyze.Type
}

// rule makes the DuckDB text of a call.
type rule func(c *call) string

func (t *translator) functionCall(n *googlesql.ResolvedFunctionCall) string {
	c := t.newCall(n, get(n.Function()), get(n.ArgumentList()), t.exprType(n))
	if len(get(n.GenericArgumentList())) > 0 {
		t.unsupported(n, "a lambda argument of "+strings.ToUpper(c.name))
	}
	if len(get(n.CollationList())) > 0 {
		t.unsupported(n, "COLLATE")
	}
	f, ok := functions[c.name]
	if !ok {
		t.unsupported(n, "function "+strings.ToUpper(strings.TrimPrefix(c.name, "$")))
	}
	if get(n.ErrorMode()) == googlesql.ResolvedFunctionCallBaseEnums_ErrorModeSafeErrorMode {
		return c.safely(f)
	}
	return f(c)
}

// safely is f with NULL in place of its failure. The arguments are evaluated
// outside: their failures still count.
func (c *call) safely(f rule) string {
	inner := *c
	inner.args = append([]string{}, c.args...)
	var fields []string
	for i, n := range c.nodes {
		switch n.(type) {
		case *googlesql.ResolvedLiteral, *googlesql.ResolvedColumnRef:
			continue
		}
		name := "a" + strconv.Itoa(i)
		fields = append(fields, "'"+name+"': "+c.args[i])
		inner.args[i] = "v." + name
	}
	body := f(&inner)
	c.mustTry(body)
	text := "TRY(" + body + ")"
	if len(fields) == 0 {
		return text
	}
	return "list_transform([{" + strings.Join(fields, ", ") + "}], lambda v: " + text + ")[1]"
}

// mustTry refuses what DuckDB's TRY does not take.
func (c *call) mustTry(text string) {
	if strings.Contains(text, "(SELECT ") {
		c.t.unsupported(c.node, "a subquery inside SAFE, IFERROR and their kin")
	}
}

// trying is a template that puts its first argument into TRY.
func trying(text string) rule {
	return func(c *call) string {
		// DuckDB would compute a text that stands twice once, outside TRY.
		for _, a := range c.args {
			c.mustTry(a)
		}
		return template(text)(c)
	}
}

func (t *translator) newCall(n googlesql.ResolvedNode, f *googlesql.Function, args []googlesql.ResolvedExprNode, result *analyze.Type) *call {
	c := &call{t: t, node: n, name: strings.ToLower(get(f.Name())), result: result, nodes: args}
	if path := get(f.FunctionNamePath()); len(path) > 1 {
		c.name = strings.ToLower(strings.Join(path, "."))
	}
	for _, a := range args {
		c.types = append(c.types, t.exprType(a))
		c.args = append(c.args, t.expr(a))
	}
	return c
}

// bad refuses this call for its argument types.
func (c *call) bad() string {
	names := make([]string, len(c.types))
	for i, typ := range c.types {
		names[i] = typ.Name
	}
	c.t.unsupported(c.node, strings.ToUpper(strings.TrimPrefix(c.name, "$"))+" for arguments of types "+strings.Join(names, ", "))
	return ""
}

// enum is the name of an argument such as a date part, empty when absent.
func (c *call) enum(i int) string {
	if i >= len(c.args) || c.types[i] != enumType {
		return ""
	}
	return strings.Trim(c.args[i], "'")
}

// constText is the second argument if it is a constant string; ok is false otherwise.
func (c *call) constText() (text string, ok bool) {
	const i = 1
	lit, isLit := c.nodes[i].(*googlesql.ResolvedLiteral)
	if !isLit || c.types[i].Name != "STRING" {
		return "", false
	}
	v := get(lit.Value())
	if get(v.IsNull()) {
		return "", false
	}
	return get(v.StringValue()), true
}

// template fills {0}, {1}, ... with the arguments and {*} with all of them.
func template(text string) rule {
	return func(c *call) string {
		pairs := []string{"{*}", strings.Join(c.args, ", ")}
		for i, a := range c.args {
			pairs = append(pairs, "{"+strconv.Itoa(i)+"}", a)
		}
		return strings.NewReplacer(pairs...).Replace(text)
	}
}

// byArgs chooses by the number of arguments.
func byArgs(rules map[int]string) rule {
	return func(c *call) string {
		text, ok := rules[len(c.args)]
		if !ok {
			return c.bad()
		}
		return template(text)(c)
	}
}

// byType chooses by the type of the first argument.
func byType(rules map[string]string) rule {
	return func(c *call) string {
		if len(c.types) == 0 {
			return c.bad()
		}
		text, ok := rules[c.types[0].Name]
		if !ok {
			return c.bad()
		}
		return template(text)(c)
	}
}

// strings only: the DuckDB function does not take BLOBs.
func textOnly(text string) rule { return byType(map[string]string{"STRING": text}) }

// floats takes functions that exist for FLOAT64 alone.
func floats(text string) rule { return byType(map[string]string{"FLOAT64": text}) }
