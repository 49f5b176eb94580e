package configs

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"gopkg.in/yaml.v3"
)

// checkNode validates a tree against a schema after giving scalars the type that their
// place needs. Every problem carries the place of its value.
// Keys with a default are not required.
func checkNode(doc *Canonical, r *Resolved, schema *jsonschema.Schema, defaults any) Problems {
	coerce(r.Root, schema)
	err := schema.Validate(value(r.Root))
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return Problems{{File: doc.File.Name, Line: r.Root.Line, Col: r.Root.Column, Path: r.path, Message: err.Error()}}
	}
	c := schemaCheck{doc: doc, r: r, schema: schema, defaults: defaults}
	c.collect(invalid)
	return c.problems
}

type schemaCheck struct {
	doc      *Canonical
	r        *Resolved
	schema   *jsonschema.Schema
	defaults any // of the config, as decoded JSON: what has one cannot be missing
	problems Problems
}

// hasDefault reports whether the defaults hold something at a place.
func hasDefault(defaults any, place []string) bool {
	for _, key := range place {
		m, ok := defaults.(map[string]any)
		if !ok {
			return false
		}
		defaults = m[key]
	}
	switch v := defaults.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case float64:
		return v != 0
	case bool:
		return v
	default:
		return true
	}
}

func (c *schemaCheck) collect(e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			c.add(e.InstanceLocation, "fits more than one of the accepted forms; give one of them", "")
			return
		}
		c.alternatives(e)
		return
	case *kind.AnyOf:
		c.alternatives(e)
		return
	case *kind.AdditionalProperties:
		c.unknownKeys(e.InstanceLocation, k.Properties)
		return
	case *kind.Required:
		for _, name := range k.Missing {
			if hasDefault(c.defaults, append(slices.Clone(e.InstanceLocation), name)) {
				continue
			}
			c.add(append(slices.Clone(e.InstanceLocation), name), "is required", "")
		}
		return
	}
	if len(e.Causes) == 0 {
		message, suggestion := c.describe(e)
		c.add(e.InstanceLocation, message, suggestion)
		return
	}
	for _, cause := range e.Causes {
		c.collect(cause)
	}
}

// alternatives reports the branch that the author most probably meant: one that fails
// deeper than by its type; else all types that would do.
func (c *schemaCheck) alternatives(e *jsonschema.ValidationError) {
	var wanted []string
	var deeper *jsonschema.ValidationError
	for _, branch := range e.Causes {
		types := typeMismatch(branch, e.InstanceLocation)
		if types == nil && deeper == nil {
			deeper = branch
		}
		wanted = append(wanted, types...)
	}
	if deeper != nil {
		c.collect(deeper)
		return
	}
	slices.Sort(wanted)
	c.add(e.InstanceLocation, "must be "+strings.Join(typeWords(slices.Compact(wanted)), " or ")+", not "+c.found(e.InstanceLocation), "")
}

// typeMismatch returns the types that a branch wants of the value at a place when that
// is all that is wrong.
func typeMismatch(e *jsonschema.ValidationError, place []string) []string {
	if k, ok := e.ErrorKind.(*kind.Type); ok && len(e.InstanceLocation) == len(place) {
		return k.Want
	}
	for _, cause := range e.Causes {
		if types := typeMismatch(cause, place); types != nil {
			return types
		}
	}
	return nil
}

func (c *schemaCheck) unknownKeys(place, keys []string) {
	known := propertiesOf(schemaAt(c.schema, place))
	slices.Sort(keys)
	for _, key := range keys {
		c.addKey(place, key, "unknown key", nearest(key, known))
	}
}

// describe says in the words of a document what a leaf of a validation error means.
func (c *schemaCheck) describe(e *jsonschema.ValidationError) (message, suggestion string) {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return "must be " + strings.Join(typeWords(k.Want), " or ") + ", not " + c.found(e.InstanceLocation), ""
	case *kind.Enum:
		var words []string
		for _, w := range k.Want {
			words = append(words, fmt.Sprint(w))
		}
		return "must be one of " + strings.Join(words, ", "), nearest(fmt.Sprint(k.Got), words)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want), ""
	case *kind.Minimum:
		return "must be at least " + number(k.Want), ""
	case *kind.Maximum:
		return "must be at most " + number(k.Want), ""
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want), ""
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want), ""
	case *kind.MinItems:
		if k.Want == 1 {
			return "must not be empty", ""
		}
		return fmt.Sprintf("must have at least %d entries", k.Want), ""
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d entries, not %d", k.Want, k.Got), ""
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want), ""
	case *kind.Pattern:
		return fmt.Sprintf("%q does not match %s", k.Got, k.Want), ""
	default:
		text := e.Error()
		if i := strings.LastIndex(text, ": "); i >= 0 {
			text = text[i+2:]
		}
		return text, ""
	}
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func typeWords(types []string) []string {
	words := map[string]string{"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "empty"}
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = words[t]
	}
	return out
}

// found names what stands at a place.
func (c *schemaCheck) found(place []string) string {
	n := nodeAt(c.r.Root, place)
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "empty"
	}
	return strconv.Quote(n.Value)
}

func (c *schemaCheck) add(place []string, message, suggestion string) {
	n := nodeAt(c.r.Root, place)
	if c.r.unset[n] {
		return
	}
	c.problems = append(c.problems, Problem{
		File: c.doc.File.Name, Line: n.Line, Col: n.Column,
		Path: c.path(place), Message: message, Suggestion: suggestion,
	})
}

func (c *schemaCheck) addKey(place []string, key, message, suggestion string) {
	k, _ := entry(nodeAt(c.r.Root, place), key)
	c.problems = append(c.problems, Problem{
		File: c.doc.File.Name, Line: k.Line, Col: k.Column,
		Path: join(c.path(place), key), Message: message, Suggestion: suggestion,
	})
}

// path writes a place as the user sees it.
func (c *schemaCheck) path(place []string) string {
	path, n := c.r.path, c.r.Root
	for _, key := range place {
		if n != nil && n.Kind == yaml.SequenceNode {
			path += "[" + key + "]"
		} else {
			path = join(path, key)
		}
		n = child(n, key)
	}
	return path
}

// propertiesOf returns the keys that a mapping of a schema may have.
func propertiesOf(s *jsonschema.Schema) []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Properties))
}
