package plan_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudact/convergence/configs"
)

var update = flag.Bool("update", false, "write the golden files anew")

const dashes = "----------\n"

func TestEveryKindOfMistakeHasItsGoldenErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	p := planner(t)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".golden"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			document, want, _ := strings.Cut(string(text), dashes)
			r := request(configs.File{Name: "p.yml", Text: []byte(document), ID: "openai/cost/p"})
			if strings.Contains(document, "region: eu") {
				r.Params = map[string]string{"region": "us"}
			}
			_, err = p.Plan(context.Background(), r)
			if err == nil {
				t.Fatal("the document was accepted")
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(name, []byte(document+dashes+got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if again := p.Validate(context.Background(), r.Source); !strings.Contains(name, "unset") && !strings.Contains(name, "run_") && !strings.Contains(name, "date_") && again.Error()+"\n" != got {
				t.Errorf("validation without a run says\n%s", again.Error())
			}
		})
	}
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
