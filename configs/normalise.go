package configs

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Canonical is a document in canonical spelling. Values still hold their variables, and
// every node stands where its author wrote it.
type Canonical struct {
	File File
	Root *yaml.Node

	lines []string
}

// Normalise rewrites every accepted spelling of a document to the canonical one. It
// judges neither values nor unknown keys.
func Normalise(t *Tree) (*Canonical, Problems) {
	n := normaliser{file: t.File.Name}
	root := clone(t.Root)
	dropNulls(root)
	n.text(root, "schedule", "cron")
	if steps := get(root, "steps"); steps != nil && steps.Kind == yaml.SequenceNode {
		for i, step := range steps.Content {
			if step.Kind == yaml.MappingNode {
				n.step(step, at("steps", i))
			}
		}
		n.chain(steps)
	}
	return &Canonical{File: t.File, Root: root, lines: t.lines}, n.problems
}

type normaliser struct {
	file     string
	problems Problems
}

func (n *normaliser) problem(at *yaml.Node, path, format string, args ...any) {
	n.problems = append(n.problems, Problem{File: n.file, Line: at.Line, Col: at.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// rename gives a key its canonical name; two spellings of one key are a problem.
func (n *normaliser) rename(m *yaml.Node, path, canonical string, spellings ...string) {
	for _, s := range spellings {
		key, _ := entry(m, s)
		if key == nil {
			continue
		}
		if other, _ := entry(m, canonical); other != nil {
			n.problem(key, join(path, s), "says the same as %s on line %d; keep one of them", other.Value, other.Line)
			remove(m, s)
			continue
		}
		key.Value = canonical
	}
}

// move takes a key out of one mapping and puts it into another under its new name.
func (n *normaliser) move(from *yaml.Node, key string, to *yaml.Node, name, path string) {
	k, v := entry(from, key)
	if k == nil {
		return
	}
	remove(from, key)
	if other, _ := entry(to, name); other != nil {
		n.problem(k, join(path, key), "says the same as %s on line %d; keep one of them", name, other.Line)
		return
	}
	k.Value = name
	put(to, k, v)
}

// text turns the text form of a key into its mapping form with one key.
func (n *normaliser) text(m *yaml.Node, key, inner string) {
	v := get(m, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return
	}
	content := *v
	*v = *mappingAt(v)
	put(v, scalarAt(&content, inner), &content)
}

// list turns the text form of a key into a list of one.
func (n *normaliser) list(m *yaml.Node, key string) {
	v := get(m, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return
	}
	content := *v
	*v = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: v.Line, Column: v.Column, Content: []*yaml.Node{&content}}
}

func (n *normaliser) step(s *yaml.Node, path string) {
	dropNulls(s)
	n.rename(s, path, "ps_type", "processor", "type")
	n.stepID(s, path)
	if kind := get(s, "ps_type"); kind != nil && kind.Kind == yaml.ScalarNode {
		if full, ok := kindAliases[kind.Value]; ok {
			kind.Value = full
		}
	}
	n.list(s, "depends_on")
	n.list(s, "inputs")
	config := get(s, "config")
	if config == nil {
		config = mappingAt(s)
		put(s, scalarAt(s, "config"), config)
	}
	if config.Kind != yaml.MappingNode {
		return // the schema says what it must be
	}
	dropNulls(config)
	n.ownKeys(s, config, path)
	n.sql(s, config, path)
	n.templateVariables(s, config)
	n.rename(config, join(path, "config"), "pricing_table", "pricing_source")
	n.source(s, config, path)
	n.destination(s, config, path)
}

// stepID accepts step_id, step, id and, when none of them is there, name.
func (n *normaliser) stepID(s *yaml.Node, path string) {
	n.rename(s, path, "step_id", "step", "id")
	if get(s, "step_id") == nil {
		n.rename(s, path, "step_id", "name")
	}
}

// sql gathers the spellings of a SQL template in config.sql.
func (n *normaliser) sql(s, config *yaml.Node, path string) {
	n.rename(config, join(path, "config"), "sql", "sql_template")
	for _, from := range []*yaml.Node{s, config} {
		_, t := entry(from, "transformation")
		if t == nil || t.Kind != yaml.MappingNode {
			continue
		}
		if kind := get(t, "type"); kind != nil && kind.Value != "sql_template" && kind.Value != "sql" {
			n.problem(kind, join(path, "transformation.type"), "must be sql_template, not %q", kind.Value)
		}
		remove(t, "type")
		n.rename(t, join(path, "transformation"), "sql", "sql_template", "query")
		n.move(t, "sql", config, "sql", join(path, "transformation"))
		for i := 0; i < len(t.Content); i += 2 {
			n.unknown(t.Content[i], join(path, "transformation"), []string{"sql", "type"})
		}
		remove(from, "transformation")
	}
}

// templateConfig are the keys of a SQL step's config that are no variables of its template.
var templateConfig = []string{"sql", "destination", "destination_table", "source_table", "window"}

// templateVariables makes variables of the step of those keys of a SQL step's config that
// its template names: a config was once what a template could name.
func (n *normaliser) templateVariables(s, config *yaml.Node) {
	if textOf(get(s, "ps_type")) != "generic.local_bq_transformer" {
		return
	}
	named := map[string]bool{}
	for _, p := range split(textOf(get(config, "sql"))) {
		if p.ref != nil {
			named[p.ref.name] = true
		}
	}
	for _, pair := range slices.Collect(slices.Chunk(slices.Clone(config.Content), 2)) {
		key, value := pair[0], pair[1]
		self := isBuiltinOnly(key.Value) && value.Kind == yaml.ScalarNode && isSelfNamed(key.Value, value)
		if slices.Contains(templateConfig, key.Value) || value.Kind != yaml.ScalarNode || !named[key.Value] && !self {
			continue
		}
		variables := get(s, "variables")
		if variables == nil {
			variables = mappingAt(key)
			put(s, scalarAt(key, "variables"), variables)
		}
		if variables.Kind != yaml.MappingNode || get(variables, key.Value) != nil {
			continue
		}
		remove(config, key.Value)
		if !self { // one that names itself adds nothing
			put(variables, key, value)
		}
	}
}

func (n *normaliser) unknown(key *yaml.Node, path string, known []string) {
	n.problem(key, join(path, key.Value), "unknown key")
	n.problems[len(n.problems)-1].Suggestion = nearest(key.Value, known)
}

// source moves a source that is only a table to config.source_table.
func (n *normaliser) source(s, config *yaml.Node, path string) {
	src := get(s, "source")
	if src == nil || src.Kind != yaml.MappingNode {
		return
	}
	dropNulls(src)
	if get(src, "query") != nil || get(src, "table") == nil || get(src, "dataset") != nil {
		return
	}
	n.move(src, "table", config, "source_table", join(path, "source"))
	remove(src, "dataset_type")
	if len(src.Content) == 0 {
		remove(s, "source")
	}
}

// destination gathers the spellings of a destination in the step's destination.
func (n *normaliser) destination(s, config *yaml.Node, path string) {
	inner := join(path, "config")
	n.move(config, "destination", s, "destination", inner)
	n.text(s, "destination", "table")
	d := get(s, "destination")
	if d == nil {
		if get(config, "destination_table") == nil {
			return
		}
		key, _ := entry(config, "destination_table")
		d = mappingAt(key)
		put(s, scalarAt(key, "destination"), d)
	}
	if d.Kind != yaml.MappingNode {
		return
	}
	dropNulls(d)
	path = join(path, "destination")
	n.move(config, "destination_table", d, "table", inner)
	n.rename(d, path, "write_mode", "mode")
	n.rename(d, path, "table", "destination_table")
	if mode := get(d, "write_mode"); mode != nil && mode.Kind == yaml.ScalarNode {
		if full, ok := modeAliases[strings.ToLower(mode.Value)]; ok {
			mode.Value = full
		}
	}
	if t := get(d, "table_config"); t != nil && t.Kind == yaml.MappingNode {
		n.move(t, "time_partitioning", d, "time_partitioning", join(path, "table_config"))
		n.move(t, "clustering_fields", d, "clustering_fields", join(path, "table_config"))
		for i := 0; i < len(t.Content); i += 2 {
			n.unknown(t.Content[i], join(path, "table_config"), []string{"time_partitioning", "clustering_fields"})
		}
		remove(d, "table_config")
	}
	if field := get(d, "partition_field"); field != nil {
		n.move(d, "partition_field", d, "time_partitioning", path)
		n.text(d, "time_partitioning", "field")
	}
	if kind := get(get(d, "time_partitioning"), "type"); kind != nil && isText(kind) {
		kind.Value = strings.ToUpper(kind.Value)
	}
	n.list(d, "key_fields")
	n.list(d, "clustering_fields")
}

// chain makes a step that does not say depend on the step before it. Notifications are
// no part of the chain: what depends on one depends on what that one depended on.
func (n *normaliser) chain(steps *yaml.Node) {
	hooks := map[string][]*yaml.Node{}
	for _, s := range steps.Content {
		if id := textOf(get(s, "step_id")); id != "" && isNotification(get(s, "ps_type")) {
			hooks[id] = nil
			if deps := get(s, "depends_on"); deps != nil && deps.Kind == yaml.SequenceNode {
				hooks[id] = deps.Content
			}
		}
	}
	var before *yaml.Node
	for _, s := range steps.Content {
		if s.Kind != yaml.MappingNode {
			continue
		}
		if deps := get(s, "depends_on"); deps != nil && deps.Kind == yaml.SequenceNode {
			deps.Content = withoutHooks(deps.Content, hooks, len(hooks))
		}
		if isNotification(get(s, "ps_type")) {
			continue
		}
		id := get(s, "step_id")
		if before != nil && get(s, "depends_on") == nil {
			dep := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: s.Line, Column: s.Column}
			dep.Content = []*yaml.Node{scalarAt(s, before.Value)}
			put(s, scalarAt(s, "depends_on"), dep)
		}
		if id != nil && id.Kind == yaml.ScalarNode {
			before = id
		}
	}
}

// withoutHooks replaces names of notifications by what those depended on, through at most
// so many of them.
func withoutHooks(names []*yaml.Node, hooks map[string][]*yaml.Node, depth int) []*yaml.Node {
	out := make([]*yaml.Node, 0, len(names))
	for _, name := range names {
		deps, hook := hooks[textOf(name)]
		if !hook {
			out = append(out, name)
			continue
		}
		if depth <= 0 {
			continue
		}
		for _, dep := range withoutHooks(deps, hooks, depth-1) {
			if !slices.ContainsFunc(slices.Concat(out, names), func(o *yaml.Node) bool { return textOf(o) == textOf(dep) }) {
				out = append(out, scalarAt(name, dep.Value))
			}
		}
	}
	return out
}

// ownKeys are keys of a step that belong to the config of some kinds of steps.
var ownKeys = map[string][]string{
	"gcp.bq_etl":                        {"source"},
	"gcp.data_quality":                  {"dq_config", "target_table", "fail_on_error"},
	"notify_systems.email_notification": {"trigger", "to_emails", "subject", "message"},
	"notify_systems.slack_notification": {"trigger", "message"},
}

func (n *normaliser) ownKeys(s, config *yaml.Node, path string) {
	kind := textOf(get(s, "ps_type"))
	for _, key := range ownKeys[kind] {
		n.move(s, key, config, key, path)
	}
	if expectations := get(config, "expectations"); kind == "gcp.data_quality" && expectations != nil && expectations.Kind == yaml.SequenceNode {
		for i, e := range expectations.Content {
			if e.Kind == yaml.MappingNode {
				n.rename(e, at(join(path, "config.expectations"), i), "type", "expectation_type")
			}
		}
	}
	if isNotification(get(s, "ps_type")) {
		for _, key := range []string{"to_emails", "cc_emails", "bcc_emails", "mention_users", "mention_channels"} {
			n.list(config, key)
		}
	}
	dropNulls(get(config, "source"))
}

func isNotification(kind *yaml.Node) bool {
	return kind != nil && strings.HasPrefix(kind.Value, "notify_systems.")
}

// dropNulls treats a key without a value as absent.
func dropNulls(m *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return
	}
	kept := m.Content[:0]
	for i := 0; i+1 < len(m.Content); i += 2 {
		if !isNull(m.Content[i+1]) {
			kept = append(kept, m.Content[i], m.Content[i+1])
		}
	}
	m.Content = kept
}
