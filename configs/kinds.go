package configs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Kind is what a document of a configs folder is.
type Kind string

// The kinds of documents.
const (
	KindPipeline     Kind = "pipeline"
	KindProviders    Kind = "providers"
	KindDatasetTypes Kind = "dataset types"
	KindNotification Kind = "notification template"
	KindSchema       Kind = "schema of a table"
	KindCentral      Kind = "central table"
	KindPrices       Kind = "price table"
	KindJSONSchema   Kind = "JSON Schema"
	KindSettings     Kind = "notification settings"
	KindCatalogue    Kind = "list of pipelines"
	KindUnknown      Kind = ""
)

// marks are the keys by which a document is recognised, the surest first.
var marks = []struct {
	key  string
	kind Kind
}{
	{"steps", KindPipeline},
	{"pipeline_id", KindPipeline},
	{"format", KindPrices},
	{"providers", KindProviders},
	{"dataset_types", KindDatasetTypes},
	{"template_id", KindNotification},
	{"triggers", KindNotification},
	{"subject_template", KindNotification},
	{"body_template", KindNotification},
	{"$schema", KindJSONSchema},
	{"event_triggers", KindSettings},
	{"default_provider", KindSettings},
	{"pipelines", KindCatalogue},
	{"fields", KindSchema},
	{"schema", KindSchema},
	{"schemas", KindSchema},
}

// Recognise says what a document is: by its keys, which say more than its name. A document
// that cannot be read has no kind, and problems that say why.
func Recognise(f File) (Kind, *Tree, Problems) {
	tree, problems := Parse(f)
	if tree == nil {
		return KindUnknown, nil, problems
	}
	folder := path.Dir(strings.ReplaceAll(f.Name, "\\", "/"))
	for _, m := range marks {
		if get(tree.Root, m.key) == nil {
			continue
		}
		if m.kind == KindSchema && path.Base(folder) == centralFolder {
			return KindCentral, tree, nil
		}
		return m.kind, tree, nil
	}
	if path.Base(strings.ReplaceAll(f.Name, "\\", "/")) == "notifications.json" {
		return KindSettings, tree, nil
	}
	if slices.Contains(strings.Split(folder, "/"), "notify_systems") {
		return KindNotification, tree, nil
	}
	return KindUnknown, tree, Problems{{File: f.Name, Line: tree.Root.Line, Col: tree.Root.Column, Message: unknownKind(tree)}}
}

// unknownKind says what a document would need to be recognised.
func unknownKind(t *Tree) string {
	var keys []string
	for i := 0; i < len(t.Root.Content) && i < 10; i += 2 {
		keys = append(keys, t.Root.Content[i].Value)
	}
	text := "no kind of document has these keys"
	if len(keys) > 0 {
		text += " (" + strings.Join(keys, ", ") + ")"
	}
	return text + ": a pipeline has steps, providers.yml has providers, dataset_types.yml has dataset_types, " +
		"a schema or central table has fields, a notification template has subject_template or body_template, a price table has format"
}

// CheckDocument validates a document that is neither a pipeline nor a price table nor
// notification settings, whose rules are elsewhere.
func CheckDocument(kind Kind, t *Tree) Problems {
	c := shapeCheck{file: t.File.Name}
	switch kind {
	case KindProviders:
		c.check(t.Root, providersShape, "")
		c.providers(t.Root)
	case KindDatasetTypes:
		c.check(t.Root, datasetTypesShape, "")
	case KindCatalogue:
		c.check(t.Root, catalogueShape, "")
	case KindNotification:
		c.check(t.Root, notificationShape, "")
	case KindSchema:
		if get(t.Root, "fields") == nil {
			if _, err := parseTableSchemas("", t.File.Text); err != nil {
				c.add(t.Root, "", strings.TrimPrefix(err.Error(), "read schema : "))
			}
			return c.problems
		}
		c.check(t.Root, schemaShape, "")
		c.table(t.Root)
	case KindCentral:
		c.check(t.Root, schemaShape, "")
		c.table(t.Root)
	}
	return c.problems.Sorted()
}

// providers checks what ties providers together.
func (c *shapeCheck) providers(root *yaml.Node) {
	declared := get(root, "providers")
	var names []string
	for i := 0; declared != nil && i+1 < len(declared.Content); i += 2 {
		names = append(names, declared.Content[i].Value)
	}
	refers := func(n *yaml.Node, path string) {
		if n != nil && n.Kind == yaml.ScalarNode && !slices.Contains(names, n.Value) {
			c.add(n, path, fmt.Sprintf("%q is no provider of this file", n.Value))
			c.problems[len(c.problems)-1].Suggestion = nearest(n.Value, names)
		}
	}
	aliases := get(root, "aliases")
	for i := 0; aliases != nil && aliases.Kind == yaml.MappingNode && i+1 < len(aliases.Content); i += 2 {
		refers(aliases.Content[i+1], join("aliases", aliases.Content[i].Value))
	}
	for _, name := range names {
		refers(get(get(declared, name), "alias_for"), "providers."+name+".alias_for")
	}
}

// table checks what ties the columns of a table together.
func (c *shapeCheck) table(root *yaml.Node) {
	fields := get(root, "fields")
	if fields == nil || fields.Kind != yaml.SequenceNode {
		return
	}
	if len(fields.Content) == 0 {
		c.add(fields, "fields", "declares no column")
	}
	columns := map[string]string{} // type by name
	seen := map[string]int{}
	for i, f := range fields.Content {
		n := get(f, "name")
		if n == nil {
			continue
		}
		if line, dup := seen[strings.ToLower(n.Value)]; dup {
			c.add(n, join(at("fields", i), "name"), fmt.Sprintf("column %q is declared on line %d", n.Value, line))
		}
		seen[strings.ToLower(n.Value)] = n.Line
		columns[n.Value] = strings.ToUpper(textOf(get(f, "type")))
	}
	known := func(n *yaml.Node, path string, types ...string) {
		if n == nil || n.Kind != yaml.ScalarNode {
			return
		}
		t, ok := columns[n.Value]
		if !ok {
			c.add(n, path, fmt.Sprintf("%q is no column", n.Value))
		} else if len(types) > 0 && !slices.Contains(types, t) {
			c.add(n, path, fmt.Sprintf("column %q is %s; only %s can partition", n.Value, t, strings.Join(types, " and ")))
		}
	}
	known(get(get(root, "time_partitioning"), "field"), "time_partitioning.field", "DATE", "TIMESTAMP")
	clustering := get(root, "clustering_fields")
	for i := 0; clustering != nil && i < len(clustering.Content); i++ {
		known(clustering.Content[i], at("clustering_fields", i))
	}
	if clustering != nil && len(clustering.Content) > 4 {
		c.add(clustering, "clustering_fields", "names more than four columns")
	}
}
