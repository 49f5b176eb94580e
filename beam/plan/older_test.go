package plan_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

// TestDocumentsOfTheOldFormatValidateAndPlan reads documents as they were written for the
// predecessor, one of each that it shipped, each under its own path.
func TestDocumentsOfTheOldFormatValidateAndPlan(t *testing.T) {
	all, err := configs.Open(configs.Shipped(), os.DirFS("testdata/older"))
	if err != nil {
		t.Fatal(err)
	}
	p := plan.New(plan.Deps{Catalog: all, Processors: allBuilt{compile.Processors()}})
	var got strings.Builder
	read := 0
	err = fs.WalkDir(os.DirFS("testdata/older"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		read++
		file, ok := all.ByPath(name)
		if !ok {
			t.Fatalf("the catalogue does not hold %s", name)
		}
		if err := planner(t).Validate(context.Background(), file).Err(); err != nil {
			t.Errorf("%s is refused:\n%v", name, err)
		}
		r := request(file)
		r.ProjectID, r.AdminEmail = "customer-project", "admin@example.com"
		planned, err := p.Plan(context.Background(), r)
		if err != nil {
			t.Errorf("%s has no plan:\n%v", name, err)
			return nil
		}
		fmt.Fprintf(&got, "%s %s %q\n", planned.Pipeline, planned.PipelineID, planned.Schedule.CronText())
		for _, s := range planned.Steps {
			fmt.Fprintf(&got, "  %s %s after %v, rows of %v, into %s by %s, %d units, skipped %v\n", s.ID, s.Type, s.DependsOn, s.Inputs, s.Destination.Table, s.Destination.WriteMode, len(s.Units), s.Skip)
		}
		for _, h := range planned.Hooks {
			fmt.Fprintf(&got, "  %s %s\n", h.ID, h.Type)
		}
		return nil
	})
	if err != nil || read != 11 {
		t.Fatalf("%d documents: %v", read, err)
	}
	const golden = "testdata/older.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatTheIntegrationAndTheProfileKnow(t *testing.T) {
	const document = head + `steps:
  - step_id: a
    ps_type: generic.api_extractor
    config: {url: "https://api.example.com/v1", params: {project: "{project_id}", same: "{gcp_project_id}"}}
    destination: t
  - {step_id: mail, ps_type: notify_systems.email_notification, to_emails: ["{admin_email}", ops@example.com]}
`
	got := planText(t, document, func(r *plan.Request) { r.ProjectID, r.AdminEmail = "customer-project", "ada@example.com" })
	if text := asJSON(t, got); strings.Count(text, `"customer-project"`) < 2 || !strings.Contains(text, `"ada@example.com"`) {
		t.Errorf("the plan is %s", text)
	}
	r := request(configs.File{Name: "p.yml", Text: []byte(document), ID: "openai/cost/p"})
	_, err := planner(t).Plan(context.Background(), r)
	const want = `p.yml:5:68: steps[0].config.params.project: variable "project_id" has no value; set it with --var project_id=VALUE or in the run's parameters`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("without an integration: %v, want %s", err, want)
	}
}
