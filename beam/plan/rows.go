package plan

import (
	"slices"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/row"
)

// shaper is implemented by configs of row steps: the columns that come out for columns
// that come in.
type shaper interface {
	Rows(in row.Schema, of func(step string) (row.Schema, bool)) (row.Schema, error)
}

// rows follows the columns of rows through the row steps, dependencies first, and checks
// what each of them says of columns. Where columns are known during a run only, nothing
// can be checked.
func (b *builder) rows() {
	known := map[string]row.Schema{}
	of := func(step string) (row.Schema, bool) {
		columns, ok := known[step]
		return columns, ok
	}
	nodes := configs.StepNodes(b.canonical)
	for _, s := range b.plan.Steps {
		if s.Kind != configs.KindRows {
			if len(s.Schema.Fields) > 0 && !s.inferred {
				known[s.ID] = s.Schema.Fields
			}
			continue
		}
		in, ok := of(rowsOf(s))
		if rowsOf(s) == "" && s.ID != "" {
			b.problem(nodes[s.Index], stepPath(s), "takes rows of another step, but depends on none")
		}
		shape, typed := s.Config.(shaper)
		if !ok || !typed {
			continue
		}
		out, err := shape.Rows(in, of)
		if err != nil {
			b.add(b.canonical.RuleProblems(configs.Member(nodes[s.Index], "config"), stepPath(s)+".config", err))
			continue
		}
		if len(out) == 0 {
			continue
		}
		known[s.ID] = out
		b.landing(s, out)
	}
}

// rowsOf is the step whose rows come in: the first of its inputs, else the last that it
// depends on.
func rowsOf(s *Step) string {
	switch {
	case len(s.Inputs) > 0:
		return s.Inputs[0]
	case len(s.DependsOn) > 0:
		return s.DependsOn[len(s.DependsOn)-1]
	default:
		return ""
	}
}

// landing compares the columns that a step makes with those that its table declares.
func (b *builder) landing(s *Step, out row.Schema) {
	declared := s.Schema.Fields
	if len(declared) == 0 || !s.writesRows() {
		return
	}
	n := configs.Member(configs.StepNodes(b.canonical)[s.Index], "destination")
	path := stepPath(s) + ".destination"
	for _, f := range out {
		at := declared.Index(f.Name)
		switch {
		case at < 0:
			b.problem(n, path, "the step makes column %q, which the table's schema does not declare", f.Name)
		case declared[at].Type != f.Type:
			b.problem(n, path, "the step makes column %q as %s, the table's schema declares %s", f.Name, f.Type, declared[at].Type)
		case declared[at].Required && !f.Required:
			b.problem(n, path, "the step makes column %q, which may be NULL, and the table's schema requires a value", f.Name)
		}
	}
	for _, f := range declared {
		if f.Required && !slices.ContainsFunc(out, func(o row.Field) bool { return o.Name == f.Name }) {
			b.problem(n, path, "the table's schema requires column %q, which the step does not make", f.Name)
		}
	}
}
