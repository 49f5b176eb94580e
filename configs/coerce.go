package configs

import (
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// coerce gives scalars the type that their place needs when their text allows it: a
// version written 1.0 is text where text is wanted, "30" is a number where only a number
// is. The text itself never changes.
func coerce(n *yaml.Node, schema *jsonschema.Schema) {
	s := deref(schema)
	if s == nil {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			coerce(n.Content[i+1], below(s, n, n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			coerce(c, below(s, n, strconv.Itoa(i)))
		}
	case yaml.ScalarNode:
		coerceScalar(n, accepted(s))
	}
}

func coerceScalar(n *yaml.Node, types map[string]bool) {
	if len(types) == 0 {
		return
	}
	text := n.ShortTag() == "!!str"
	switch {
	case isNull(n):
	case !text && types["string"] && !fits(n, types):
		n.Tag = "!!str"
	case text && types["string"]:
	case text && (types["integer"] || types["number"]) && isJSONNumber(n.Value):
		n.Tag, n.Style = "!!int", 0
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case text && types["boolean"]:
		if v, ok := ParseSwitch(n.Value); ok {
			n.Value, n.Tag, n.Style = strconv.FormatBool(v), "!!bool", 0
		}
	}
}

// fits reports whether a scalar that is no text has an accepted type as it is.
func fits(n *yaml.Node, types map[string]bool) bool {
	switch n.ShortTag() {
	case "!!bool":
		return types["boolean"]
	case "!!int":
		return types["integer"] || types["number"]
	case "!!float":
		return types["number"]
	}
	return false
}

// accepted returns the scalar types that a schema accepts, through its alternatives.
func accepted(s *jsonschema.Schema) map[string]bool {
	out := map[string]bool{}
	if s.Types != nil {
		for _, t := range s.Types.ToStrings() {
			out[t] = true
		}
		return out
	}
	if s.Enum != nil {
		for _, v := range s.Enum.Values {
			if _, ok := v.(string); ok {
				out["string"] = true
			}
		}
	}
	for _, list := range [][]*jsonschema.Schema{s.OneOf, s.AnyOf, s.AllOf} {
		for _, alternative := range list {
			if a := deref(alternative); a != nil {
				for t := range accepted(a) {
					out[t] = true
				}
			}
		}
	}
	return out
}

func deref(s *jsonschema.Schema) *jsonschema.Schema {
	for i := 0; s != nil && s.Ref != nil && i < maxDepth; i++ {
		s = s.Ref
	}
	return s
}

// below returns the schema of a member of a mapping or list, nil when anything goes.
func below(s *jsonschema.Schema, n *yaml.Node, key string) *jsonschema.Schema {
	if n.Kind == yaml.SequenceNode {
		if s.Items2020 != nil {
			return s.Items2020
		}
		if items, ok := s.Items.(*jsonschema.Schema); ok {
			return items
		}
		return alternative(s, n, key)
	}
	if p, ok := s.Properties[key]; ok {
		return p
	}
	if p, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		return p
	}
	return alternative(s, n, key)
}

// alternative looks for the member in the alternatives of a schema.
func alternative(s *jsonschema.Schema, n *yaml.Node, key string) *jsonschema.Schema {
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.OneOf, s.AnyOf} {
		for _, branch := range list {
			if b := deref(branch); b != nil {
				if found := below(b, n, key); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// schemaAt returns the schema of the value at a place.
func schemaAt(s *jsonschema.Schema, place []string) *jsonschema.Schema {
	s = deref(s)
	for _, key := range place {
		if s == nil {
			return nil
		}
		n := &yaml.Node{Kind: yaml.MappingNode}
		if _, err := strconv.Atoi(key); err == nil {
			n.Kind = yaml.SequenceNode
		}
		s = deref(below(s, n, key))
	}
	return s
}

// child returns a member of a mapping or list, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	return get(n, key)
}

// nodeAt returns the node at a place, or the nearest one above that exists.
func nodeAt(n *yaml.Node, place []string) *yaml.Node {
	for _, key := range place {
		next := child(n, key)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// descend follows a dotted path with [i] for lists as far as it goes.
func descend(n *yaml.Node, path string) *yaml.Node {
	path = strings.NewReplacer("[", ".", "]", "").Replace(path)
	for _, key := range strings.Split(path, ".") {
		next := child(n, key)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}
