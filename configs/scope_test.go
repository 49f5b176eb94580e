package configs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudact/convergence/configs"
)

// resolve returns the text of the key x of a document.
func resolve(t *testing.T, text string, env configs.Environment) (string, configs.Problems) {
	t.Helper()
	tree, problems := configs.Parse(file(text))
	if tree == nil {
		t.Fatal(problems)
	}
	doc, _ := configs.Normalise(tree)
	scope := configs.NewScope(doc, env).Step("load", nil, "steps[0]")
	problems = configs.CheckNames(scope)
	r, more := configs.Resolve(configs.Member(doc.Root, "x"), "x", scope, nil)
	return r.Root.Value, append(problems, more...)
}

func TestEveryBuiltInVariableHasItsValue(t *testing.T) {
	env := environment(nil)
	env.AdminEmail, env.ProjectID = "a@example.com", "their-project"
	want := map[string]string{
		"org_slug": "acme", "provider": "openai", "domain": "cost", "template_name": "t", "pipeline_id": "acme-openai-cost-t",
		"pipeline_logging_id": "run-1", "run_id": "run-1", "step_id": "load", "project": "my-project", "dataset": "acme_development",
		"env": "development", "date": "2026-01-01", "start_date": "2026-01-01", "end_date": "2026-01-02",
		"start_ts": "1767225600", "end_ts": "1767398400", "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-03T00:00:00Z",
		"now": "2026-01-03T04:05:06Z", "admin_email": "a@example.com", "project_id": "their-project", "gcp_project_id": "their-project",
	}
	for name, value := range want {
		for _, spelling := range []string{"{" + name + "}", "{{ " + name + " }}"} {
			got, problems := resolve(t, "x: \""+spelling+"\"\n", env)
			if got != value || len(problems) > 0 {
				t.Errorf("%s is %q, want %q; %v", spelling, got, value, problems)
			}
		}
	}
}

func TestVariablesResolveThroughEachOther(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"self-naming means the outer one", "variables: {org_slug: \"{org_slug}\", who: \"{org_slug}!\"}\nx: \"{who}\"\n", "acme!"},
		{"parameters are seen from variables", "variables: {a: \"{b}-a\"}\nparameters: {b: 7}\nx: \"{a}\"\n", "7-a"},
		{"parameters win over variables", "variables: {a: one}\nparameters: {a: two}\nx: \"{a}\"\n", "two"},
		{"run parameters win over both", "parameters: {p: two}\nx: \"{p}\"\n", "given"},
		{"a default stands in for nothing", "parameters: {q: }\nx: \"{{ q | default('none') }}\"\n", "none"},
		{"a project of the document wins over the integration's", "variables: {project_id: mine}\nx: \"{project_id}\"\n", "mine"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, problems := resolve(t, c.text, environment(map[string]string{"p": "given"}))
			if got != c.want || len(problems) > 0 {
				t.Errorf("got %q, want %q; %v", got, c.want, problems)
			}
		})
	}
}

func TestWrongVariablesAreNamedWithTheirPlace(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"unknown", "x: a {start_dat}\n", `p.yml:1:6: x: unknown variable "start_dat"; did you mean "start_date"?`},
		{"a circle", "variables:\n  a: \"{b}\"\n  b: \"{a}\"\nx: \"{a}\"\n", "p.yml:2:7: variables.a: variables define each other in a circle: a -> b -> a"},
		{"a reserved name", "variables:\n  dataset: other\nx: \"{dataset}\"\n", `p.yml:2:12: variables.dataset: is set by the run and cannot be declared otherwise than as "{dataset}"`},
		{"no value", "variables: {a: }\nx: \"{a}\"\n", `p.yml:2:5: x: variable "a" has no value; set it with --var a=VALUE or in the run's parameters`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, problems := resolve(t, c.text, environment(nil))
			if got := problems.Sorted().Error(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestDatesOfARun(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("east", 3600))
	cases := []struct{ name, params, declared, want string }{
		{"none means yesterday UTC", "", "", "2026-02-27 2026-02-27"},
		{"date sets both", "date=2026-01-05", "", "2026-01-05 2026-01-05"},
		{"start alone sets the end", "start_date=2026-01-05", "", "2026-01-05 2026-01-05"},
		{"a range", "start_date=2026-01-05 end_date=2026-01-07", "", "2026-01-05 2026-01-07"},
		{"defaults of the document", "", "{start_date: 2026-01-01, end_date: 2026-01-02}", "2026-01-01 2026-01-02"},
		{"a run wins over them", "date=2026-02-02", "{start_date: 2026-01-01, end_date: 2026-01-02}", "2026-02-02 2026-02-02"},
		{"date with a range is refused", "date=2026-01-05 end_date=2026-01-07", "", "p.yml: date is given together with start_date or end_date; give either date or a range"},
		{"end alone is refused", "end_date=2026-01-07", "", "p.yml: end_date is given without start_date"},
		{"backwards is refused", "start_date=2026-01-07 end_date=2026-01-05", "", "p.yml: end_date 2026-01-05 is before start_date 2026-01-07"},
		{"no date is refused", "date=2026-02-30", "", `p.yml: date "2026-02-30" is no date; write it as YYYY-MM-DD`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			params := map[string]string{"other": "1"}
			for _, pair := range strings.Fields(c.params) {
				k, v, _ := strings.Cut(pair, "=")
				params[k] = v
			}
			text := "a: 1\n"
			if c.declared != "" {
				text = "parameters: " + c.declared + "\n"
			}
			tree, _ := configs.Parse(file(text))
			doc, _ := configs.Normalise(tree)
			start, end, rest, problems := configs.Range(doc, params, now)
			got := start.String() + " " + end.String()
			if len(problems) > 0 {
				got = problems.Error()
			}
			if got != c.want || len(rest) != 1 {
				t.Errorf("got %s with %v, want %s", got, rest, c.want)
			}
		})
	}
}
