package plan_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

func threeDays(r *plan.Request) {
	r.Start, r.End = civil.Date{Year: 2026, Month: 1, Day: 30}, civil.Date{Year: 2026, Month: 2, Day: 1}
}

func TestSlicesFollowTheVariablesOfAStep(t *testing.T) {
	const extractor = head + "steps: [{step_id: a, ps_type: generic.api_extractor, config: {url: \"https://x.example.com/v1\", data_path: data, params: {%s}%s}, destination: {table: t, write_mode: %s}}]\n"
	sql := func(text, mode string) string {
		return head + "steps: [{step_id: a, ps_type: generic.local_bq_transformer, config: {sql: \"" + text + "\"}, destination: {table: t, write_mode: " + mode + ", schema_ref: openai/cost/openai_cost_daily}}]\n"
	}
	api := func(params, more, mode string) string {
		text := extractor
		for _, part := range []string{params, more, mode} {
			text = replaceOnce(text, part)
		}
		return text
	}
	cases := []struct {
		name, text string
		want       int
	}{
		{"date", api(`day: "{date}"`, "", "replace_partition"), 3},
		{"start and no end", api(`from: "{start_date}"`, "", "replace_partition"), 3},
		{"start and end of an extractor", api(`from: "{start_ts}", to: "{end_ts}"`, "", "replace_partition"), 3},
		{"start and end with window: range", api(`from: "{start_ts}", to: "{end_ts}"`, ", window: range", "replace_partition"), 1},
		{"no dates", api(`a: b`, "", "replace_partition"), 1},
		{"overwrite", api(`from: "{start_ts}", to: "{end_ts}"`, "", "overwrite"), 1},
		{"SQL with a date", sql("SELECT '{date}'", "replace_partition"), 3},
		{"SQL with a range", sql("SELECT '{start_date}', '{end_date}'", "replace_partition"), 1},
		{"a processor that works by day", head + "steps: [{step_id: a, ps_type: openai.usage}]\n", 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			step := planText(t, c.text, threeDays).Steps[0]
			if len(step.Units) != c.want {
				t.Fatalf("%d slices, want %d", len(step.Units), c.want)
			}
			first, last := step.Units[0], step.Units[len(step.Units)-1]
			if first.Start.String() != "2026-01-30" || last.End.String() != "2026-02-02" {
				t.Errorf("slices go from %s to %s, end exclusive", first.Start, last.End)
			}
		})
	}
}

func replaceOnce(text, part string) string {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '%' && text[i+1] == 's' {
			return text[:i] + part + text[i+2:]
		}
	}
	return text
}

func TestEachSliceHasItsOwnConfigAndStatement(t *testing.T) {
	got := planText(t, head+"steps: [{step_id: a, ps_type: generic.local_bq_transformer, config: {sql: \"SELECT '{date}'\"}, destination: {table: t, write_mode: replace_partition, schema_ref: openai/cost/openai_cost_daily}}]\n", threeDays)
	for i, want := range []string{"2026-01-30", "2026-01-31", "2026-02-01"} {
		u := got.Steps[0].Units[i]
		if u.Statement.SQL != "SELECT @date" || len(u.Statement.Params) != 1 || u.Statement.Params[0].Value != want {
			t.Errorf("slice %d runs %q with %+v", i, u.Statement.SQL, u.Statement.Params)
		}
	}
}

func TestUnitsAreTheSameForTheSameRowsOnly(t *testing.T) {
	const text = head + "parameters: {model: a, note: n}\nsteps: [{step_id: a, ps_type: generic.api_extractor, config: {url: \"https://x.example.com/v1\", data_path: data, params: {model: \"{model}\", at: \"{now}\", day: \"{date}\"}}, destination: {table: t, write_mode: replace_partition}}]\n"
	base := planText(t, text, nil).Steps[0]
	if id := base.Units[0].ID; len(id) != 24 {
		t.Errorf("unit id %q has not 24 digits", id)
	}
	same := map[string]func(*plan.Request){
		"another run":                   func(r *plan.Request) { r.RunID, r.Now = "other", now.Add(60) },
		"a parameter that is not used":  func(r *plan.Request) { r.Params = map[string]string{"note": "m"} },
		"a refresh":                     func(r *plan.Request) { r.Params = map[string]string{"force_refresh": "true"} },
		"the same parameter explicitly": func(r *plan.Request) { r.Params = map[string]string{"model": "a"} },
		"the same day explicitly":       func(r *plan.Request) { r.Params = map[string]string{"date": "2026-11-22"} },
	}
	for name, change := range same {
		if got := planText(t, text, change).Steps[0]; got.Units[0].ID != base.Units[0].ID || got.ConfigHash != base.ConfigHash {
			t.Errorf("%s changes the unit or its hash", name)
		}
	}
	different := map[string]func(*plan.Request){
		"another org":      func(r *plan.Request) { r.Org = "other" },
		"another dataset":  func(r *plan.Request) { r.Dataset = "acme_prod" },
		"another day":      func(r *plan.Request) { r.Params = map[string]string{"date": "2026-11-21"} },
		"another pipeline": func(r *plan.Request) { r.Source.ID = "openai/cost/q" },
	}
	for name, change := range different {
		if got := planText(t, text, change).Steps[0]; got.Units[0].ID == base.Units[0].ID {
			t.Errorf("%s keeps the unit", name)
		}
	}
}

// narrowable is an extractor that a parameter narrows.
func narrowable(destination string) string {
	return head + "parameters: {model: a}\nsteps: [{step_id: a, ps_type: generic.api_extractor, config: {url: \"https://x.example.com/v1\", data_path: data, params: {model: \"{model}\", day: \"{date}\"}}, destination: {table: t, " + destination + "}}]\n"
}

func other(r *plan.Request) { r.Params = map[string]string{"model": "b"} }

func TestAParameterBelongsToTheUnitOnlyWhereRunsDoNotReplaceEachOther(t *testing.T) {
	for destination, apart := range map[string]bool{
		"write_mode: append":                                                  true,
		"write_mode: insert_new, key_fields: [raw_data]":                      true,
		`write_mode: replace_partition, replace_scope: {raw_data: "{model}"}`: false,
		"write_mode: overwrite":                                               false,
	} {
		one, two := planText(t, narrowable(destination), nil).Steps[0], planText(t, narrowable(destination), other).Steps[0]
		if one.ConfigHash == two.ConfigHash {
			t.Errorf("%s: another parameter keeps the hash", destination)
		}
		if got := one.Units[0].ID != two.Units[0].ID; got != apart {
			t.Errorf("%s: another parameter makes another unit: %v", destination, got)
		}
	}
}

func TestANarrowedRunCannotReplaceTheWholeSlice(t *testing.T) {
	refused := func(destination string, change func(*plan.Request)) bool {
		r := request(configs.File{Name: "p.yml", Text: []byte(narrowable(destination)), ID: "openai/cost/p"})
		if change != nil {
			change(&r)
		}
		_, err := planner(t).Plan(context.Background(), r)
		return err != nil && strings.Contains(err.Error(), "replace_scope: is required")
	}
	same := func(r *plan.Request) { r.Params = map[string]string{"model": "a"} }
	for name, c := range map[string]struct {
		destination string
		change      func(*plan.Request)
		want        bool
	}{
		"the document's own value":       {"write_mode: replace_partition", nil, false},
		"the same value said explicitly": {"write_mode: replace_partition", same, false},
		"another value":                  {"write_mode: replace_partition", other, true},
		"another value with a scope":     {`write_mode: replace_partition, replace_scope: {raw_data: "{model}"}`, other, false},
		"another value of append":        {"write_mode: append", other, false},
	} {
		if got := refused(c.destination, c.change); got != c.want {
			t.Errorf("%s: refused is %v", name, got)
		}
	}
}

func TestUnderOverwriteTheUnitIsTheTable(t *testing.T) {
	const text = head + "steps: [{step_id: %s, ps_type: generic.api_extractor, config: {url: \"https://x.example.com/v1\", data_path: data, params: {from: \"{start_ts}\", to: \"{end_ts}\"}}, destination: {table: t, write_mode: overwrite}}]\n"
	one := planText(t, replaceOnce(text, "a"), nil).Steps[0]
	days := planText(t, replaceOnce(text, "a"), threeDays).Steps[0]
	step := planText(t, replaceOnce(text, "b"), nil).Steps[0]
	if one.Units[0].ID != days.Units[0].ID || one.Units[0].ID != step.Units[0].ID {
		t.Error("two statements of one table are two units")
	}
	if one.ConfigHash == days.ConfigHash {
		t.Error("another interval keeps the hash")
	}
}

func TestTheLimitOfAStatementIsKnown(t *testing.T) {
	for sql, want := range map[string]int64{
		"SELECT 1 LIMIT 10":                        10,
		"SELECT 1 LIMIT 10 OFFSET 2":               10,
		"SELECT 1 FROM (SELECT 2 LIMIT 3)":         0,
		"SELECT 1 ORDER BY 1 LIMIT 7;":             7,
		"SELECT 'LIMIT 5'":                         0,
		"SELECT 1":                                 0,
		"SELECT 1 FROM (SELECT 2 LIMIT 3) LIMIT 4": 4,
	} {
		text := head + "steps: [{step_id: a, ps_type: generic.local_bq_transformer, config: {sql: \"" + sql + "\"}, destination: {table: t, write_mode: overwrite, schema_ref: openai/cost/openai_cost_daily}}]\n"
		if got := planText(t, text, nil).Steps[0].Units[0].Limit; got != want {
			t.Errorf("%s: limit %d, want %d", sql, got, want)
		}
	}
}

func TestAnExtractorWithoutSchemaLandsItsEnvelope(t *testing.T) {
	step := planText(t, head+"steps: [{step_id: a, ps_type: generic.api_extractor, config: {url: \"https://x.example.com/v1\", data_path: data, transform: {add_fields: {source_api: x}}}, destination: {table: t, write_mode: overwrite}}]\n", nil).Steps[0]
	want := []string{"org_slug", "usage_date", "raw_data", "extracted_at", "source_api"}
	if got := step.Schema.Fields.Names(); len(got) != len(want) || got[4] != want[4] || !step.Schema.Fields[0].Required {
		t.Errorf("columns are %v, want %v", got, want)
	}
}

func TestADisabledStepIsSkippedAndSatisfiesItsDependents(t *testing.T) {
	got := planText(t, head+"variables: {use_org_credentials: \"false\"}\nsteps:\n  - {step_id: a, ps_type: openai.usage, enabled: \"{use_org_credentials}\"}\n  - {step_id: b, ps_type: openai.usage, destination: other}\n", nil)
	if !got.Steps[0].Skip || got.Steps[1].Skip || got.Steps[1].DependsOn[0] != "a" {
		t.Errorf("steps are %+v, %+v", got.Steps[0], got.Steps[1])
	}
}

func TestStepsComeAfterWhatTheyDependOn(t *testing.T) {
	got := planText(t, head+"steps:\n  - {step_id: late, ps_type: openai.usage, depends_on: early, destination: x}\n  - {step_id: early, ps_type: openai.usage, depends_on: [], destination: y}\n", nil)
	if got.Steps[0].ID != "early" || got.Steps[0].Index != 1 {
		t.Errorf("order is %s, %s", got.Steps[0].ID, got.Steps[1].ID)
	}
}

// tables is a SQL check that finds what it is told and remembers what it was asked.
type tables struct {
	asked []configs.SQLRequest
	found configs.SQLResult
}

func (c *tables) Check(_ context.Context, r configs.SQLRequest) configs.SQLResult {
	c.asked = append(c.asked, r)
	return c.found
}

func TestFindingsOfTheSQLCheckPointIntoTheDocument(t *testing.T) {
	const own, shipped = "sample-project.sample_org_development.t", "sample-project.sample_org_development.openai_cost_daily"
	text := head + "steps:\n  - step_id: a\n    ps_type: bq_transformer\n    config:\n      destination_table: t\n      sql: |\n        SELECT '{org_slug}',\n               missing FROM x\n"
	cases := []struct {
		kind  configs.SQLKind
		reads []string
		table string
		want  string
	}{
		{configs.SQLMistake, []string{shipped}, "", "p.yml:9:15: steps[0].config.sql: m"},
		{configs.SQLMismatch, []string{own}, "", "p.yml:9:15: steps[0].config.sql: m"},
		{configs.SQLMismatch, []string{own, shipped}, "", "p.yml:9:15: warning: steps[0].config.sql: m"},
		{configs.SQLNoTable, nil, "elsewhere", "p.yml:9:15: warning: steps[0].config.sql: m"},
		{configs.SQLNoTable, nil, own, ""},
		{configs.SQLUnknown, nil, "", "p.yml:9:15: warning: steps[0].config.sql: m"},
	}
	for _, c := range cases {
		check := &tables{found: configs.SQLResult{Reads: c.reads, Problems: []configs.SQLProblem{{Kind: c.kind, Line: 2, Col: 7, Message: "m", Table: c.table}}}}
		p := plan.New(plan.Deps{Catalog: catalog(t), Processors: compile.Processors(), SQL: check})
		found := slices.DeleteFunc(p.Validate(context.Background(), configs.File{Name: "p.yml", Text: []byte(text)}), func(p configs.Problem) bool { return p.Message != "m" })
		if found.Error() != c.want {
			t.Errorf("kind %d over %v: got %q, want %q", c.kind, c.reads, found.Error(), c.want)
		}
		if _, ok := check.asked[0].Tables[shipped]; !ok || len(check.asked) != 1 {
			t.Errorf("asked %d times about %d tables, want once with openai_cost_daily among them", len(check.asked), len(check.asked[0].Tables))
		}
	}
}

func TestColumnsOfAResultAreThoseOfItsTableForLaterSteps(t *testing.T) {
	check := &tables{found: configs.SQLResult{Columns: []configs.SQLColumn{{Name: "n", Type: "INT64"}}}}
	p := plan.New(plan.Deps{Catalog: catalog(t), Processors: compile.Processors(), SQL: check})
	text := head + "steps:\n  - {step_id: a, ps_type: bq_transformer, config: {sql: SELECT 1 AS n, destination_table: one}}\n  - {step_id: b, ps_type: bq_transformer, config: {sql: SELECT n FROM one, destination_table: two}}\n"
	if problems := p.Validate(context.Background(), configs.File{Name: "p.yml", Text: []byte(text)}); problems.Err() != nil {
		t.Fatal(problems)
	}
	if got := check.asked[1].Tables["sample-project.sample_org_development.one"]; len(got) != 1 || got[0].Name != "n" {
		t.Errorf("the second step is checked against %v", got)
	}
}

func BenchmarkValidateWarm(b *testing.B) {
	f, _ := catalog(b).Find("openai", "cost", "usage_cost")
	p := planner(b)
	if problems := p.Validate(context.Background(), f); len(problems) > 0 {
		b.Fatal(problems)
	}
	for b.Loop() {
		if problems := p.Validate(context.Background(), f); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
