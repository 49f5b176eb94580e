package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/registry"
)

// What follows is all that a processor is: a config, its rules, a registration, and the
// examples in testdata/example.onefile.yaml.

//go:embed testdata/example.onefile.yaml
var oneFileExamples embed.FS

type oneFile struct {
	Greeting string   `json:"greeting" jsonschema:"required,minLength=1,description=What is said"`
	To       []string `json:"to,omitempty" jsonschema:"description=Who hears it"`
}

// Validate implements registry.Validator.
func (c *oneFile) Validate() error {
	if c.To != nil && len(c.To) == 0 {
		return &registry.FieldError{Path: "to", Message: "names nobody"}
	}
	return nil
}

func init() {
	registry.RegisterSource(registry.Spec{
		Name: "example.onefile", Summary: "Greets people.", Examples: oneFileExamples,
		Output: registry.Output{WriteMode: "append", Table: "greetings", SchemaRef: "openai/cost/openai_cost_raw"},
	}, oneFile{}, func(_ beam.Scope, in beam.PCollection, _ registry.Step[oneFile]) (beam.PCollection, error) {
		return in, nil
	})
}

// say runs a command and returns what it printed to both outputs.
func say(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := execute(t.Context(), args, nil, &out, &errs); code != want {
		t.Fatalf("%v ended with %d: %s", args, code, errs.String())
	}
	return out.String(), errs.String()
}

func TestAProcessorIsOneFileAndOneExample(t *testing.T) {
	page, _ := say(t, exitOK, "processors", "example.onefile", "--format", "md")
	for _, part := range []string{"## example.onefile", "Greets people.", "| greeting | string | What is said |", "| to | array of string | Who hears it |", "# a greeting", "  greeting: hello"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
	if strings.Contains(page, "nobody to greet") {
		t.Error("the page teaches a mistake")
	}
	if list, _ := say(t, exitOK, "processors"); !strings.Contains(list, "example.onefile") {
		t.Error("the list lacks it")
	}

	text, _ := say(t, exitOK, "processors", "example.onefile", "--format", "jsonschema")
	var schema struct {
		Required             []string `json:"required"`
		AdditionalProperties *bool    `json:"additionalProperties"`
	}
	if err := json.Unmarshal([]byte(text), &schema); err != nil || len(schema.Required) != 1 || schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Errorf("the schema is %s, %v", text, err)
	}
	if editor, _ := say(t, exitOK, "language", "--format", "jsonschema"); !strings.Contains(editor, `"config of example.onefile"`) {
		t.Error("the schema for editors lacks it")
	}

	name := filepath.Join(t.TempDir(), "p.yml")
	write := func(config string) {
		t.Helper()
		doc := "pipeline_id: p\nsteps:\n  - step_id: a\n    ps_type: example.onefile\n    config: " + config + "\n"
		if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{greeting: hi, to: []}")
	if _, got := say(t, exitFailed, "validate", name); !strings.Contains(got, name+":5:32: steps[0].config.to: names nobody") {
		t.Errorf("validate said %s", got)
	}
	write("{greting: hi}")
	if _, got := say(t, exitFailed, "validate", name); !strings.Contains(got, `:5:14: steps[0].config.greting: unknown key; did you mean "greeting"?`) || !strings.Contains(got, "greeting: is required") {
		t.Errorf("validate said %s", got)
	}
	write("{greeting: hi, to: [you]}")
	if got, _ := say(t, exitOK, "validate", name); got != "1 valid\n" {
		t.Errorf("validate said %s", got)
	}
}
