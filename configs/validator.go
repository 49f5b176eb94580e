package configs

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

//go:embed system/pipeline.schema.json
var languageSchema []byte

// LanguageSchema returns the JSON Schema of a pipeline in canonical spelling.
func LanguageSchema() []byte { return bytes.Clone(languageSchema) }

var compiledLanguage = sync.OnceValues(func() (*jsonschema.Schema, error) {
	return compileSchema("pipeline.schema.json", languageSchema)
})

// Validator checks documents against the language and the configs of processors. It is
// safe for concurrent use.
type Validator struct {
	processors Processors

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

// NewValidator returns a validator over the given processors.
func NewValidator(p Processors) *Validator {
	return &Validator{processors: p, schemas: map[string]*jsonschema.Schema{}}
}

func compileSchema(name string, text []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read JSON Schema of %s: %w", name, err)
	}
	name = "schema:///" + name // absolute, so that no message names a folder of the machine
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("read JSON Schema of %s: %w", name, err)
	}
	s, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("compile JSON Schema of %s: %w", name, err)
	}
	return s, nil
}

// schema returns the compiled JSON Schema of a processor's config.
func (v *Validator) schema(p Processor) (*jsonschema.Schema, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.schemas[p.Name()]; ok {
		return s, nil
	}
	s, err := compileSchema(p.Name(), p.ConfigSchema())
	if err == nil {
		v.schemas[p.Name()] = s
	}
	return s, err
}

// Document checks a resolved document against the language and returns it typed; nil
// when its shape does not allow that.
func (v *Validator) Document(doc *Canonical, r *Resolved) (*Document, Problems) {
	schema, err := compiledLanguage()
	if err != nil {
		return nil, Problems{{File: doc.File.Name, Message: err.Error()}}
	}
	problems := checkNode(doc, r, schema, nil)
	text, err := jsonOf(r.Root)
	if err != nil {
		return nil, append(problems, Problem{File: doc.File.Name, Message: err.Error()})
	}
	var out Document
	var mistyped *json.UnmarshalTypeError // reported above, and the other values are decoded
	if err := json.Unmarshal(text, &out); err != nil && !errors.As(err, &mistyped) {
		return nil, append(problems, Problem{File: doc.File.Name, Message: err.Error()})
	}
	return &out, problems
}

// Config checks a resolved config of a step and returns it typed, as a pointer that the
// processor made; nil when a value is missing or wrong.
func (v *Validator) Config(doc *Canonical, r *Resolved, p Processor) (any, Problems) {
	fail := func(n *yaml.Node, path, message string) (any, Problems) {
		return nil, Problems{{File: doc.File.Name, Line: n.Line, Col: n.Column, Path: path, Message: message}}
	}
	schema, err := v.schema(p)
	if err != nil {
		return fail(r.Root, r.path, err.Error())
	}
	if problems := checkNode(doc, r, schema, defaultsOf(p)); len(problems) > 0 {
		return nil, problems
	}
	if len(r.unset) > 0 {
		return nil, nil
	}
	text, err := jsonOf(r.Root)
	if err != nil {
		return fail(r.Root, r.path, err.Error())
	}
	config := p.NewConfig()
	if err := strictJSON(text, config); err != nil {
		n, path := typeErrorPlace(r, err)
		return fail(n, path, err.Error())
	}
	rules, ok := config.(interface{ Validate() error })
	if !ok {
		return config, nil
	}
	if err := rules.Validate(); err != nil {
		return nil, ruleProblems(doc, r, err)
	}
	return config, nil
}

// defaultsOf returns the defaults of a processor's config as decoded JSON; nil when they
// cannot be written so.
func defaultsOf(p Processor) any {
	text, err := json.Marshal(p.NewConfig())
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	return out
}

func typeErrorPlace(r *Resolved, err error) (*yaml.Node, string) {
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		n := descend(r.Root, typed.Field)
		return n, join(r.path, typed.Field)
	}
	return r.Root, r.path
}

// fieldError is an error of a rule that says which key it is about, as a dotted path.
type fieldError interface {
	error
	FieldPath() string
}

// ruleProblems turns what Validate returned, possibly joined, into problems.
func ruleProblems(doc *Canonical, r *Resolved, err error) Problems {
	return doc.RuleProblems(r.Root, r.path, err)
}

// textError is an error of a rule about a byte of a text, such as an expression.
type textError interface {
	error
	TextOffset() int
}

// RuleProblems turns the errors of a rule, possibly joined, into problems at the values
// below n that they name.
func (c *Canonical) RuleProblems(n *yaml.Node, path string, err error) Problems {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out Problems
		for _, e := range joined.Unwrap() {
			out = append(out, c.RuleProblems(n, path, e)...)
		}
		return out
	}
	var field fieldError
	if !errors.As(err, &field) {
		return Problems{{File: c.File.Name, Line: n.Line, Col: n.Column, Path: path, Message: err.Error()}}
	}
	at := descend(n, field.FieldPath())
	message := field.Error()
	if rest, ok := strings.CutPrefix(message, field.FieldPath()+": "); ok {
		message = rest
	}
	p := Problem{File: c.File.Name, Line: at.Line, Col: at.Column, Path: join(path, field.FieldPath()), Message: message}
	var text textError
	if errors.As(err, &text) && at.Kind == yaml.ScalarNode {
		p = c.ProblemAt(at, text.TextOffset(), p.Path, message)
	}
	var name interface{ Candidates() (string, []string) }
	if errors.As(err, &name) {
		if got, known := name.Candidates(); got != "" {
			p.Suggestion = nearest(got, known)
		}
	}
	return Problems{p}
}
