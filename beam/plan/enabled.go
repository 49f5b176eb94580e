package plan

import (
	"errors"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/expr"
	"github.com/cloudact/convergence/transforms/row"
)

// enabled evaluates the key of that name: true or false, one variable, or an expression
// over the variables of the run. Without values it only checks.
func (s *stepBuilder) enabled() bool {
	n, path := configs.Member(s.node, "enabled"), s.path+".enabled"
	if n == nil {
		return true
	}
	if configs.IsExpression(n) {
		return s.holds(path)
	}
	text, set, problems := s.scope.Text(n, path)
	s.add(problems)
	if !set || len(problems) > 0 || text == "" {
		return true
	}
	value, ok := configs.ParseSwitch(text)
	if !ok {
		s.problem(n, path, "must be true or false, not %q", text)
	}
	return value || !ok
}

// holds compiles and evaluates enabled as an expression.
func (s *stepBuilder) holds(path string) bool {
	n := configs.Member(s.node, "enabled")
	text, _, problems := s.canonical.Expression(n, path, "")
	s.add(problems)
	if len(problems) > 0 {
		return true
	}
	variables := s.scope.VariableTypes()
	names, err := expr.Over(variables)
	if err != nil {
		s.problem(n, path, "%s", err)
		return true
	}
	program, err := names.Condition(text)
	if err != nil {
		s.expression(n, path, err, variables.Names())
		return true
	}
	cells := make([]row.Cell, len(variables))
	for _, name := range program.Uses() {
		i := variables.Index(name)
		c, ok, problems := s.scope.VariableCell(name, variables[i].Type, n, path)
		s.add(problems)
		if !ok {
			return true
		}
		cells[i] = c
	}
	value, err := program.Holds(cells)
	if err != nil {
		s.problem(n, path, "%s", err)
	}
	return value || err != nil
}

// expression reports the mistakes of an expression where they stand.
func (b *builder) expression(n *yaml.Node, path string, err error, known []string) {
	for _, e := range unjoin(err) {
		p := b.canonical.ProblemAt(n, 0, path, e.Error())
		var mistake *expr.Error
		if errors.As(e, &mistake) {
			p = b.canonical.ProblemAt(n, mistake.Offset, path, mistake.Message)
			if mistake.Unknown != "" {
				p.Suggestion = configs.Nearest(mistake.Unknown, known)
			}
		}
		b.problems = append(b.problems, p)
	}
}

// unjoin returns the errors that one consists of.
func unjoin(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, unjoin(e)...)
	}
	return out
}
