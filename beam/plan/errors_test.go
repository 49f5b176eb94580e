package plan_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A golden file is a document, what validation says of it, and, where that is not the
// same, the errors that a run of it is refused with.
const (
	dashes = "----------\n"
	atRun  = "---------- run\n"
)

func TestEveryKindOfMistakeHasItsGoldenErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.golden")
	if err != nil || len(files) < 60 {
		t.Fatalf("there are %d golden files: %v", len(files), err)
	}
	p := planner(t)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".golden"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			document, want, _ := strings.Cut(string(text), dashes)
			got := verdicts(p, document)
			if *update {
				if err := os.WriteFile(name, []byte(document+dashes+got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if !strings.Contains(got, "p.yml:") {
				t.Error("the document was accepted")
			}
		})
	}
}

// verdicts is what is said of a document before and at the start of a run.
func verdicts(p *plan.Planner, document string) string {
	r := request(configs.File{Name: "p.yml", Text: []byte(document), ID: "openai/cost/p"})
	if strings.Contains(document, "region: eu") {
		r.Params = map[string]string{"region": "us"}
	}
	said := p.Validate(context.Background(), r.Source)
	got := ""
	for _, line := range said {
		got += line.String() + "\n"
	}
	_, refused := p.Plan(context.Background(), r)
	switch early := said.Err(); {
	case refused == nil && early != nil:
		got += atRun + "it runs\n"
	case refused != nil && (early == nil || refused.Error() != early.Error()):
		got += atRun + refused.Error() + "\n"
	}
	return got
}

func TestParametersOfARunAreChecked(t *testing.T) {
	f := configs.File{Name: "p.yml", Text: []byte("pipeline_id: p\nparameters: {region: eu}\nsteps: [{step_id: a, ps_type: openai.usage}]\n")}
	cases := map[string]string{
		"org_slug": "p.yml: parameter org_slug: is set by the run and cannot be a parameter",
		"dataset":  "p.yml: parameter dataset: is set by the run and cannot be a parameter",
		"regoin":   `p.yml: parameter regoin: is not declared by this pipeline in parameters or variables; did you mean "region"?`,
	}
	for name, want := range cases {
		r := request(f)
		r.Params = map[string]string{name: "x", "region": "us", "date": "2026-01-01", "force_refresh": "true"}
		if _, err := planner(t).Plan(context.Background(), r); err == nil || err.Error() != want {
			t.Errorf("%s: error is %v, want %s", name, err, want)
		}
	}
}
