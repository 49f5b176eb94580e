package configs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// This file is what the planner needs to know of a document beside its typed form.

// Member returns the value of a key of a mapping; nil when there is none.
func Member(m *yaml.Node, key string) *yaml.Node { return get(m, key) }

// Drop takes a key out of a mapping.
func Drop(m *yaml.Node, key string) { remove(m, key) }

// JSON returns a value of a document as JSON with sorted keys.
func JSON(n *yaml.Node) ([]byte, error) { return jsonOf(n) }

// Nearest returns the candidate that a misspelt word most probably means, or "".
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }

// StepNodes returns the steps of a document as written, in canonical spelling.
func StepNodes(doc *Canonical) []*yaml.Node {
	if steps := get(doc.Root, "steps"); steps != nil && steps.Kind == yaml.SequenceNode {
		return steps.Content
	}
	return nil
}

// SourceTable returns the table that a step says its rows come from, or "".
func SourceTable(step *yaml.Node) string { return textOf(get(get(step, "config"), "source_table")) }

// Identity returns provider, domain and name of a document: from its path, else from its
// variables.
func Identity(doc *Canonical) (provider, domain, name string) {
	id := doc.File.ID
	if id == "" {
		id = idBelowConfigs(doc.File.Name)
	}
	if id == "" {
		vars := get(doc.Root, "variables")
		base := path.Base(doc.File.Name)
		return plainText(get(vars, "provider")), plainText(get(vars, "domain")), strings.TrimSuffix(base, path.Ext(base))
	}
	parts := strings.Split(id, "/")
	name = parts[len(parts)-1]
	if len(parts) > 1 {
		provider = parts[0]
	}
	if len(parts) > 2 {
		domain = strings.Join(parts[1:len(parts)-1], "/")
	}
	return provider, domain, name
}

// idBelowConfigs returns the identity that the path of a loose file gives it, "" when it
// is in no configs folder.
func idBelowConfigs(name string) string {
	parts := strings.Split(strings.ReplaceAll(name, "\\", "/"), "/")
	for i := len(parts) - 2; i >= 0; i-- {
		if parts[i] != "configs" {
			continue
		}
		rest := parts[i+1:]
		if rest[0] == orgsFolder && len(rest) > 2 {
			rest = rest[2:]
		}
		if below := strings.Join(rest, "/"); len(rest) > 1 && isPipelinePath(path.Dir(below)) {
			return strings.TrimSuffix(below, path.Ext(below))
		}
	}
	return ""
}

// plainText returns the text of a scalar that holds no variable.
func plainText(n *yaml.Node) string {
	if t := textOf(n); !strings.Contains(t, "{") {
		return t
	}
	return ""
}

// UsedNames returns the variables that the config and destination of a step use,
// directly or through other variables, sorted. Problems are found elsewhere.
func UsedNames(s *Scope, step *yaml.Node, path string) []string {
	used := map[string]bool{}
	for _, key := range []string{"config", "destination"} {
		n := get(step, key)
		if n == nil {
			continue
		}
		r, _ := Resolve(n, path, s, nil)
		for _, name := range r.Used {
			used[name] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// placeNames are the same for every unit of a step: what they stand for is part of the
// unit's place.
var placeNames = []string{"org_slug", "project", "dataset", "env", "provider", "domain", "template_name", "pipeline_id", "step_id"}

// ParameterValues returns the values of those names that make units different: not
// dates, times or run ids, and not what belongs to the place of the step.
func ParameterValues(s *Scope, names []string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		declared := s.declaredAbove(name, -1)
		switch {
		case slices.Contains(sliceNames, name), slices.Contains(placeNames, name) && (isBuiltinOnly(name) || !declared):
			continue
		case name == "gcp_project_id" && !declared:
			name = "project_id" // two spellings of one thing
		}
		x := newExpander(s)
		v, known := x.find(name)
		if known && !dependsOnSlice(x.used) {
			out[name] = v.Text
		}
	}
	return out
}

func dependsOnSlice(used map[string]bool) bool {
	for name := range used {
		if slices.Contains(sliceNames, name) {
			return true
		}
	}
	return false
}

// CheckParams checks the run's parameters: each must be declared by the document, and
// none may set what the run itself sets or what serves as a name or host.
func CheckParams(s *Scope) Problems {
	var out Problems
	declared := s.declaredNames()
	for _, name := range slices.Sorted(maps.Keys(s.env.Params)) {
		p := Problem{File: s.doc.File.Name, Path: "parameter " + name}
		switch {
		case name == forceRefresh || name == textOf(get(get(s.doc.Root, "execution"), "force_param")):
			continue
		case slices.Contains(reserved, name):
			p.Message = "is set by the run and cannot be a parameter"
		case !slices.Contains(declared, name):
			p.Message = "is not declared by this pipeline in parameters or variables"
			p.Suggestion = nearest(name, declared)
		default:
			continue
		}
		out = append(out, p)
	}
	return out
}

// CheckFixed refuses run parameters and variables of an org's document in a value that
// names something: a table, or the host of a URL.
func CheckFixed(s *Scope, n *yaml.Node, path, what string) Problems {
	if n == nil || !isText(n) {
		return nil
	}
	end := len(n.Value)
	if what == "host" {
		end = hostEnd(n.Value)
	}
	x := newExpander(s)
	quiet := newExpander(s)
	for _, p := range split(n.Value) {
		if p.ref == nil || p.start >= end {
			continue
		}
		if v, known := quiet.find(p.ref.name); known && v.origin.setBy() != "" {
			x.problem(n, p.start, path, fmt.Sprintf("variable %q is set by %s and cannot be part of a %s", p.ref.name, v.origin.setBy(), what))
		}
	}
	return x.problems
}

// hostEnd returns where the path of a URL starts.
func hostEnd(url string) int {
	from := 0
	if i := strings.Index(url, "://"); i >= 0 {
		from = i + len("://")
	}
	if i := strings.IndexAny(url[from:], "/?#"); i >= 0 {
		return from + i
	}
	return len(url)
}

func (s *Scope) declaredNames() []string {
	var out []string
	for _, l := range s.layers {
		for i := 0; i < len(l.values.Content); i += 2 {
			out = append(out, l.values.Content[i].Value)
		}
	}
	return out
}

// FindProcessor finds a processor, or says what is wrong with its name.
func FindProcessor(all Processors, name string) (Processor, *Problem) {
	if p, ok := all.Lookup(name); ok {
		return p, nil
	}
	known := slices.Concat(all.Names(), all.PlannedNames())
	return nil, &Problem{
		Message:    fmt.Sprintf("there is no processor %q; available: %s", name, strings.Join(all.Names(), ", ")),
		Suggestion: nearest(name, known),
	}
}

// SQLProblem places what a SQL check found in the document.
func (c *Canonical) SQLProblem(n *yaml.Node, path string, s *Statement, p SQLProblem) Problem {
	offset := 0
	for line := 1; line < p.Line; line++ {
		i := strings.IndexByte(s.SQL[offset:], '\n')
		if i < 0 {
			break
		}
		offset += i + 1
	}
	for range p.Col - 1 {
		_, size := utf8.DecodeRuneInString(s.SQL[offset:])
		offset += size
	}
	out := c.SQLProblemAt(n, path, s, offset, p.Message)
	out.Severity, out.Suggestion = SeverityError, p.Suggestion
	return out
}

// SQLProblemAt places a warning about a byte of a statement in the document.
func (c *Canonical) SQLProblemAt(n *yaml.Node, path string, s *Statement, offset int, message string) Problem {
	line, col := c.place(n, s.Origin(offset))
	return Problem{File: c.File.Name, Line: line, Col: col, Path: path, Message: message, Severity: SeverityWarning}
}
