package compile_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

const fused = `
pipeline_id: p
steps:
  - {step_id: extract, ps_type: openai.usage, destination: raw_usage}
  - {step_id: price, ps_type: openai.cost, config: {source_table: raw_usage}, destination: cost}
`

func TestGraphIsDrawnWholeInEveryFormat(t *testing.T) {
	g, err := graphOf(t, configs.File{Name: "p.yml", Text: []byte(fused), ID: "openai/cost/p"})
	if err != nil {
		t.Fatal(err)
	}
	edges := 0
	for _, transform := range g.Transforms {
		edges += len(transform.Inputs) + len(transform.Side)
	}
	if dot := g.Dot(); strings.Count(dot, " -> ") != edges || strings.Count(dot, ";\n") != edges+len(g.Transforms)+2 {
		t.Errorf("%d transforms and %d edges become\n%s", len(g.Transforms), edges, dot)
	}
	if m := g.Mermaid(); strings.Count(m, "-->")+strings.Count(m, "-.->") != edges || strings.Contains(m, " \n") {
		t.Errorf("%d edges become\n%s", edges, m)
	}
	text, err := g.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back compile.Graph
	if err := json.Unmarshal([]byte(text), &back); err != nil || back.Text() != g.Text() {
		t.Errorf("read back: %v\n%s", err, back.Text())
	}
}

func TestNotificationsAreDrawnBesideTheGraph(t *testing.T) {
	g, err := graphOf(t, configs.File{Name: "p.yml", Text: []byte(fused), ID: "openai/cost/p"})
	if err != nil {
		t.Fatal(err)
	}
	g = g.With([]plan.Hook{{ID: "tell", Type: "notify_systems.email_notification"}})
	text, err := g.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for format, drawn := range map[string]string{"text": g.Text(), "dot": g.Dot(), "mermaid": g.Mermaid(), "json": text} {
		if !strings.Contains(drawn, "tell") || !strings.Contains(drawn, "notify_systems.email_notification") {
			t.Errorf("%s lacks the notification:\n%s", format, drawn)
		}
	}
	if dot := g.Dot(); strings.Contains(dot, `-> "tell"`) || strings.Contains(dot, `"tell" ->`) {
		t.Errorf("something waits for the notification:\n%s", dot)
	}
}

func TestCompilingTwiceGivesTheSameGraph(t *testing.T) {
	f := configs.File{Name: "p.yml", Text: []byte(fused), ID: "openai/cost/p"}
	if first, second := printed(t, f), printed(t, f); first != second {
		t.Errorf("first\n%s\nthen\n%s", first, second)
	}
}
