package plan_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/configs"
)

func editorSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := configs.EditorSchema(compile.Processors())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema:///pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema:///pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// editorView reads a document as an editor would.
func editorView(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSchemaForEditorsAcceptsEveryShippedPipeline(t *testing.T) {
	s, c := editorSchema(t), catalog(t)
	for _, id := range c.List() {
		f, _ := c.ByPath(id)
		if err := s.Validate(editorView(t, string(f.Text))); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestTheSchemaForEditorsFindsUnknownKeysInEverySpelling(t *testing.T) {
	s := editorSchema(t)
	good := head + "steps: [{step: a, processor: openai.usage, enabled: \"{x}\", config: {limit: \"{n}\", destination_table: t}}]\n"
	if err := s.Validate(editorView(t, good)); err != nil {
		t.Errorf("%s: %v", good, err)
	}
	for _, bad := range []string{
		head + "steps: [{step: a, processor: openai.usage, config: {limmit: 3}}]\n",
		head + "steps: [{step: a, type: bq_transformer, config: {sqll: SELECT 1}}]\n",
		head + "steps: [{step: a, ps_type: gcp.external_bq_extractor, config: {qery: SELECT 1}}]\n",
		head + "steps: [{step: a, ps_type: openai.usage, on_failur: stop}]\n",
		head + "timeout_minuts: 3\nsteps: [{step: a, ps_type: openai.usage}]\n",
	} {
		if s.Validate(editorView(t, bad)) == nil {
			t.Errorf("accepted: %s", bad)
		}
	}
}
