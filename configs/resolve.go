package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Resolved is a part of a document with its variables resolved.
type Resolved struct {
	Root *yaml.Node
	Used []string // names of variables, also those used by other variables; sorted

	path  string
	unset map[*yaml.Node]bool // has no value yet: not checked
	loose map[*yaml.Node]bool // came from a variable: may take the type that its place needs
}

// Resolve resolves the variables of the values below n. Values whose path skip accepts
// stay as they are; skip may be nil.
func Resolve(n *yaml.Node, path string, s *Scope, skip func(path string) bool) (*Resolved, Problems) {
	r := resolver{
		expander: newExpander(s), skip: skip,
		out: &Resolved{Root: clone(n), path: path, unset: map[*yaml.Node]bool{}, loose: map[*yaml.Node]bool{}},
	}
	r.walk(r.out.Root, path)
	r.out.Used = slices.Sorted(maps.Keys(r.used))
	return r.out, r.problems
}

// ResolveDocument resolves a whole document but for what belongs to a slice (the config
// of a step), is an expression (enabled) or is not for us (metadata, labels). Steps see their own variables.
func ResolveDocument(s *Scope) (*Resolved, Problems) {
	doc := s.doc
	out, problems := Resolve(doc.Root, "", s, func(path string) bool {
		return path == "steps" || slices.Contains(verbatim, path)
	})
	steps := get(out.Root, "steps")
	if steps == nil || steps.Kind != yaml.SequenceNode {
		return out, problems
	}
	for i, step := range steps.Content {
		path := at("steps", i)
		scope := s.Step(textOf(get(step, "step_id")), get(step, "variables"), path)
		r := resolver{expander: newExpander(scope), out: out, skip: func(p string) bool {
			key, ok := strings.CutPrefix(p, path+".")
			return ok && (key == "config" || key == "enabled" || slices.Contains(verbatim, key))
		}}
		r.walk(step, path)
		problems = append(problems, r.problems...)
		problems = append(problems, checkLayer(scope, len(scope.layers)-1, get(step, "variables") != nil)...)
	}
	return out, problems
}

// verbatim are the parts that are never resolved in place.
var verbatim = []string{"variables", "parameters", "metadata", "labels"}

func textOf(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

type resolver struct {
	*expander
	out  *Resolved
	skip func(string) bool
}

// freeText are the keys of a notification whose braces may be just braces.
var freeText = []string{"subject", "message", "body", "text", "title", "subject_template", "body_template"}

// IsFreeText reports whether the braces below a key may be just braces.
func IsFreeText(key string) bool { return slices.Contains(freeText, key) }

func (r *resolver) walk(n *yaml.Node, path string) {
	if r.skip != nil && r.skip(path) {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			outer := r.free
			r.free = outer || IsFreeText(key)
			r.walk(n.Content[i+1], join(path, key))
			r.free = outer
		}
	case yaml.SequenceNode:
		for i, child := range n.Content {
			r.walk(child, at(path, i))
		}
	case yaml.ScalarNode:
		if isText(n) && strings.Contains(n.Value, "{") {
			r.scalar(n, path)
		}
	}
}

func (r *resolver) scalar(n *yaml.Node, path string) {
	pieces := split(n.Value)
	if len(pieces) == 1 && pieces[0].ref == nil && pieces[0].bad == "" {
		return
	}
	text, missing := r.expand(n, path)
	if len(pieces) == 1 {
		r.out.loose[n] = true
	}
	if missing {
		r.out.unset[n] = true
		return
	}
	n.Value, n.Tag, n.Style = text, "!!str", yaml.DoubleQuotedStyle
}

// CheckNames checks the declared variables themselves: none may take a name that the
// run sets, and each must resolve.
func CheckNames(s *Scope) Problems {
	var out Problems
	for i := range s.layers {
		out = append(out, checkLayer(s, i, true)...)
	}
	return out
}

func checkLayer(s *Scope, i int, present bool) Problems {
	if !present || i < 0 {
		return nil
	}
	sample := *s
	sample.env.Sample = true // a variable without a value matters only where it is used
	x, l := newExpander(&sample), s.layers[i]
	for j := 0; j+1 < len(l.values.Content); j += 2 {
		key, val := l.values.Content[j], l.values.Content[j+1]
		path := join(l.path, key.Value)
		switch {
		case !namePattern.MatchString(key.Value):
			x.problem(key, 0, path, "is no variable name; use letters, digits and _")
		case slices.Contains(reserved, key.Value) && !isSelfNamed(key.Value, val):
			x.problem(val, 0, path, fmt.Sprintf("is set by the run and cannot be declared otherwise than as %q", "{"+key.Value+"}"))
		case slices.Contains(dateNames, key.Value) && l.fixed && givesDate(key.Value, val):
			x.problem(val, 0, path, "is the run's: a step has no dates of its own; use another name")
		case slices.Contains(reserved, key.Value) || slices.Contains(dateNames, key.Value):
		default:
			x.declared(key.Value, val, i)
		}
	}
	return x.problems
}

func isSelfNamed(name string, n *yaml.Node) bool {
	pieces := split(n.Value)
	return len(pieces) == 1 && pieces[0].ref != nil && pieces[0].ref.name == name
}
