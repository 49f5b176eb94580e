package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

// write is not named update as elsewhere, because Beam's Dataflow runner has a flag of
// that name.
var write = flag.Bool("write", false, "write the golden files anew")

const dashes = "----------\n"

func checkedPlanner(t testing.TB) (*plan.Planner, *configs.Catalog) {
	t.Helper()
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return plan.New(plan.Deps{Catalog: catalog, Processors: compile.Processors(), SQL: newSQLChecker()}), catalog
}

func TestSQLIsCheckedAgainstDeclaredTables(t *testing.T) {
	files, err := filepath.Glob("testdata/sql/*.golden")
	if err != nil || len(files) < 8 {
		t.Fatalf("there are %d golden files: %v", len(files), err)
	}
	p, _ := checkedPlanner(t)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".golden"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			document, want, _ := strings.Cut(string(text), dashes)
			var got strings.Builder
			for _, problem := range p.Validate(t.Context(), configs.File{Name: "p.yml", Text: []byte(document), ID: "openai/cost/p"}) {
				got.WriteString(problem.String() + "\n")
			}
			if *write {
				if err := os.WriteFile(name, []byte(document+dashes+got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// TestAnOrganizationsSQLIsVouchedFor checks what a document of an org is told of a
// statement that the analyzer cannot follow.
func TestAnOrganizationsSQLIsVouchedFor(t *testing.T) {
	p, _ := checkedPlanner(t)
	for sql, want := range map[string]string{
		"SELECT COUNT(*) AS n FROM mine":             "warning: steps[0].config.sql: nothing declares the table mine: its columns are not checked",
		"SELECT x FROM mine":                         "steps[0].config.sql: cannot be checked, because nothing declares the columns of mine, so that a document of an organization may not run it: declare them in schemas/mine.json beside the document",
		"DELETE FROM openai_cost_daily WHERE TRUE":   "steps[0].config.sql: must be one SELECT: a document of an organization runs no other statement",
		"SELECT 1 AS n FROM mine, `other.billing.t`": "steps[0].config.sql: the table other.billing.t is not in the organization's dataset; a document of an organization reads no other",
	} {
		file := configs.File{Name: "p.yml", ID: "openai/cost/p", Org: "acme"}
		file.Text = []byte("pipeline_id: p\nsteps:\n  - {step_id: a, ps_type: bq_transformer, destination: t, config: {sql: \"" + sql + "\"}}\n")
		said := p.Validate(t.Context(), file)
		got := ""
		for _, one := range said {
			got += one.String() + "\n"
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
		if strings.HasPrefix(want, "warning") != (said.Err() == nil) {
			t.Errorf("%s: error is %v", sql, said.Err())
		}
	}
}

func TestShippedSQLFitsTheShippedTables(t *testing.T) {
	p, catalog := checkedPlanner(t)
	for _, id := range catalog.List() {
		file, _ := catalog.ByPath(id)
		for _, problem := range p.Validate(t.Context(), file).Strict() {
			if problem.Severity == configs.SeverityError {
				t.Error(problem)
			}
		}
	}
}

// twentySteps is a pipeline of twenty SQL steps, each over the table of the one before.
func twentySteps() configs.File {
	var b strings.Builder
	b.WriteString("pipeline_id: p\nsteps:\n")
	from := "openai_cost_daily"
	for _, letter := range "abcdefghijklmnopqrst" {
		b.WriteString("  - step_id: " + string(letter) + "\n    ps_type: bq_transformer\n    config:\n      destination_table: t_" + string(letter) +
			"\n      sql: |\n        SELECT usage_date, model, SUM(total_cost_usd) AS total_cost_usd\n        FROM `{project}.{dataset}." + from +
			"`\n        WHERE usage_date = DATE '{date}'\n        GROUP BY usage_date, model\n")
		from = "t_" + string(letter)
	}
	return configs.File{Name: "p.yml", Text: []byte(b.String())}
}

func BenchmarkValidateTwentyStepsOfSQL(b *testing.B) {
	p, _ := checkedPlanner(b)
	file := twentySteps()
	if err := p.Validate(b.Context(), file).Err(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := p.Validate(b.Context(), file).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAVerdictHoldsAsLongAsTheTablesDo(t *testing.T) {
	c := newSQLChecker()
	ask := func(sql string, tables map[string][]configs.SQLColumn) string {
		t.Helper()
		r := c.Check(t.Context(), configs.SQLRequest{SQL: sql, Project: "p", Dataset: "d", Tables: tables})
		out := ""
		for _, p := range r.Problems {
			out += p.Message
		}
		return out
	}
	const sql = "SELECT a FROM t"
	a := map[string][]configs.SQLColumn{"p.d.t": {{Name: "a", Type: "INT64"}}, "p.d.other": nil}
	b := map[string][]configs.SQLColumn{"p.d.t": {{Name: "b", Type: "INT64"}}}
	for range 2 {
		if got := ask(sql, a); got != "" {
			t.Errorf("with column a: %s", got)
		}
		if got := ask(sql, b); !strings.Contains(got, "Unrecognized name: a") {
			t.Errorf("without column a: %q", got)
		}
		if got := ask(sql, nil); !strings.Contains(got, "nothing declares the table t") {
			t.Errorf("without the table: %q", got)
		}
	}
}
