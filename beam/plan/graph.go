package plan

import (
	"cmp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// order checks ids and references and sorts the steps: dependencies first, else as the
// document has them.
func (b *builder) order() {
	nodes := configs.StepNodes(b.canonical)
	byID := map[string]*Step{}
	for _, s := range b.plan.Steps {
		if s.ID == "" {
			continue
		}
		if first, dup := byID[s.ID]; dup {
			b.problem(configs.Member(nodes[s.Index], "step_id"), stepPath(s)+".step_id", "%q is already the id of steps[%d]", s.ID, first.Index)
			continue
		}
		byID[s.ID] = s
	}
	for _, s := range b.hooks {
		if first, dup := byID[s.ID]; dup && s.ID != "" {
			b.problem(configs.Member(nodes[s.Index], "step_id"), stepPath(s)+".step_id", "%q is already the id of steps[%d]", s.ID, first.Index)
		}
	}
	for _, s := range slices.Concat(b.plan.Steps, b.hooks) {
		b.references(s, byID, nodes[s.Index])
	}
	if cycle := findCycle(b.plan.Steps, byID); cycle != nil {
		n := nodes[byID[cycle[0]].Index]
		if list := configs.Member(n, "depends_on"); list != nil {
			n = list
		}
		b.problem(n, stepPath(byID[cycle[0]])+".depends_on", "steps depend on each other in a circle: %s", strings.Join(cycle, " -> "))
		return
	}
	b.plan.Steps = topological(b.plan.Steps, byID)
	b.writers(nodes)
}

func stepPath(s *Step) string { return at("steps", s.Index) }

// references checks depends_on and inputs; an input is a dependency too.
func (b *builder) references(s *Step, byID map[string]*Step, node *yaml.Node) {
	for _, key := range []string{"depends_on", "inputs"} {
		names := map[string][]string{"depends_on": s.DependsOn, "inputs": s.Inputs}[key]
		list := configs.Member(node, key)
		for i, name := range names {
			var n *yaml.Node
			if list != nil && i < len(list.Content) {
				n = list.Content[i]
			}
			path := at(stepPath(s)+"."+key, i)
			switch {
			case name == "": // the schema says what it must be
			case byID[name] == nil:
				b.problem(n, path, "there is no step %q", name)
				b.problems[len(b.problems)-1].Suggestion = configs.Nearest(name, ids(b.plan.Steps))
			case slices.Contains(names[:i], name):
				b.problem(n, path, "%q is named twice", name)
			case key == "inputs" && !slices.Contains(s.DependsOn, name):
				s.DependsOn = append(slices.Clone(s.DependsOn), name)
			}
		}
	}
}

func ids(steps []*Step) []string {
	out := make([]string, 0, len(steps))
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return out
}

// findCycle returns a circle of step ids, first and last the same, starting at the step
// of it that comes first in the document; nil when there is none.
func findCycle(steps []*Step, byID map[string]*Step) []string {
	done := map[string]bool{}
	var visit func(s *Step, path []string) []string
	visit = func(s *Step, path []string) []string {
		if i := slices.Index(path, s.ID); i >= 0 {
			return rotate(path[i:], byID)
		}
		if done[s.ID] {
			return nil
		}
		path = append(slices.Clone(path), s.ID)
		for _, name := range s.DependsOn {
			if next := byID[name]; next != nil {
				if cycle := visit(next, path); cycle != nil {
					return cycle
				}
			}
		}
		done[s.ID] = true
		return nil
	}
	for _, s := range steps {
		if byID[s.ID] != s {
			continue
		}
		if cycle := visit(s, nil); cycle != nil {
			return cycle
		}
	}
	return nil
}

func rotate(cycle []string, byID map[string]*Step) []string {
	first := 0
	for i, id := range cycle {
		if byID[id].Index < byID[cycle[first]].Index {
			first = i
		}
	}
	return append(slices.Concat(cycle[first:], cycle[:first]), cycle[first])
}

// topological sorts steps without circles.
func topological(steps []*Step, byID map[string]*Step) []*Step {
	out := make([]*Step, 0, len(steps))
	placed := map[*Step]bool{}
	var place func(s *Step)
	place = func(s *Step) {
		if placed[s] {
			return
		}
		placed[s] = true
		for _, name := range s.DependsOn {
			if next := byID[name]; next != nil {
				place(next)
			}
		}
		out = append(out, s)
	}
	for _, s := range steps {
		place(s)
	}
	return out
}

// writers refuses steps that replace each other's rows.
func (b *builder) writers(nodes []*yaml.Node) {
	byTable := map[string]*Step{}
	for _, s := range b.plan.Steps {
		d := s.Destination
		name := cmp.Or(d.Table, d.Path)
		if name == "" {
			continue
		}
		first := byTable[name]
		if first == nil {
			byTable[name] = s
			continue
		}
		if d.replaces() || first.Destination.replaces() {
			n := configs.Member(nodes[s.Index], "destination")
			if n == nil {
				n = nodes[s.Index]
			}
			b.problem(n, stepPath(s)+".destination.table", "%q is also written by step %q; each would replace the other's rows: give both a replace_scope or another table", name, first.ID)
		}
	}
}
