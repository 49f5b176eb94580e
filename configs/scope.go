package configs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"gopkg.in/yaml.v3"
)

// Environment is what the run gives to variables.
type Environment struct {
	Org, Env, Project, Dataset string
	Provider, Domain, Template string
	RunID                      string
	AdminEmail                 string            // "" when unknown
	ProjectID                  string            // of the integration; "" when unknown
	Params                     map[string]string // run parameters without dates
	Start, End                 civil.Date        // inclusive
	Now                        time.Time
	Sample                     bool // names are checked, values may be missing
}

// SampleEnvironment stands in for a run while a document is validated without one.
func SampleEnvironment() Environment {
	now := time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)
	day := civil.DateOf(now).AddDays(-1)
	return Environment{
		Org: "sample_org", Env: "development", Project: "sample-project", Dataset: "sample_org_development",
		Provider: "openai", Domain: "cost", Template: "sample", RunID: "00000000-0000-0000-0000-000000000000",
		AdminEmail: "admin@example.com", ProjectID: "sample-project", Start: day, End: day, Now: now, Sample: true,
	}
}

// Origins of values.
type origin uint8

const (
	fromEngine   origin = iota // built in
	fromDocument               // declared with a value
	fromOrg                    // declared with a value by a document of an org
	fromRun                    // set by a run parameter
)

// setBy says who chose a value that may not name a table, dataset, project or host; ""
// when it may.
func (o origin) setBy() string {
	switch o {
	case fromOrg:
		return "a document of an organization"
	case fromRun:
		return "a run parameter"
	default:
		return ""
	}
}

// Value is what a variable resolved to.
type Value struct {
	Text   string
	Number bool // an integer, so that SQL may use it bare
	Set    bool
	origin origin
	broken bool // cannot be known, which has been reported
}

// Scope is the set of names that a text may use. Scopes are immutable.
type Scope struct {
	doc    *Canonical
	env    Environment
	stepID string
	layers []layer // outermost first
}

type layer struct {
	values *yaml.Node
	path   string
	fixed  bool // run parameters do not reach it
}

// NewScope returns the scope of a document's pipeline level.
func NewScope(doc *Canonical, env Environment) *Scope {
	s := &Scope{doc: doc, env: env}
	for _, key := range []string{"variables", "parameters"} {
		if m := get(doc.Root, key); m != nil && m.Kind == yaml.MappingNode {
			s.layers = append(s.layers, layer{values: m, path: key})
		}
	}
	return s
}

// Step returns the scope of a step with its own variables, which may be nil.
func (s *Scope) Step(id string, variables *yaml.Node, path string) *Scope {
	out := *s
	out.stepID = id
	if variables != nil && variables.Kind == yaml.MappingNode {
		out.layers = append(slices.Clone(s.layers), layer{values: variables, path: join(path, "variables"), fixed: true})
	}
	return &out
}

// Timeless returns the scope as every run and slice see it: days, times and run ids are
// the same ones whenever it is asked.
func (s *Scope) Timeless() *Scope {
	out := *s
	out.env.Start, out.env.End = civil.Date{Year: 1, Month: 1, Day: 1}, civil.Date{Year: 1, Month: 1, Day: 2}
	out.env.Now, out.env.RunID = time.Time{}, "run"
	out.env.Params = maps.Clone(s.env.Params)
	delete(out.env.Params, forceRefresh)
	return &out
}

// Slice returns the scope with another range of days, both inclusive.
func (s *Scope) Slice(start, end civil.Date) *Scope {
	out := *s
	out.env.Start, out.env.End = start, end
	return &out
}

// reserved names cannot be redefined by a document, dateNames only as defaults of a run.
var (
	reserved = []string{
		"org_slug", "project", "dataset", "env", "pipeline_logging_id", "run_id", "step_id",
		"start_ts", "end_ts", "start_date_unix", "end_date_unix", "start_time", "end_time", "now",
	}
	dateNames = []string{"date", "start_date", "end_date"}
	// redefinable built-ins are fallbacks for names that a document may declare itself.
	redefinable = []string{"provider", "domain", "template_name", "pipeline_id", "admin_email", "project_id", "gcp_project_id"}
	// sliceNames differ from slice to slice or run to run and are no part of a unit's identity.
	sliceNames = []string{"date", "start_date", "end_date", "start_ts", "end_ts", "start_date_unix", "end_date_unix", "start_time", "end_time", "now", "run_id", "pipeline_logging_id", forceRefresh}
)

// forceRefresh is a parameter that every run may set.
const forceRefresh = "force_refresh"

// isBuiltinOnly reports whether no document can give a name another meaning.
func isBuiltinOnly(name string) bool {
	return slices.Contains(reserved, name) || slices.Contains(dateNames, name)
}

// BuiltinNames returns the names that every document may use without declaring them.
func BuiltinNames() []string { return builtinNames() }

func builtinNames() []string { return slices.Concat(reserved, dateNames, redefinable) }

// Names returns every name that the scope knows, sorted.
func (s *Scope) Names() []string {
	names := map[string]bool{}
	for _, n := range builtinNames() {
		names[n] = true
	}
	for _, l := range s.layers {
		for i := 0; i < len(l.values.Content); i += 2 {
			names[l.values.Content[i].Value] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// builtin returns the value of a built-in name.
func (s *Scope) builtin(name string) (Value, bool) {
	e := s.env
	text := func(v string) (Value, bool) { return Value{Text: v, Set: v != ""}, true }
	dayStart, dayEnd := e.Start.In(time.UTC), e.End.AddDays(1).In(time.UTC)
	number := func(n int64) (Value, bool) {
		return Value{Text: strconv.FormatInt(n, 10), Number: true, Set: true}, true
	}
	switch name {
	case "org_slug":
		return text(e.Org)
	case "project":
		return text(e.Project)
	case "dataset":
		return text(e.Dataset)
	case "env":
		return text(e.Env)
	case "provider":
		return text(e.Provider)
	case "domain":
		return Value{Text: e.Domain, Set: true}, true
	case "template_name":
		return text(e.Template)
	case "pipeline_id":
		return text(strings.ReplaceAll(strings.Trim(e.Org+"-"+ID(e.Provider, e.Domain, e.Template), "-"), "/", "-"))
	case "pipeline_logging_id", "run_id":
		return text(e.RunID)
	case "step_id":
		return text(s.stepID)
	case "start_ts", "start_date_unix":
		return number(dayStart.Unix())
	case "end_ts", "end_date_unix":
		return number(dayEnd.Unix())
	case "start_time":
		return text(dayStart.Format(time.RFC3339))
	case "end_time":
		return text(dayEnd.Format(time.RFC3339))
	case "now":
		return text(e.Now.UTC().Format(time.RFC3339Nano))
	case "date", "start_date":
		return text(e.Start.String())
	case "end_date":
		return text(e.End.String())
	case "admin_email":
		return text(e.AdminEmail)
	case "project_id", "gcp_project_id":
		return text(e.ProjectID)
	}
	return Value{}, false
}

// lookup resolves a name among the layers below top. used collects every name on the
// way; active are the names being resolved, to find circles.
func (x *expander) lookup(name string, top int) (Value, bool) {
	x.used[name] = true
	s := x.scope
	if isBuiltinOnly(name) {
		return s.builtin(name)
	}
	for i := top - 1; i >= 0; i-- {
		l := s.layers[i]
		node := get(l.values, name)
		if node == nil {
			continue
		}
		if v, ok := s.env.Params[name]; ok && !l.fixed {
			return Value{Text: v, Set: true, origin: fromRun, Number: isInteger(v)}, true
		}
		return x.declared(name, node, i), true
	}
	return s.builtin(name)
}

// declaredAbove reports whether a layer nearer to the text than the one at a place
// declares a name.
func (s *Scope) declaredAbove(name string, at int) bool {
	for _, l := range s.layers[at+1:] {
		if get(l.values, name) != nil {
			return true
		}
	}
	return false
}

// declared resolves the text of a declared variable; its own name in it means the outer one.
func (x *expander) declared(name string, node *yaml.Node, at int) Value {
	v := Value{origin: fromDocument}
	if x.scope.doc.File.Org != "" {
		v.origin = fromOrg
	}
	if node.Kind != yaml.ScalarNode || isNull(node) {
		return v
	}
	path := join(x.scope.layers[at].path, name)
	if !isText(node) {
		v.Text, v.Set, v.Number = fmt.Sprint(scalarValue(node)), true, node.ShortTag() == "!!int"
		return v
	}
	key := fmt.Sprintf("%s#%d", name, at)
	if slices.Contains(x.active, key) {
		x.circle(key)
		v.broken = true
		return v
	}
	inner := *x
	inner.active = append(slices.Clone(x.active), key)
	inner.self, inner.selfTop, inner.tainted = name, at, fromEngine
	inner.failed = false
	text, missing := inner.expand(node, path)
	x.problems = inner.problems
	v.Text, v.Set, v.Number = text, !missing, isInteger(text)
	if v.broken = inner.failed; v.broken {
		return v
	}
	v.origin = max(v.origin, inner.tainted)
	if pieces := split(node.Value); len(pieces) == 1 && pieces[0].ref != nil && len(pieces[0].ref.filters) == 0 {
		outer, known := inner.find(pieces[0].ref.name)
		x.problems = inner.problems
		if known {
			outer.Text, outer.Set = text, !missing
			return outer
		}
	}
	return v
}

// circle reports variables that define each other, at the first of them in the document,
// however the circle was entered.
func (x *expander) circle(key string) {
	type member struct {
		name string
		node *yaml.Node
		path string
	}
	var members []member
	for _, k := range x.active[slices.Index(x.active, key):] {
		name, at, _ := strings.Cut(k, "#")
		i, err := strconv.Atoi(at)
		if err != nil {
			continue
		}
		l := x.scope.layers[i]
		members = append(members, member{name, get(l.values, name), join(l.path, name)})
	}
	first := 0
	for i, m := range members {
		if cmp.Or(cmp.Compare(m.node.Line, members[first].node.Line), cmp.Compare(m.node.Column, members[first].node.Column)) < 0 {
			first = i
		}
	}
	members = slices.Concat(members[first:], members[:first+1])
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	x.problem(members[0].node, 0, members[0].path, "variables define each other in a circle: "+strings.Join(names, " -> "))
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}
