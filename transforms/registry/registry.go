// Package registry holds the processors that a step may name: one generic registry of
// name, aliases, summary, typed config, its JSON Schema and a build function. A
// processor file registers itself in init and does nothing else there; the folder
// testdata of its package holds its examples, which are tests and docs.
//
// The registry knows Beam and rows. It must not know the pipeline language, the plan or
// who runs it: those see processors through small interfaces of their own.
package registry

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/row"
)

// Kind says what a step of a processor becomes.
type Kind string

// The kinds.
const (
	Source  Kind = "source"  // fetches pages and decodes them to rows
	Process Kind = "process" // turns the pages of another step into pages, row by row
	Query   Kind = "query"   // a SQL template whose result the warehouse computes itself
)

// Validator is implemented by configs with rules that types and JSON Schema cannot state.
type Validator interface{ Validate() error }

// FieldError says which key of a config a Validate rule is about, as a dotted path
// ("auth.type"), so that the error points at its line.
type FieldError struct {
	Path    string
	Message string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Path + ": " + e.Message }

// FieldPath returns Path; the pipeline language finds the line by it.
func (e *FieldError) FieldPath() string { return e.Path }

// Spec describes a processor. Everything a user reads about it is generated from here.
type Spec struct {
	Name     string   // as a document spells it, e.g. openai.usage
	Aliases  []string // further accepted spellings
	Summary  string   // one sentence
	Provider string   // "" when any; else the credential provider, e.g. OPENAI
	Examples fs.FS    // holds testdata/{Name}.yaml, which is test and documentation
	Output   Output
}

// Output are the defaults of a processor's destination. Zero values mean: no default.
type Output struct {
	SchemaRef  string // declared schema, "{provider}/{domain}/{name}" below configs/
	Table      string
	WriteMode  string // append, insert_new, merge, replace_partition, overwrite
	ByDay      bool   // the step's slices are days
	MoneyTable bool   // cost tables allow no rejects by default
	Envelope   bool   // rows are raw envelopes plus added fields, when the step declares no schema
	RowVersion int    // counts up when the processor makes other rows of the same data
}

// Step is what a build function gets to know of its step.
type Step[C any] struct {
	ID       string
	Org      string
	Provider string
	RunID    string
	Schema   row.Schema // of the rows that the step must emit
	Input    row.Schema // of the rows that come in; nil for sources
	Config   C
	Units    []Unit[C] // ascending by slice; at least one
	Now      int64     // run start, microseconds since the epoch: `now` in configs and `calculated_at`
	Shards   int       // how many ways a source is split; 1 on one machine

	// Starts holds a row.Position per partition that an earlier attempt has begun, of the
	// page that comes next; the furthest counts, and Last means that none does. One without
	// a partition is about all of the unit. Not valid: every partition starts at its
	// beginning.
	Starts beam.PCollection
}

// Unit is one slice of the step with the config as its variables resolve there.
type Unit[C any] struct {
	row.Unit
	Config C
}

// Processor is a registered Spec with its type-erased functions.
type Processor struct {
	Spec
	Kind      Kind
	NewConfig func() any // pointer to a fresh config with defaults
	build     func(beam.Scope, beam.PCollection, any) (beam.PCollection, error)
	erase     func(Build) (any, error)
	template  func(config any) string
}

// Build is the type-erased form of Step: Config and each UnitConfig are pointers as
// NewConfig returns them.
type Build struct {
	Step        Step[any]
	Units       []row.Unit
	UnitConfigs []any
}

// BuildFunc makes the PTransform of a source or process step: from pages (none for a
// source) to pages whose rows have Step.Schema. It scopes its parts itself.
type BuildFunc[C any] func(s beam.Scope, in beam.PCollection, step Step[C]) (beam.PCollection, error)

var processors = map[string]*Processor{}

// RegisterSource adds a processor that fetches. It panics on a second use of a name.
func RegisterSource[C any](spec Spec, defaults C, build BuildFunc[C]) {
	add(beamProcessor(spec, Source, defaults, build))
}

// RegisterProcess adds a row-wise processor. It panics on a second use of a name.
func RegisterProcess[C any](spec Spec, defaults C, build BuildFunc[C]) {
	add(beamProcessor(spec, Process, defaults, build))
}

// RegisterQuery adds a processor that the warehouse computes; template returns the SQL
// template of a config, variables unresolved. It panics on a second use of a name.
func RegisterQuery[C any](spec Spec, defaults C, template func(C) string) {
	add(&Processor{
		Spec: spec, Kind: Query,
		NewConfig: func() any { c := clone(defaults); return &c },
		template:  func(config any) string { return template(*config.(*C)) },
	})
}

func beamProcessor[C any](spec Spec, kind Kind, defaults C, build BuildFunc[C]) *Processor {
	return &Processor{
		Spec: spec, Kind: kind,
		NewConfig: func() any { c := clone(defaults); return &c },
		erase:     func(b Build) (any, error) { return typed[C](b) },
		build: func(s beam.Scope, in beam.PCollection, step any) (beam.PCollection, error) {
			return build(s, in, step.(Step[C]))
		},
	}
}

func typed[C any](b Build) (Step[C], error) {
	config, ok := b.Step.Config.(*C)
	if !ok || config == nil || len(b.Units) != len(b.UnitConfigs) {
		return Step[C]{}, fmt.Errorf("step %s: config is %T with %d of %d unit configs", b.Step.ID, b.Step.Config, len(b.UnitConfigs), len(b.Units))
	}
	s := b.Step
	out := Step[C]{
		ID: s.ID, Org: s.Org, Provider: s.Provider, RunID: s.RunID, Schema: s.Schema, Input: s.Input,
		Config: *config, Now: s.Now, Shards: s.Shards, Starts: s.Starts, Units: make([]Unit[C], len(b.Units)),
	}
	for i, u := range b.Units {
		c, ok := b.UnitConfigs[i].(*C)
		if !ok || c == nil {
			return Step[C]{}, fmt.Errorf("step %s: unit config is %T", s.ID, b.UnitConfigs[i])
		}
		out.Units[i] = Unit[C]{Unit: u, Config: *c}
	}
	return out, nil
}

func add(p *Processor) {
	names := append([]string{p.Name}, p.Aliases...)
	for i, name := range names {
		if _, dup := processors[name]; dup || name == "" || slices.Contains(names[:i], name) {
			panic(fmt.Sprintf("registry: processor name %q is empty or taken", name))
		}
	}
	for _, name := range names {
		processors[name] = p
	}
}

// Build compiles a source or process step.
func (p *Processor) Build(s beam.Scope, in beam.PCollection, b Build) (beam.PCollection, error) {
	if p.build == nil {
		return beam.PCollection{}, fmt.Errorf("step %s: %s is computed by the warehouse, not by Beam", b.Step.ID, p.Name)
	}
	step, err := p.erase(b)
	if err != nil {
		return beam.PCollection{}, err
	}
	return p.build(s, in, step)
}

// Template returns the SQL template of a query step, "" for other kinds; config is a
// pointer as NewConfig returns it.
func (p *Processor) Template(config any) string {
	if p.template == nil {
		return ""
	}
	return p.template(config)
}

// Lookup finds a processor by name or alias.
func Lookup(name string) (*Processor, bool) {
	p, ok := processors[name]
	return p, ok
}

// Names returns the registered names without aliases, sorted.
func Names() []string {
	names := map[string]bool{}
	for _, p := range processors {
		names[p.Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}
