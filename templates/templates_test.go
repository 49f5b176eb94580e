package templates_test

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/templates"
)

func TestEveryTemplateIsAValidPipeline(t *testing.T) {
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	p := plan.New(plan.Deps{Catalog: catalog, Processors: compile.Processors()})
	if len(templates.Names()) < 3 {
		t.Fatalf("there are only %v", templates.Names())
	}
	for _, name := range templates.Names() {
		text, err := templates.Pipeline(name, "My-cost")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(t.Context(), configs.File{Name: name + ".yml", Text: text}).Err(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(text), "pipeline_id: My-cost\n") || !strings.Contains(string(text), "my_cost") {
			t.Errorf("%s does not carry the name:\n%s", name, text)
		}
	}
}

func TestAnUnknownTemplateIsNamedBesideThoseThatExist(t *testing.T) {
	_, err := templates.Pipeline("excel", "x")
	if err == nil || err.Error() != `there is no template "excel"; there are api, openai, sql` {
		t.Errorf("error is %v", err)
	}
}
