package compile

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"

	"github.com/cloudact/convergence/beam/plan"
)

// Graph is a Beam graph as people read it: transforms in the order of their making.
type Graph struct {
	Transforms []Transform `json:"transforms"`
	// Notifications are sent when the run has ended; nothing in the graph waits for them.
	Notifications []Notification `json:"notifications,omitempty"`
}

// Notification is a hook of the pipeline.
type Notification struct {
	Name string `json:"name"` // id of the step
	Type string `json:"type"` // name of the processor
}

// With returns the graph with the notifications of its plan.
func (g Graph) With(hooks []plan.Hook) Graph {
	g.Notifications = nil
	for _, h := range hooks {
		g.Notifications = append(g.Notifications, Notification{Name: h.ID, Type: h.Type})
	}
	return g
}

// Transform is one node. Inputs name the transforms whose outputs it reads; side inputs
// are those that it reads whole.
type Transform struct {
	Name   string   `json:"name"` // scopes and name, e.g. extract_usage/Fetch/source.fetchFn
	Op     string   `json:"op"`   // Impulse, ParDo, Flatten, ...
	Inputs []string `json:"inputs,omitempty"`
	Side   []string `json:"side_inputs,omitempty"`
}

// Describe reads the graph of a pipeline.
func Describe(p *beam.Pipeline) (Graph, error) {
	edges, _, err := p.Build()
	if err != nil {
		return Graph{}, fmt.Errorf("build graph: %w", err)
	}
	var g Graph
	producer := map[int]string{}
	used := map[string]int{}
	for _, e := range edges {
		name := unique(used, transformName(e))
		t := Transform{Name: name, Op: string(e.Op)}
		for _, in := range e.Input {
			from := producer[in.From.ID()]
			if in.Kind == graph.Main {
				t.Inputs = append(t.Inputs, from)
			} else {
				t.Side = append(t.Side, from)
			}
		}
		for _, out := range e.Output {
			producer[out.To.ID()] = name
		}
		g.Transforms = append(g.Transforms, t)
	}
	return g, nil
}

func unique(used map[string]int, name string) string {
	used[name]++
	if n := used[name]; n > 1 {
		return fmt.Sprintf("%s#%d", name, n)
	}
	return name
}

// transformName joins the scopes and the DoFn's short name; generic and pointer marks
// are the SDK's, not ours.
func transformName(e *graph.MultiEdge) string {
	var parts []string
	for s := e.Scope(); s != nil; s = s.Parent {
		if s.Label != "root" && s.Label != "" {
			parts = append([]string{s.Label}, parts...)
		}
	}
	name := e.Name()
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	return strings.Join(append(parts, name), "/")
}

// Text prints one line per transform with its inputs below it.
func (g Graph) Text() string {
	var b strings.Builder
	for _, t := range g.Transforms {
		fmt.Fprintf(&b, "%-8s %s\n", t.Op, t.Name)
		for _, in := range t.Inputs {
			fmt.Fprintf(&b, "         <- %s\n", in)
		}
		for _, in := range t.Side {
			fmt.Fprintf(&b, "         <~ %s\n", in)
		}
	}
	for _, n := range g.Notifications {
		fmt.Fprintf(&b, "%s  %s, when the run has ended\n", n.Name, n.Type)
	}
	return b.String()
}

// JSON prints the graph as JSON.
func (g Graph) JSON() (string, error) {
	b, err := json.MarshalIndent(g, "", "  ")
	return string(b) + "\n", err
}

// Dot prints the graph for Graphviz; side inputs are dashed.
func (g Graph) Dot() string {
	var b strings.Builder
	b.WriteString("digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, t := range g.Transforms {
		fmt.Fprintf(&b, "  %q;\n", t.Name)
	}
	g.edges(func(from, to string, side bool) {
		style := ""
		if side {
			style = " [style=dashed]"
		}
		fmt.Fprintf(&b, "  %q -> %q%s;\n", from, to, style)
	})
	for _, n := range g.Notifications {
		fmt.Fprintf(&b, "  %q [shape=note, label=%q];\n", n.Name, n.label())
	}
	b.WriteString("}\n")
	return b.String()
}

// Mermaid prints the graph as a Mermaid flow chart; side inputs are dotted.
func (g Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := make(map[string]string, len(g.Transforms))
	for i, t := range g.Transforms {
		ids[t.Name] = fmt.Sprintf("t%d", i)
		fmt.Fprintf(&b, "  t%d[%q]\n", i, t.Name)
	}
	g.edges(func(from, to string, side bool) {
		arrow := "-->"
		if side {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", ids[from], arrow, ids[to])
	})
	for i, n := range g.Notifications {
		fmt.Fprintf(&b, "  n%d([%q])\n", i, n.label())
	}
	return b.String()
}

func (g Graph) edges(visit func(from, to string, side bool)) {
	for _, t := range g.Transforms {
		for _, in := range t.Inputs {
			visit(in, t.Name, false)
		}
		for _, in := range t.Side {
			visit(in, t.Name, true)
		}
	}
}

// label is what a drawing says of a notification, which nothing leads to.
func (n Notification) label() string {
	return n.Name + ": " + n.Type + ", when the run has ended"
}
