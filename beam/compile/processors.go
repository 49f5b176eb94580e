package compile

import (
	"encoding/json"
	"slices"

	"github.com/invopop/jsonschema"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/registry"

	// Every processor of this binary registers itself.
	_ "github.com/cloudact/convergence/transforms/process"
	_ "github.com/cloudact/convergence/transforms/query"
	_ "github.com/cloudact/convergence/transforms/source"
)

// Processors shows the registry to the pipeline language.
func Processors() configs.Processors { return processors{} }

type processors struct{}

func (processors) Lookup(name string) (configs.Processor, bool) {
	if p, ok := registry.Lookup(name); ok {
		return processor{p}, true
	}
	if p, ok := registry.LookupPlanned(name); ok {
		return planned{p}, true
	}
	if n, ok := registry.LookupNotice(name); ok {
		return notice{n}, true
	}
	return nil, false
}

func (processors) Names() []string {
	return slices.Sorted(slices.Values(slices.Concat(registry.Names(), registry.NoticeNames())))
}

func (processors) PlannedNames() []string { return registry.PlannedNames() }

type processor struct{ p *registry.Processor }

func (p processor) Name() string               { return p.p.Name }
func (p processor) Kind() string               { return string(p.p.Kind) }
func (p processor) Provider() string           { return p.p.Provider }
func (p processor) NewConfig() any             { return p.p.NewConfig() }
func (p processor) Template(config any) string { return p.p.Template(config) }
func (p processor) Output() configs.Output     { return configs.Output(p.p.Output) }
func (p processor) Planned() bool              { return false }

// ConfigSchema reflects the JSON Schema of the typed config.
func (p processor) ConfigSchema() []byte { return ConfigSchema(p.p) }

// ConfigSchema returns the JSON Schema of a processor's config.
func ConfigSchema(p *registry.Processor) []byte { return schemaOf(p.Name, p.NewConfig()) }

func schemaOf(name string, config any) []byte {
	reflector := jsonschema.Reflector{DoNotReference: true, ExpandedStruct: true, Anonymous: true, RequiredFromJSONSchemaTags: true}
	b, err := json.Marshal(reflector.Reflect(config))
	if err != nil { // a reflected schema is plain data
		panic("compile: schema of " + name + ": " + err.Error())
	}
	return b
}

// planned shows a processor that is not built: documents are checked against it, and a
// plan that needs it is refused.
type planned struct{ p *registry.Planned }

func (p planned) Name() string           { return p.p.Name }
func (p planned) Kind() string           { return string(p.p.Kind) }
func (p planned) Provider() string       { return p.p.Provider }
func (p planned) NewConfig() any         { return p.p.NewConfig() }
func (p planned) Template(any) string    { return "" }
func (p planned) Output() configs.Output { return configs.Output(p.p.Output) }
func (p planned) Planned() bool          { return true }
func (p planned) ConfigSchema() []byte   { return schemaOf(p.p.Name, p.p.NewConfig()) }

// notice shows a notification: the launcher sends it, no graph knows it.
type notice struct{ n *registry.Notice }

func (n notice) Name() string           { return n.n.Name }
func (n notice) Kind() string           { return string(registry.Hook) }
func (n notice) Provider() string       { return "" }
func (n notice) NewConfig() any         { return n.n.NewConfig() }
func (n notice) Template(any) string    { return "" }
func (n notice) Output() configs.Output { return configs.Output{} }
func (n notice) Planned() bool          { return false }
func (n notice) ConfigSchema() []byte   { return NoticeSchema(n.n) }

// NoticeSchema returns the JSON Schema of a notification's config.
func NoticeSchema(n *registry.Notice) []byte { return schemaOf(n.Name, n.NewConfig()) }
