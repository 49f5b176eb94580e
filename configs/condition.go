package configs

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/transforms/row"
)

// VariableTypes returns what every name of the scope is in an expression: BOOL, INT64 or
// NUMERIC where the document declares it so, else STRING. The type is that of the
// declaration whatever a run sets, so that what was validated is what runs.
func (s *Scope) VariableTypes() row.Schema {
	names := s.Names()
	out := make(row.Schema, len(names))
	for i, name := range names {
		out[i] = row.Field{Name: name, Type: s.variableType(name, len(s.layers), 0), Required: true}
	}
	return out
}

// variableType follows variables that are nothing but another variable.
func (s *Scope) variableType(name string, top, depth int) row.Type {
	if v, builtin := s.builtin(name); builtin && isBuiltinOnly(name) {
		if v.Number {
			return row.TypeInt64
		}
		return row.TypeString
	}
	for i := top - 1; i >= 0; i-- {
		n := get(s.layers[i].values, name)
		if n == nil || n.Kind != yaml.ScalarNode || depth > maxDepth {
			continue
		}
		switch n.ShortTag() {
		case "!!bool":
			return row.TypeBool
		case "!!int":
			return row.TypeInt64
		case "!!float":
			return row.TypeNumeric
		}
		if pieces := split(n.Value); len(pieces) == 1 && pieces[0].ref != nil && len(pieces[0].ref.filters) == 0 {
			next := len(s.layers)
			if pieces[0].ref.name == name {
				next = i
			}
			return s.variableType(pieces[0].ref.name, next, depth+1)
		}
		return row.TypeString
	}
	return row.TypeString
}

// VariableCell returns the value of a name as its type in expressions wants it. What is
// wrong with it is said at the place that uses it, n; ok is false when it has no value.
func (s *Scope) VariableCell(name string, t row.Type, n *yaml.Node, path string) (c row.Cell, ok bool, problems Problems) {
	x := newExpander(s)
	v, known := x.find(name)
	if !known || v.broken {
		return c, false, nil // said where it is declared
	}
	if !v.Set {
		if !s.env.Sample {
			x.problem(n, 0, path, fmt.Sprintf("variable %q has no value; set it with --var %s=VALUE or in the run's parameters", name, name))
		}
		return c, false, x.problems
	}
	c, err := cellOf(v.Text, t)
	if err != nil {
		x.problem(n, 0, path, fmt.Sprintf("variable %q is %q, but is declared as %s", name, v.Text, typeWord(t)))
		return c, false, x.problems
	}
	return c, true, nil
}

func typeWord(t row.Type) string {
	switch t {
	case row.TypeBool:
		return "true or false"
	case row.TypeInt64:
		return "a whole number"
	default:
		return "a number"
	}
}

func cellOf(text string, t row.Type) (row.Cell, error) {
	switch t {
	case row.TypeBool:
		v, ok := ParseSwitch(text)
		if !ok {
			return row.Cell{}, fmt.Errorf("%q is not true or false", text)
		}
		return row.Bool(v), nil
	case row.TypeInt64:
		var i int64
		n := yaml.Node{Kind: yaml.ScalarNode, Value: text}
		if err := n.Decode(&i); err != nil {
			return row.Cell{}, err
		}
		return row.Int64(i), nil
	case row.TypeNumeric:
		return row.Numeric(text)
	default:
		return row.String(text), nil
	}
}

// ParseSwitch reads true, yes, on, false, no and off in any case.
func ParseSwitch(text string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	default:
		return false, false
	}
}

// IsExpression reports whether a text that should become true or false is an expression:
// neither a switch nor one variable.
func IsExpression(n *yaml.Node) bool {
	if n == nil || !isText(n) || strings.TrimSpace(n.Value) == "" {
		return false
	}
	if _, ok := ParseSwitch(n.Value); ok {
		return false
	}
	pieces := split(strings.TrimSpace(n.Value))
	return len(pieces) != 1 || pieces[0].ref == nil && pieces[0].bad == ""
}

// Use is a variable of an expression and the byte where its name stands.
type Use struct {
	Name   string
	Offset int
}

// Expression returns the text of an expression with its variables written as names: {env}
// and '{env}' both mean the name env, behind a prefix that braces leave room for, such as
// "v.", or none. Every byte stays where it was, and no value ever becomes text of the
// expression.
func (c *Canonical) Expression(n *yaml.Node, path, prefix string) (text string, uses []Use, problems Problems) {
	out := []byte(n.Value)
	for i := 0; i < len(n.Value); {
		t := expressionToken(n.Value[i:])
		if t.kind != sqlVariable && t.kind != sqlString {
			i += len(t.text)
			continue
		}
		inner, from := t.text, i
		if t.kind == sqlString {
			inner, from = t.body()
			from += i
		}
		pieces := split(inner)
		switch {
		case !hasRef(pieces):
		case len(pieces) != 1 || pieces[0].ref == nil:
			problems = append(problems, c.ProblemAt(n, from, path, "a variable within text cannot be part of an expression; join texts with +: 'a-' + name"))
		case len(pieces[0].ref.filters) > 0:
			problems = append(problems, c.ProblemAt(n, from, path, "filters cannot be part of an expression; use its own functions, such as name.upperAscii()"))
		default:
			name := pieces[0].ref.name
			copy(out[i:], pad(prefix+name, len(t.text)))
			uses = append(uses, Use{Name: name, Offset: from + strings.Index(inner, name)})
		}
		i += len(t.text)
	}
	return string(out), uses, problems
}

// Knows reports whether a name can be used in the scope, and else the nearest one that can.
func (s *Scope) Knows(name string) (nearby string, known bool) {
	names := s.Names()
	if slices.Contains(names, name) {
		return "", true
	}
	return nearest(name, names), false
}

// VariableType returns what a name is in an expression; see VariableTypes.
func (s *Scope) VariableType(name string) row.Type { return s.variableType(name, len(s.layers), 0) }

// expressionToken reads a string, a variable, or anything else byte by byte.
func expressionToken(rest string) sqlToken {
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return stringToken(rest, "")
	case c == '{':
		if m := refPattern.FindStringIndex(rest); m != nil && m[0] == 0 {
			return sqlToken{kind: sqlVariable, text: rest[:m[1]]}
		}
	case isWordByte(c):
		return word(rest)
	}
	return sqlToken{kind: sqlPunct, text: rest[:1]}
}

// pad centres a name in as many bytes as the text that it stands for.
func pad(name string, width int) string {
	left := (width - len(name)) / 2
	return strings.Repeat(" ", left) + name + strings.Repeat(" ", width-left-len(name))
}

// ProblemAt places an error about a byte of a scalar in the document.
func (c *Canonical) ProblemAt(n *yaml.Node, offset int, path, message string) Problem {
	line, col := c.place(n, offset)
	return Problem{File: c.File.Name, Line: line, Col: col, Path: path, Message: message}
}

// Text resolves one text and returns it, and whether all of its variables have a value.
func (s *Scope) Text(n *yaml.Node, path string) (text string, set bool, problems Problems) {
	x := newExpander(s)
	text, missing := x.expand(n, path)
	return text, !missing, x.problems
}
