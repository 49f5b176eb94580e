package plan

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/row"
)

// expressive is implemented by configs that hold expressions over the columns of rows.
type expressive interface {
	// Expressions returns the paths of the keys that hold one; "columns.*" means every
	// member of columns.
	Expressions() []string
	// Bind gives the expressions the variables that they name: cells in the order of names.
	Bind(names row.Schema, values []row.Cell)
}

// variablePrefix keeps variables of an expression apart from columns of the same name. No
// column has a dot in its name, and braces leave exactly the room for it.
const variablePrefix = "v."

// isExpression reports whether a path of the step's config holds an expression.
func (s *stepBuilder) isExpression(path string) bool {
	config, ok := s.processor.NewConfig().(expressive)
	if !ok {
		return false
	}
	rest, ok := strings.CutPrefix(path, s.path+".config.")
	if !ok {
		return false
	}
	for _, pattern := range config.Expressions() {
		parent, all := strings.CutSuffix(pattern, ".*")
		if rest == pattern || all && strings.HasPrefix(rest, parent+".") {
			return true
		}
	}
	return false
}

// bound are the variables that the expressions of a config name, with their values.
type bound struct {
	names  row.Schema
	values []row.Cell
}

// expressions writes the variables of expressions below n as names, in place, and returns
// them with their values in a scope.
func (s *stepBuilder) expressions(n *yaml.Node, path string, scope *configs.Scope) bound {
	var out bound
	s.eachExpression(n, path, func(n *yaml.Node, path string) {
		text, uses, problems := s.canonical.Expression(n, path, variablePrefix)
		s.add(problems)
		for _, use := range uses {
			s.bind(&out, n, path, use, scope)
		}
		n.Value = text
	})
	return out
}

func (s *stepBuilder) eachExpression(n *yaml.Node, path string, do func(n *yaml.Node, path string)) {
	switch {
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.eachExpression(n.Content[i+1], path+"."+n.Content[i].Value, do)
		}
	case n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "{") && s.isExpression(path):
		do(n, path)
	}
}

// bind adds a variable with its value.
func (s *stepBuilder) bind(out *bound, n *yaml.Node, path string, use configs.Use, scope *configs.Scope) {
	if nearby, known := scope.Knows(use.Name); !known {
		p := s.canonical.ProblemAt(n, use.Offset, path, fmt.Sprintf("unknown variable %q", use.Name))
		p.Suggestion = nearby
		s.problems = append(s.problems, p)
		return
	}
	name := variablePrefix + use.Name
	if out.names.Index(name) >= 0 {
		return
	}
	t := scope.VariableType(use.Name)
	value, _, problems := scope.VariableCell(use.Name, t, n, path)
	s.add(problems)
	out.names = append(out.names, row.Field{Name: name, Type: t, Required: true})
	out.values = append(out.values, value)
}
