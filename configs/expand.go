package configs

import (
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// piece is a part of a text: literal text, or a variable.
type piece struct {
	text       string
	start, end int // bytes in the text
	ref        *ref
	bad        string // why the piece is no variable although it looks like one
}

type ref struct {
	name    string
	filters []filter
}

type filter struct {
	name string
	args []string
}

var (
	refPattern    = regexp.MustCompile(`(?s)\{%|\{\{.*?\}\}|\{[A-Za-z_][A-Za-z0-9_]*\}`)
	namePattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	filterPattern = regexp.MustCompile(`^([a-z]+)\s*(?:\((.*)\))?$`)
	argPattern    = regexp.MustCompile(`^\s*(?:'([^']*)'|"([^"]*)"|(-?[0-9.]+))\s*(?:,|$)`)
	filterArgs    = map[string]int{"default": 1, "upper": 0, "lower": 0, "replace": 2}
)

// split cuts a text into literal parts and variables.
func split(text string) []piece {
	var out []piece
	last := 0
	for _, m := range refPattern.FindAllStringIndex(text, -1) {
		if m[0] > last {
			out = append(out, piece{text: text[last:m[0]], start: last, end: m[0]})
		}
		out = append(out, parseRef(text[m[0]:m[1]], m[0]))
		last = m[1]
	}
	if last < len(text) || len(out) == 0 {
		out = append(out, piece{text: text[last:], start: last, end: len(text)})
	}
	return out
}

func parseRef(text string, start int) piece {
	p := piece{text: text, start: start, end: start + len(text)}
	if text == "{%" {
		p.bad = "{% %} is not supported; use {{ name }} with the filters default, upper, lower, replace"
		return p
	}
	if !strings.HasPrefix(text, "{{") {
		p.ref = &ref{name: text[1 : len(text)-1]}
		return p
	}
	parts := splitOutsideQuotes(text[2:len(text)-2], '|')
	name := strings.TrimSpace(parts[0])
	if !namePattern.MatchString(name) {
		p.bad = fmt.Sprintf("%q is not a variable name; use {{ name }} with the filters default, upper, lower, replace", name)
		return p
	}
	p.ref = &ref{name: name}
	for _, part := range parts[1:] {
		f, bad := parseFilter(strings.TrimSpace(part))
		if bad != "" {
			p.ref, p.bad = nil, bad
			return p
		}
		p.ref.filters = append(p.ref.filters, f)
	}
	return p
}

func parseFilter(text string) (filter, string) {
	m := filterPattern.FindStringSubmatch(text)
	if m == nil {
		return filter{}, fmt.Sprintf("%q is not a filter; use default, upper, lower or replace", text)
	}
	want, ok := filterArgs[m[1]]
	if !ok {
		return filter{}, fmt.Sprintf("filter %q is not supported; use default, upper, lower or replace", m[1])
	}
	f := filter{name: m[1]}
	for rest := m[2]; strings.TrimSpace(rest) != ""; {
		a := argPattern.FindStringSubmatch(rest)
		if a == nil {
			return filter{}, fmt.Sprintf("filter %s: write its arguments in quotes", f.name)
		}
		f.args = append(f.args, a[1]+a[2]+a[3])
		rest = rest[len(a[0]):]
	}
	if len(f.args) != want {
		return filter{}, fmt.Sprintf("filter %s takes %d arguments, not %d", f.name, want, len(f.args))
	}
	return f, ""
}

func splitOutsideQuotes(s string, sep byte) []string {
	var parts []string
	quote, from := byte(0), 0
	for i := 0; i < len(s); i++ {
		switch {
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[i] == '\'' || s[i] == '"':
			quote = s[i]
		case s[i] == sep:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// expander resolves texts in a scope and remembers problems and the names used.
type expander struct {
	scope    *Scope
	used     map[string]bool
	problems Problems
	active   []string
	self     string // while a declared variable is resolved: its name, which means the outer one
	selfTop  int
	free     bool   // free text: what is no variable stays as it is
	tainted  origin // the least trusted origin of what has been used
	failed   bool   // a variable cannot be known, which has been reported
}

func newExpander(s *Scope) *expander { return &expander{scope: s, used: map[string]bool{}} }

func (x *expander) problem(n *yaml.Node, offset int, path, message string) {
	line, col := x.scope.doc.place(n, offset)
	x.problems = append(x.problems, Problem{File: x.scope.doc.File.Name, Line: line, Col: col, Path: path, Message: message})
}

// find resolves a name as it is seen from the text being resolved.
func (x *expander) find(name string) (Value, bool) {
	top := len(x.scope.layers)
	if name != x.self || x.self == "" {
		return x.lookup(name, top)
	}
	v, ok := x.lookup(name, x.selfTop)
	if !ok && x.scope.declaredAbove(name, x.selfTop) {
		return x.lookup(name, top) // variables name themselves to mean the parameter
	}
	return v, ok
}

// expand returns the text of a scalar with its variables resolved, and whether one of
// them has no value.
func (x *expander) expand(n *yaml.Node, path string) (text string, missing bool) {
	var b strings.Builder
	for _, p := range split(n.Value) {
		if p.ref == nil && p.bad == "" {
			b.WriteString(p.text)
			continue
		}
		v, ok := x.variable(n, p, path)
		switch {
		case !ok && x.free:
			b.WriteString(p.text)
		case !ok:
			x.failed, missing = true, true
		case !v.Set:
			missing = true
		default:
			b.WriteString(v.Text)
		}
	}
	return b.String(), missing
}

// variable resolves one variable of a text with its filters; ok is false when it cannot
// be known.
func (x *expander) variable(n *yaml.Node, p piece, path string) (v Value, ok bool) {
	if p.bad != "" {
		if !x.free {
			x.problem(n, p.start, path, p.bad)
		}
		return Value{}, false
	}
	v, ok = x.find(p.ref.name)
	if !ok {
		if !x.free {
			x.problem(n, p.start, path, fmt.Sprintf("unknown variable %q", p.ref.name))
			x.problems[len(x.problems)-1].Suggestion = nearest(p.ref.name, x.scope.Names())
		}
		return Value{}, false
	}
	if v.broken {
		return v, false
	}
	for _, f := range p.ref.filters {
		v = f.apply(v)
	}
	x.tainted = max(x.tainted, v.origin)
	if !v.Set && !x.scope.env.Sample {
		x.problem(n, p.start, path, fmt.Sprintf("variable %q has no value; set it with --var %s=VALUE or in the run's parameters", p.ref.name, p.ref.name))
		return v, false
	}
	return v, true
}

func (f filter) apply(v Value) Value {
	switch f.name {
	case "default":
		if !v.Set {
			return Value{Text: f.args[0], Set: true, origin: fromDocument, Number: isInteger(f.args[0])}
		}
	case "upper":
		v.Text = strings.ToUpper(v.Text)
	case "lower":
		v.Text = strings.ToLower(v.Text)
	case "replace":
		v.Text = strings.ReplaceAll(v.Text, f.args[0], f.args[1])
	}
	return v
}
