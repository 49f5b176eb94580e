package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// units cuts the run into the slices of the step and resolves its config in each.
func (s *stepBuilder) units() {
	config := configs.Member(s.node, "config")
	path := s.path + ".config"
	units := []Unit{{Start: s.plan.Start, End: s.plan.End.AddDays(1)}}
	s.used = configs.UsedNames(s.scope, s.node, path)
	if s.byDay() {
		units = days(s.plan.Start, s.plan.End)
	} else if s.uses("date") && len(days(s.plan.Start, s.plan.End)) > 1 {
		s.problem(s.at("config"), path, "uses {date}, but %s runs once for %s to %s; use {start_date} and {end_date}", s.out.Destination.WriteMode, s.plan.Start, s.plan.End)
	}
	s.window(path)
	s.add(configs.CheckFixed(s.scope, configs.Member(config, "url"), path+".url", "host"))
	s.add(configs.CheckFixed(s.scope, configs.Member(configs.Member(s.node, "destination"), "table"), s.path+".destination.table", "table name"))
	for i := range units {
		if !s.unit(&units[i], config, path, i == 0) {
			return // the same problems would follow for every slice
		}
	}
	s.out.Units = units
	s.out.Config = units[0].Config
	s.narrowed()
	s.hash()
	for i := range units {
		units[i].ID = s.unitID(units[i])
	}
}

// byDay reports whether the step's slices are days.
func (s *stepBuilder) byDay() bool {
	if s.out.Destination.WriteMode == modeOverwrite {
		return false
	}
	if s.processor.Output().ByDay {
		return true
	}
	starts := s.uses("start_date", "start_ts", "start_time")
	ends := s.uses("end_date", "end_ts", "end_time")
	if s.uses("date") || s.uses("start_date") && !ends {
		return true
	}
	return s.processor.Kind() == configs.KindSource && starts && ends && s.windowMode() != "range"
}

func (s *stepBuilder) windowMode() string {
	if n := configs.Member(configs.Member(s.node, "config"), "window"); n != nil {
		return n.Value
	}
	return ""
}

// window takes the key out of the config: it is the planner's, not the processor's.
func (s *stepBuilder) window(path string) {
	n := configs.Member(configs.Member(s.node, "config"), "window")
	if n == nil || n.Value == "" {
		return
	}
	if n.Value != "range" && n.Value != "day" {
		s.problem(n, path+".window", "must be one of day, range")
	}
	configs.Drop(configs.Member(s.node, "config"), "window")
}

// unit resolves config and statement in one slice; false when there was a problem.
func (s *stepBuilder) unit(u *Unit, config *yaml.Node, path string, first bool) bool {
	before := s.errors()
	scope := s.scope.Slice(u.Start, u.End.AddDays(-1))
	query := s.processor.Kind() == configs.KindQuery
	resolved := s.resolve(config, path, scope)
	variables := s.expressions(resolved.Root, path, scope)
	typed, problems := s.validator.Config(s.canonical, resolved, s.processor)
	s.add(problems)
	if config, ok := typed.(expressive); ok {
		config.Bind(variables.names, variables.values)
	}
	u.Config = typed
	if first {
		s.notBuilt(config, path, typed)
	}
	if query {
		u.Statement = s.statement(configs.Member(config, "sql"), path+".sql", scope, first)
		if u.Statement != nil {
			s.out.Reads = s.tables(u.Statement)
			s.foreignOnce(first, configs.Member(config, "sql"), path+".sql", u.Statement)
			u.Limit = limitOf(u.Statement)
		}
	} else if source := configs.Member(config, "source"); source != nil {
		read := s.statement(configs.Member(source, "query"), path+".source.query", scope, first)
		own := configs.Member(configs.Member(resolved.Root, "source"), "use_org_credentials")
		if read != nil && (own == nil || own.Value != "true") { // as checked: a switch, if it is one
			s.foreignOnce(first, configs.Member(source, "query"), path+".source.query", read)
		}
	}
	return s.errors() == before
}

// resolve resolves a config but for templates and expressions, which have variables of
// their own kind.
func (s *stepBuilder) resolve(config *yaml.Node, path string, scope *configs.Scope) *configs.Resolved {
	query := s.processor.Kind() == configs.KindQuery
	resolved, problems := configs.Resolve(config, path, scope, func(p string) bool {
		return query && p == path+".sql" || p == path+".source.query" || s.isExpression(p)
	})
	s.add(problems)
	return resolved
}

// foreignOnce checks the tables of a statement for the first slice: those of the others
// are the same, because values are no names.
func (s *stepBuilder) foreignOnce(first bool, n *yaml.Node, path string, statement *configs.Statement) {
	if first {
		s.foreign(n, path, statement.Tables())
	}
}

// statement renders a SQL template for one slice; nil when it cannot. What holds for
// every slice is said for the first one.
func (s *stepBuilder) statement(sql *yaml.Node, path string, scope *configs.Scope, first bool) *configs.Statement {
	if sql == nil || sql.Kind != yaml.ScalarNode {
		return nil // the schema says what it must be
	}
	statement, _, problems := scope.SQL(sql, path)
	s.add(problems)
	if problems.Err() != nil {
		return nil
	}
	if offset, ok := statement.OutermostLimit(); ok && first {
		s.add(configs.Problems{s.canonical.SQLProblemAt(sql, path, statement, offset,
			"an outermost LIMIT cuts the result: rows beyond it are missing")})
	}
	return statement
}

// tables returns the names of the tables of the run's dataset that a statement reads.
func (s *stepBuilder) tables(statement *configs.Statement) []string {
	prefix := s.plan.Project + "." + s.plan.Dataset + "."
	var out []string
	for _, t := range statement.Tables() {
		name := strings.TrimPrefix(strings.TrimPrefix(t, prefix), s.plan.Dataset+".")
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// hash fingerprints what decides the rows of the step, apart from the slice.
func (s *stepBuilder) hash() {
	config, err := s.meaning()
	if err != nil {
		s.problem(s.at("config"), s.path+".config", "%s", err)
		return
	}
	destination, err := json.Marshal(s.out.Destination)
	if err != nil {
		s.problem(s.at("destination"), s.path+".destination", "%s", err)
		return
	}
	columns := s.out.Schema.Fields.Fingerprint()
	if s.processor.Kind() == configs.KindQuery && s.out.inferred {
		columns = "" // those of the statement, which is part of the config
	}
	interval := ""
	if s.out.Destination.WriteMode == modeOverwrite { // the slice is no part of the unit
		interval = s.plan.Start.String() + "/" + s.plan.End.String()
	}
	s.out.ConfigHash = digest(s.processor.Name(), strconv.Itoa(s.processor.Output().RowVersion), string(config), s.parameters(),
		columns, string(destination), interval)
}

// narrowed refuses a run whose parameters make a step fetch less than the slice that its
// publish would delete. What the document itself says is the whole.
func (s *stepBuilder) narrowed() {
	d := s.out.Destination
	if d.WriteMode != modeReplace || d.Path != "" || len(d.ReplaceScope) > 0 || s.sample {
		return
	}
	whole := configs.ParameterValues(s.unset.Step(s.step.StepID, configs.Member(s.node, "variables"), s.path), s.used)
	values := configs.ParameterValues(s.scope, s.used)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if given, ok := s.request.Params[name]; !ok || given == "" || whole[name] == value {
			continue
		}
		s.problem(s.at("destination"), s.path+".destination.replace_scope", "is required: the run's parameter %s=%q narrows what is fetched, but replace_partition deletes the whole slice; name the column that it narrows, such as {%s: \"{%s}\"}", name, value, name, name)
	}
}

// parameters writes the values of the variables that the step uses, apart from dates,
// times and run ids, in a canonical form.
func (s *stepBuilder) parameters() string {
	values := configs.ParameterValues(s.scope, s.used)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%q=%q\n", name, values[name])
	}
	return b.String()
}

// unitID names what is stated whole. Whatever replaces the same rows is one sequence of
// generations, so that an older statement can be fenced off: under overwrite that is the
// table, whatever the interval, and under replace_partition the slice, whatever
// parameters narrow it. The interval and the parameters are part of the hash there.
func (s *stepBuilder) unitID(u Unit) string {
	d, place := s.out.Destination, []string{s.plan.Org, s.plan.Project, s.plan.Dataset}
	switch {
	case d.WriteMode == modeOverwrite && d.Table != "":
		place = append(place, "table", d.Table)
	case d.WriteMode == modeReplace:
		place = append(place, s.plan.Pipeline, s.out.ID, u.Start.String(), u.End.String())
	default:
		place = append(place, s.plan.Pipeline, s.out.ID, u.Start.String(), u.End.String(), s.parameters())
	}
	return digest(place...)
}

const idDigits = 24

// digest returns 24 hex digits of SHA-256 over the parts, each with its length.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:idDigits]
}

// sameSlices reports whether two steps run over the same slices.
func sameSlices(a, b *Step) bool {
	return slices.EqualFunc(a.Units, b.Units, func(x, y Unit) bool {
		return x.Start == y.Start && x.End == y.End
	})
}
