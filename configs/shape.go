package configs

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// shape says what a value of a document must be. The zero shape takes anything.
type shape struct {
	kind     string // "text", "number", "list", "mapping", "keys"; "" = anything
	keys     map[string]shape
	required []string
	of       *shape   // of the members of a list or mapping
	words    []string // of a text: the only ones, in any case; nil = any
}

func listOf(s shape) shape    { return shape{kind: "list", of: &s} }
func mappingOf(s shape) shape { return shape{kind: "mapping", of: &s} }

var (
	anything = shape{}
	words    = shape{kind: "text"}
	number0  = shape{kind: "number"}

	partitioningShape = shape{kind: "keys", required: []string{"field"}, keys: map[string]shape{
		"type": {kind: "text", words: []string{"DAY", "HOUR", "MONTH", "YEAR"}}, "field": words, "expiration_days": number0,
	}}

	columnTypes = []string{"BOOL", "INT64", "FLOAT64", "NUMERIC", "STRING", "BYTES", "DATE", "TIMESTAMP", "JSON", "BOOLEAN", "INTEGER", "FLOAT", "DECIMAL"}

	schemaShape = shape{kind: "keys", required: []string{"fields"}, keys: map[string]shape{
		"description": words, "aliases": listOf(words), "time_partitioning": partitioningShape, "clustering_fields": listOf(words),
		"fields": listOf(shape{kind: "keys", required: []string{"name", "type"}, keys: map[string]shape{
			"name": words, "type": {kind: "text", words: columnTypes}, "mode": {kind: "text", words: []string{"NULLABLE", "REQUIRED", "REPEATED"}},
			"description": words,
		}}),
	}}

	datasetTypesShape = shape{kind: "keys", required: []string{"dataset_types"}, keys: map[string]shape{
		"dataset_types": listOf(shape{kind: "keys", required: []string{"name"}, keys: map[string]shape{
			"name": words, "description": words, "layer": words, "retention_days": anything, "labels": mappingOf(words),
			"table_defaults": anything,
			"supported_tables": mappingOf(shape{kind: "keys", keys: map[string]shape{
				"partition_field": words, "cluster_fields": listOf(words),
			}}),
		}}),
	}}

	providersShape = shape{kind: "keys", required: []string{"providers"}, keys: map[string]shape{
		"providers": mappingOf(shape{kind: "keys", required: []string{"type", "credential_type"}, keys: providerKeys()}),
		"aliases":   mappingOf(words), "provider_groups": mappingOf(listOf(words)), "defaults": mappingOf(anything),
	}}

	catalogueShape = shape{kind: "keys", required: []string{"pipelines"}, keys: map[string]shape{
		"pipelines": listOf(shape{kind: "keys", required: []string{"id", "provider", "pipeline"}, keys: map[string]shape{
			"id": words, "name": words, "description": words, "provider": words, "domain": words, "pipeline": words,
			"required_integration": words, "schedule": anything, "enabled": anything, "default_timeout_seconds": number0,
		}}),
	}}

	notificationShape = shape{kind: "keys", keys: map[string]shape{
		"template_id": words, "name": words, "description": words, "version": words, "category": words, "ps_type": words, "tags": listOf(words),
		"triggers":   listOf(shape{kind: "text", words: []string{"on_failure", "on_success", "on_completion", "always"}}),
		"parameters": anything, "required": anything, "optional": anything, "required_params": anything, "optional_params": anything,
		"subject": words, "subject_template": words, "body": words, "body_template": words, "text_template": words, "html_template": words,
		"examples": anything, "metadata": anything, "defaults": anything, "cooldown_seconds": number0, "retry_config": anything,
	}}
)

// providerKeys are the keys of a provider: those that the engine reads, and those that
// documents of the predecessor may hold beside them.
func providerKeys() map[string]shape {
	out := map[string]shape{}
	for _, name := range jsonNames(Provider{}) {
		out[name] = anything
	}
	for _, name := range idleProviderKeys {
		out[name] = anything
	}
	for _, name := range []string{"type", "display_name", "credential_type", "context_key", "alias_for", "origin", "origin_env", "api_base_url", "validation_endpoint", "auth_header", "auth_prefix", "expected_type"} {
		out[name] = words
	}
	out["type"] = shape{kind: "text", words: []string{"llm", "cloud", "generic"}}
	out["extra_headers"], out["data_tables"] = mappingOf(words), mappingOf(words)
	out["required_fields"], out["rate_limit_per_minute"] = listOf(words), number0
	return out
}

type shapeCheck struct {
	file     string
	problems Problems
}

func (c *shapeCheck) add(n *yaml.Node, path, message string) {
	c.problems = append(c.problems, Problem{File: c.file, Line: n.Line, Col: n.Column, Path: path, Message: message})
}

func (c *shapeCheck) check(n *yaml.Node, s shape, path string) {
	if isNull(n) {
		return
	}
	switch s.kind {
	case "keys", "mapping":
		if n.Kind != yaml.MappingNode {
			c.add(n, path, "must be a mapping")
			return
		}
		c.members(n, s, path)
	case "list":
		if n.Kind != yaml.SequenceNode {
			c.add(n, path, "must be a list")
			return
		}
		for i, child := range n.Content {
			c.check(child, *s.of, at(path, i))
		}
	case "text", "number":
		c.scalar(n, s, path)
	}
}

func (c *shapeCheck) members(n *yaml.Node, s shape, path string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if s.kind == "mapping" {
			c.check(value, *s.of, join(path, key.Value))
			continue
		}
		of, known := s.keys[key.Value]
		if !known {
			c.add(key, join(path, key.Value), "unknown key")
			c.problems[len(c.problems)-1].Suggestion = nearest(key.Value, slices.Sorted(maps.Keys(s.keys)))
			continue
		}
		c.check(value, of, join(path, key.Value))
	}
	for _, key := range s.required {
		if get(n, key) == nil {
			c.add(n, join(path, key), "is required")
		}
	}
}

func (c *shapeCheck) scalar(n *yaml.Node, s shape, path string) {
	tag := n.ShortTag()
	switch {
	case n.Kind != yaml.ScalarNode:
		c.add(n, path, map[string]string{"text": "must be text", "number": "must be a number"}[s.kind])
	case s.kind == "number" && tag != "!!int" && tag != "!!float":
		c.add(n, path, fmt.Sprintf("must be a number, not %q", n.Value))
	case s.words != nil && !slices.ContainsFunc(s.words, func(w string) bool { return strings.EqualFold(w, n.Value) }):
		c.add(n, path, fmt.Sprintf("must be one of %s, not %q", strings.Join(s.words, ", "), n.Value))
		c.problems[len(c.problems)-1].Suggestion = nearest(n.Value, s.words)
	}
}

// jsonNames returns the keys that encoding/json reads into a struct.
func jsonNames(v any) []string {
	var out []string
	for f := range reflect.TypeOf(v).Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return out
}
