package plan_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

var now = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func catalog(t testing.TB) *configs.Catalog {
	t.Helper()
	c, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func planner(t testing.TB) *plan.Planner {
	t.Helper()
	return plan.New(plan.Deps{Catalog: catalog(t), Processors: compile.Processors()})
}

func request(f configs.File) plan.Request {
	return plan.Request{
		Source: f, Org: "acme", Env: "development", Project: "platform", Dataset: "acme_development",
		Location: "US", RunID: "0b5c1f0e-0000-5000-8000-000000000000", Now: now,
	}
}

// plannedSteps returns the processors that a document needs and this version has not.
func plannedSteps(problems configs.Problems) []string {
	var out []string
	for _, p := range problems {
		if name, _, ok := strings.Cut(p.Message, " is not part of this version"); ok && strings.HasSuffix(p.Path, ".ps_type") {
			out = append(out, name)
		}
	}
	return out
}

func TestEveryShippedPipelineValidatesAndPlansOrNamesWhatIsNotBuilt(t *testing.T) {
	c := catalog(t)
	if len(c.List()) < 11 {
		t.Fatalf("the shipped set has only %v", c.List())
	}
	p := planner(t)
	for _, id := range c.List() {
		t.Run(id, func(t *testing.T) {
			f, _ := c.ByPath(id)
			problems := p.Validate(context.Background(), f)
			if err := problems.Err(); err != nil {
				t.Fatalf("validate:\n%v", err)
			}
			got, err := p.Plan(context.Background(), request(f))
			if planned := plannedSteps(problems); len(planned) > 0 {
				if got != nil || err == nil || !strings.Contains(err.Error(), planned[len(planned)-1]+" is not part of this version; available: ") {
					t.Errorf("a run that needs %v is planned as %+v, %v", planned, got, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("plan:\n%v", err)
			}
			for _, s := range got.Steps {
				if len(s.Units) == 0 || s.ConfigHash == "" || len(s.Writes) == 0 {
					t.Errorf("step %s is incomplete: %+v", s.ID, s)
				}
			}
		})
	}
}

func TestDeclaredTablesAreThoseThatShippedPipelinesWrite(t *testing.T) {
	c, p := catalog(t), planner(t)
	compared := 0
	for _, id := range c.List() {
		f, _ := c.ByPath(id)
		got, err := p.Plan(context.Background(), request(f))
		if err != nil {
			continue // it needs what is not built
		}
		for _, s := range got.Steps {
			declared, ok := c.Table(configs.ID(got.Provider, got.Domain, s.Destination.Table))
			if !ok {
				continue
			}
			compared++
			if declared.Fields.Fingerprint() != s.Schema.Fields.Fingerprint() {
				t.Errorf("%s: step %s writes %v, its table is declared with %v", id, s.ID, s.Schema.Fields.Names(), declared.Fields.Names())
			}
		}
	}
	if compared < 6 {
		t.Errorf("only %d tables were compared", compared)
	}
}

func TestUsageCostPricesTheRowsOfItsExtraction(t *testing.T) {
	f, _ := catalog(t).Find("openai", "cost", "usage_cost")
	r := request(f)
	r.Start, r.End = civil.Date{Year: 2026, Month: 11, Day: 20}, civil.Date{Year: 2026, Month: 11, Day: 22}
	got, err := planner(t).Plan(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	extract, cost := got.Steps[0], got.Steps[1]
	if extract.ID != "extract_usage" || cost.ID != "transform_cost" {
		t.Fatalf("steps are %s, %s", extract.ID, cost.ID)
	}
	if len(extract.Units) != 3 || extract.Units[2].Start != r.End || extract.Units[2].End != r.End.AddDays(1) {
		t.Errorf("slices of the extraction are %+v, want one per day", extract.Units)
	}
	if len(cost.Inputs) != 1 || cost.Inputs[0] != "extract_usage" {
		t.Errorf("inputs of the cost step are %v", cost.Inputs)
	}
	for _, s := range got.Steps {
		if s.Destination.WriteMode != "replace_partition" || s.Destination.ReplaceField != "usage_date" || len(s.Schema.Fields) == 0 {
			t.Errorf("step %s lands as %+v with %d columns", s.ID, s.Destination, len(s.Schema.Fields))
		}
	}
	if extract.Provider != "OPENAI" || got.PipelineID != "acme-openai-usage-cost" || got.Schedule.CronText() != "0 2 * * *" {
		t.Errorf("provider %q, pipeline id %q, schedule %q", extract.Provider, got.PipelineID, got.Schedule.CronText())
	}
}
