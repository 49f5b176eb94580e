package query_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	_ "github.com/cloudact/convergence/transforms/query"
	"github.com/cloudact/convergence/transforms/registry"
)

type example struct {
	Name   string         `yaml:"name"`
	Config map[string]any `yaml:"config"`
	Want   string         `yaml:"want"`
	Error  string         `yaml:"error"`
}

func TestExamplesOfQueryProcessors(t *testing.T) {
	for _, name := range registry.Names() {
		text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			t.Fatalf("%s has no examples: %v", name, err)
		}
		var examples []example
		if err := yaml.Unmarshal(text, &examples); err != nil {
			t.Fatal(err)
		}
		if len(examples) == 0 {
			t.Errorf("%s has no examples", name)
		}
		processor, _ := registry.Lookup(name)
		for _, e := range examples {
			t.Run(name+"/"+e.Name, func(t *testing.T) { run(t, processor, e) })
		}
	}
}

func run(t *testing.T, p *registry.Processor, e example) {
	t.Helper()
	text, err := json.Marshal(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := p.NewConfig()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(config)
	if err == nil {
		err = config.(registry.Validator).Validate()
	}
	switch {
	case e.Error != "" && (err == nil || !strings.Contains(err.Error(), e.Error)):
		t.Errorf("error is %v, want %q", err, e.Error)
	case e.Error == "" && err != nil:
		t.Errorf("refused: %v", err)
	case e.Error == "":
		if got := p.Template(config); got != e.Want {
			t.Errorf("template is %q, want %q", got, e.Want)
		}
	}
}
