package compile

import (
	"encoding/json"

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
	p, ok := registry.Lookup(name)
	if !ok {
		return nil, false
	}
	return processor{p}, true
}

func (processors) Names() []string { return registry.Names() }

type processor struct{ p *registry.Processor }

func (p processor) Name() string               { return p.p.Name }
func (p processor) Kind() string               { return string(p.p.Kind) }
func (p processor) Provider() string           { return p.p.Provider }
func (p processor) NewConfig() any             { return p.p.NewConfig() }
func (p processor) Template(config any) string { return p.p.Template(config) }
func (p processor) Output() configs.Output     { return configs.Output(p.p.Output) }

// ConfigSchema reflects the JSON Schema of the typed config.
func (p processor) ConfigSchema() []byte { return ConfigSchema(p.p) }

// ConfigSchema returns the JSON Schema of a processor's config.
func ConfigSchema(p *registry.Processor) []byte {
	reflector := jsonschema.Reflector{DoNotReference: true, ExpandedStruct: true, Anonymous: true}
	b, err := json.Marshal(reflector.Reflect(p.NewConfig()))
	if err != nil { // a reflected schema is plain data
		panic("compile: schema of " + p.Name + ": " + err.Error())
	}
	return b
}
