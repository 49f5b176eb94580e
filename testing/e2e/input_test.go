package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documents are pipelines with one thing wrong, and what is said about it.
var documents = map[string]struct{ text, want string }{
	"typo_in_a_key.yml": {`pipeline_id: p
steps:
  - step_id: extract
    ps_type: openai.usage
    config:
      destination_tabel: usage
`, `typo_in_a_key.yml:6:7: steps[0].config.destination_tabel: unknown key; did you mean "destination_table"?`},
	"unknown_processor.yml": {`pipeline_id: p
steps:
  - step_id: extract
    ps_type: openai.usages
    destination: usage
`, `unknown_processor.yml:4:14: steps[0].ps_type: there is no processor "openai.usages"`},
	"cycle.yml": {`pipeline_id: p
steps:
  - step_id: first
    ps_type: openai.usage
    depends_on: second
    destination: one
  - step_id: second
    ps_type: openai.usage
    depends_on: first
    destination: two
`, `cycle.yml:5:17: steps[0].depends_on: steps depend on each other in a circle: first -> second -> first`},
	"unset_variable.yml": {`pipeline_id: p
parameters:
  region:
steps:
  - step_id: extract
    ps_type: generic.api_extractor
    config:
      url: https://api.openai.com/v1/things
      params:
        region: "{region}"
    destination:
      table: things
      write_mode: overwrite
`, `unset_variable.yml:10:18: steps[0].config.params.region: variable "region" has no value; set it with --var region=VALUE`},
	"wrong_type.yml": {`pipeline_id: p
timeout_minutes: soon
steps:
  - step_id: extract
    ps_type: openai.usage
    destination: usage
`, `wrong_type.yml:2:18: timeout_minutes: must be a whole number, not "soon"`},
	"no_yaml.yml": {"pipeline_id: [p\n", "no_yaml.yml:"},
	"empty.yml":   {"", "empty.yml:"},
}

func TestAWrongDocumentIsOneLineAndStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	for name, document := range documents {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(document.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"run", name, "--org", "acme", "--date", "2026-08-19"}, {"validate", name}, {"graph", name}} {
			t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
				if args[0] == "validate" && name == "unset_variable.yml" {
					return // the value is due when it runs
				}
				checkRefusal(t, w, invocation{args: args}, 1, document.want)
			})
		}
	}
}

// checkRefusal wants one line on standard error, an exit code, and nothing started.
func checkRefusal(t *testing.T, w *world, in invocation, code int, want string) {
	t.Helper()
	got := w.do(in)
	if got.code != code {
		t.Errorf("exit code %d, want %d", got.code, code)
	}
	if got.stdout != "" {
		t.Errorf("standard output: %s", got.stdout)
	}
	line, whole := strings.CutSuffix(got.stderr, "\n")
	if !whole || strings.Contains(line, "\n") || !strings.Contains(line, want) {
		t.Errorf("standard error is\n%swant one line with\n%s", got.stderr, want)
	}
	if _, err := os.Stat(w.data); !os.IsNotExist(err) {
		t.Errorf("the data directory exists: %v", err)
	}
	if n := len(w.simulator.Requests()); n > 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestWrongInputIsOneLineAndStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	for name, c := range map[string]struct {
		in   invocation
		code int
		want string
	}{
		"run: missing file":          {invocation{args: []string{"run", "nowhere.yml"}}, 1, "nowhere.yml: no such file, and no pipeline of that name; there are: "},
		"run: unknown pipeline":      {invocation{args: []string{"run", "openai/cost/nothing"}}, 1, "openai/cost/nothing: no such file, and no pipeline"},
		"run: no pipeline":           {invocation{args: []string{"run"}}, 2, `accepts 1 arg(s), received 0; see "convergence run --help"`},
		"run: unknown flag":          {invocation{args: []string{"run", usageCost, "--dta", "x"}}, 2, "unknown flag: --dta"},
		"run: no such day":           {invocation{args: []string{"run", usageCost, "--date", "2026-02-30"}}, 2, `--date is "2026-02-30"; write it as YYYY-MM-DD`},
		"run: day and range":         {invocation{args: []string{"run", usageCost, "--date", "2026-02-03", "--from", "2026-02-01"}}, 1, "either date or a range"},
		"run: range backwards":       {invocation{args: []string{"run", usageCost, "--from", "2026-02-03", "--to", "2026-02-01"}}, 1, "end_date 2026-02-01 is before start_date 2026-02-03"},
		"run: no such runner":        {invocation{args: []string{"run", usageCost, "--runner", "spark"}}, 2, `--runner is "spark"; it must be prism, direct or dataflow`},
		"run: var without value":     {invocation{args: []string{"run", usageCost, "--var", "region"}}, 2, `--var is "region"; write it as name=value`},
		"run: undeclared var":        {invocation{args: []string{"run", usageCost, "--var", "region=eu"}}, 1, "parameter region: is not declared by this pipeline"},
		"run: no organisation":       {invocation{args: []string{"run", usageCost, "--org", "Acme Corp"}}, 2, `--org is "Acme Corp"; slugs are 3 to 50 lower-case letters, digits and underscores`},
		"validate: missing file":     {invocation{args: []string{"validate", "nowhere.yml"}}, 1, "nowhere.yml: no such file or folder, and no shipped pipeline of that name"},
		"validate: nothing":          {invocation{args: []string{"validate"}}, 2, "name at least one file"},
		"graph: missing file":        {invocation{args: []string{"graph", "nowhere.yml"}}, 1, "nowhere.yml: no such file or folder"},
		"graph: no such format":      {invocation{args: []string{"graph", usageCost, "--format", "svg"}}, 2, `--format is "svg"; it must be text, dot, mermaid or json`},
		"processors: no such":        {invocation{args: []string{"processors", "openai.usages"}}, 1, `unknown processor "openai.usages"; there are generic.api_extractor`},
		"processors: no such format": {invocation{args: []string{"processors", "--format", "html"}}, 2, `--format is "html"; for the list it must be text or md`},
		"report: no such key":        {invocation{args: []string{"report", "--by", "colour"}}, 2, `--by is "colour"; it must be one of day, key, model`},
		"report: no such day":        {invocation{args: []string{"report", "--to", "tomorrow"}}, 2, `--to is "tomorrow"; write it as YYYY-MM-DD`},
		"report: no organisation":    {invocation{args: []string{"report", "--org", "A"}}, 2, `--org is "A"`},
		"sql: no such output":        {invocation{args: []string{"sql", "SELECT 1", "--output", "xml"}}, 2, `--output is "xml"; it must be text, json or csv`},
		"sql: no organisation":       {invocation{args: []string{"sql", "SELECT 1", "--org", "a`b"}}, 2, "--org is \"a`b\""},
		"sql: no statement":          {invocation{args: []string{"sql"}}, 2, "accepts 1 arg(s), received 0"},
		"credentials: unknown provider": {
			invocation{stdin: "sk-1", args: []string{"credentials", "set", "OPENAPI", "-"}}, 1, `unknown provider "OPENAPI"; there are ANTHROPIC`,
		},
		"credentials: key of another provider": {
			invocation{stdin: "AIza-0123", args: []string{"credentials", "set", "OPENAI", "-"}}, 1, "this is no key of OPENAI: they begin with sk-",
		},
		"credentials: from nowhere":    {invocation{args: []string{"credentials", "set", "OPENAI"}}, 2, "say where the secret comes from: --from-env NAME, --from-file FILE or -"},
		"credentials: from two places": {invocation{stdin: "sk-1", args: []string{"credentials", "set", "OPENAI", "-", "--from-env", "HOME"}}, 2, "only one of them"},
		"credentials: unset variable":  {invocation{args: []string{"credentials", "set", "OPENAI", "--from-env", "NOT_SET"}}, 1, "the environment variable NOT_SET is empty"},
		"credentials: missing file":    {invocation{args: []string{"credentials", "set", "OPENAI", "--from-file", "nowhere"}}, 1, "read secret: open nowhere: no such file"},
		"credentials: empty":           {invocation{stdin: "\n", args: []string{"credentials", "set", "OPENAI", "-"}}, 1, "the secret is empty"},
		"credentials: no organisation": {invocation{stdin: "sk-1", args: []string{"credentials", "set", "OPENAI", "-", "--org", "../x"}}, 2, `--org is "../x"`},
		"credentials: unknown to delete": {
			invocation{args: []string{"credentials", "delete", "OPENAPI"}}, 1, `unknown provider "OPENAPI"; there are ANTHROPIC`,
		},
		"credentials: unknown verb": {invocation{args: []string{"credentials", "show"}}, 2, `unknown command "show"; there are set, validate, list and delete`},
		"serve: no warehouse":       {invocation{args: []string{"serve"}}, 1, "no warehouse is configured: set GCP_PROJECT_ID, or use --local"},
		"serve: no organisation":    {invocation{args: []string{"serve", "--local", "--org", "Acme"}}, 2, `--org is "Acme"`},
		"serve: no address":         {invocation{args: []string{"serve", "--local", "--addr", "nowhere"}}, 1, "listen: listen tcp: address nowhere: missing port"},
		"serve: another warehouse": {
			invocation{environ: []string{"GCP_PROJECT_ID=prod"}, args: []string{"serve", "--local"}}, 1, "unset GCP_PROJECT_ID and CONVERGENCE_BIGQUERY_ENDPOINT",
		},
		"job: no spec":      {invocation{args: []string{"job"}}, 2, "--spec is missing"},
		"job: missing spec": {invocation{args: []string{"job", "--spec", "nowhere/spec.json"}}, 1, "read spec: stat nowhere/spec.json: no such file"},
		"no such command":   {invocation{args: []string{"rnu", usageCost}}, 2, `unknown command "rnu"`},
		"unknown setting": {
			invocation{environ: []string{"CONVERGENCE_DATADIR=/tmp"}, args: []string{"run", usageCost}}, 2, "CONVERGENCE_DATADIR is not a setting; there are CONVERGENCE_BIGQUERY_ENDPOINT",
		},
		"unknown environment": {invocation{environ: []string{"ENVIRONMENT=test"}, args: []string{"version"}}, 2, `ENVIRONMENT is "test"; it must be one of development, staging, production`},
		"unknown log level":   {invocation{environ: []string{"LOG_LEVEL=LOUD"}, args: []string{"version"}}, 2, `LOG_LEVEL is "LOUD"; it must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL`},
	} {
		t.Run(name, func(t *testing.T) {
			checkRefusal(t, w, c.in, c.code, c.want)
			for _, path := range []string{"nowhere", "nowhere.yml", ".convergence"} {
				if _, err := os.Stat(filepath.Join(w.dir, path)); err == nil {
					t.Errorf("%s was made", path)
				}
			}
		})
	}
}

func TestProductionNamesEveryReasonAndStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	got := w.do(invocation{environ: []string{"ENVIRONMENT=production", "DISABLE_AUTH=true", "DEFAULT_ORG_SLUG=acme"}, args: []string{"serve", "--local"}})
	want := []string{
		"--local is refused when ENVIRONMENT=production", "CA_ROOT_API_KEY is not set", "DISABLE_AUTH is set", "set KMS_KEY_NAME", "CORS_ORIGINS is not set", "the embedded warehouse is for development",
	}
	if lines := strings.Count(got.stderr, "\n"); got.code != 1 || got.stdout != "" || lines != len(want) {
		t.Errorf("exit code %d, %d lines, want 1 and %d\n%s%s", got.code, lines, len(want), got.stdout, got.stderr)
	}
	for _, reason := range want {
		if strings.Count(got.stderr, reason) != 1 {
			t.Errorf("%q is not said once in\n%s", reason, got.stderr)
		}
	}
	if _, err := os.Stat(w.data); !os.IsNotExist(err) {
		t.Errorf("the data directory exists: %v", err)
	}
}

func TestEveryProblemOfADocumentIsALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	text := "pipeline_id: p\ntimeout_minutes: soon\nsteps:\n  - step_id: a\n    ps_type: openai.usages\n    on_failure: explode\n"
	if err := os.WriteFile(filepath.Join(w.dir, "p.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"run", "validate", "graph"} {
		got := w.run(verb, "p.yml")
		for _, place := range []string{"p.yml:2:18: timeout_minutes: ", "p.yml:5:14: steps[0].ps_type: ", "p.yml:6:17: steps[0].on_failure: "} {
			if got.code != 1 || strings.Count(got.stderr, "\n"+place)+strings.Count(got.stderr[:min(len(got.stderr), len(place))], place) != 1 {
				t.Errorf("%s: exit code %d, want %s... in\n%s", verb, got.code, place, got.stderr)
			}
		}
	}
}
