package configs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// EditorSchema returns the JSON Schema of a document as people may write it: every
// spelling of every key, and the config of every processor, planned ones too. It is for
// editors; a document that it accepts may still be refused.
func EditorSchema(all Processors) ([]byte, error) {
	var root map[string]any
	if err := json.Unmarshal(languageSchema, &root); err != nil {
		return nil, fmt.Errorf("read the schema of the language: %w", err)
	}
	root["title"] = "Convergence pipeline"
	defs := mapOf(root["$defs"])
	spellings(root, defs)
	step := mapOf(defs["step"])
	configsByKind := []any{}
	for _, name := range slices.Concat(all.Names(), all.PlannedNames()) {
		p, ok := all.Lookup(name)
		if !ok {
			continue
		}
		var config map[string]any
		if err := json.Unmarshal(p.ConfigSchema(), &config); err != nil {
			return nil, fmt.Errorf("read the schema of %s: %w", name, err)
		}
		delete(config, "$schema")
		delete(config, "required")
		keys := mapOf(config["properties"])
		for _, key := range movedKeys {
			keys[key] = map[string]any{"description": "Read as a key of the step"}
		}
		config["properties"] = keys
		loosen(config)
		defs["config of "+name] = config
		for _, key := range []string{"ps_type", "processor", "type"} {
			configsByKind = append(configsByKind, map[string]any{
				"if":   map[string]any{"required": []any{key}, "properties": map[string]any{key: map[string]any{"enum": kindSpellings(name)}}},
				"then": map[string]any{"properties": map[string]any{"config": map[string]any{"$ref": "#/$defs/config of " + name}}},
			})
		}
	}
	step["allOf"] = configsByKind
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema of the language: %w", err)
	}
	return append(text, '\n'), nil
}

func mapOf(v any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	return m
}

func kindSpellings(name string) []any {
	out := []any{name}
	for alias, full := range kindAliases {
		if full == name {
			out = append(out, alias)
		}
	}
	slices.SortFunc(out[1:], func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out
}

// stepSpellings are further keys of a step and what they spell.
var stepSpellings = map[string]string{"step": "step_id", "id": "step_id", "processor": "ps_type", "type": "ps_type"}

// movedKeys may stand in a config, from where the normaliser moves them.
var movedKeys = []string{"destination", "destination_table", "sql_template", "transformation", "pricing_source", "window"}

// spellings adds what the canonical schema leaves to the normaliser.
func spellings(root, defs map[string]any) {
	orText := func(properties map[string]any, keys ...string) {
		for _, key := range keys {
			properties[key] = map[string]any{"anyOf": []any{map[string]any{"type": "string"}, properties[key]}}
		}
	}
	orText(mapOf(root["properties"]), "schedule")
	step := mapOf(defs["step"])
	keys := mapOf(step["properties"])
	for spelling, key := range stepSpellings {
		keys[spelling] = keys[key]
	}
	keys["transformation"] = map[string]any{"type": "object", "description": "Other place of config.sql"}
	orText(keys, "depends_on", "inputs", "destination", "enabled")
	delete(step, "required")
	destination := mapOf(mapOf(defs["destination"])["properties"])
	destination["mode"] = destination["write_mode"]
	delete(mapOf(destination["mode"]), "enum")
	destination["partition_field"] = map[string]any{"type": "string", "description": "Other spelling of time_partitioning.field"}
	destination["table_config"] = map[string]any{"type": "object", "description": "Holds time_partitioning and clustering_fields"}
	orText(destination, "key_fields", "clustering_fields")
	loosen(root)
	for _, def := range defs {
		loosen(mapOf(def))
	}
}

// loosen lets a variable stand where a value of a fixed kind is wanted, and lets keys
// that the normaliser moves stay where people write them.
func loosen(s map[string]any) {
	delete(s, "$id")
	delete(s, "pattern")
	for key, v := range mapOf(s["properties"]) {
		m := mapOf(v)
		switch m["type"] {
		case "integer", "number", "boolean":
			m["type"] = []any{m["type"], "string"}
		}
		loosen(m)
		mapOf(s["properties"])[key] = m
	}
	if items, ok := s["items"].(map[string]any); ok {
		loosen(items)
	}
}
