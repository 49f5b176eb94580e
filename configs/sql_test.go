package configs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/adhocore/gronx"
	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

func environment(params map[string]string) configs.Environment {
	return configs.Environment{
		Org: "acme", Env: "development", Project: "my-project", Dataset: "acme_development", Provider: "openai", Domain: "cost",
		Template: "t", RunID: "run-1", Params: params, Now: time.Date(2026, 1, 3, 4, 5, 6, 0, time.UTC),
		Start: civil.Date{Year: 2026, Month: 1, Day: 1}, End: civil.Date{Year: 2026, Month: 1, Day: 2},
	}
}

// render resolves the template under the key sql of a document with declared variables.
func render(t *testing.T, template string, params map[string]string) (*configs.Statement, configs.Problems) {
	t.Helper()
	text := "variables:\n  org_slug: \"{org_slug}\"\n  city: Zurich\n  source: other-project.billing.export\n  part: month\n  top: 10\n  rate: \"0.5\"\n  ten: \"10\"\n  evil: \"a` b\"\n  view: v\n  from_run:\nsql: |\n  " +
		strings.ReplaceAll(template, "\n", "\n  ") + "\n"
	tree, problems := configs.Parse(file(text))
	if tree == nil {
		t.Fatal(problems)
	}
	doc, _ := configs.Normalise(tree)
	sql := configs.Member(doc.Root, "sql")
	statement, _, problems := configs.NewScope(doc, environment(params)).SQL(sql, "sql")
	return statement, problems
}

func TestSQLTemplatesAreLexedNeverSpliced(t *testing.T) {
	cases := []struct{ name, template, want, params string }{
		{"a whole literal is a parameter", "SELECT '{city}', \"{{ city }}\"", "SELECT @city, @city_2", "city STRING Zurich; city_2 STRING Zurich"},
		{"the same spelling is one parameter", "SELECT '{city}', '{city}'", "SELECT @city, @city", "city STRING Zurich"},
		{"inside a literal it is a CONCAT", "SELECT 'in {city}!', r'%{city}'", "SELECT CONCAT('in ', @city, '!'), CONCAT(r'%', @city)", "city STRING Zurich"},
		{"filters are applied before", "SELECT '{{ city | upper | replace('Z', 'z') }}'", "SELECT @city_upper_replace", "city_upper_replace STRING zURICH"},
		{"after DATE it is a CAST", "WHERE d = DATE '{start_date}' AND t < timestamp \"{end_time}\"", "WHERE d = CAST(@start_date AS DATE) AND t < CAST(@end_time AS TIMESTAMP)", "start_date STRING 2026-01-01; end_time STRING 2026-01-03T00:00:00Z"},
		{"inside a DATE literal it is a CAST of a CONCAT", "SELECT DATE '{date}T'", "SELECT CAST(CONCAT(@date, 'T') AS DATE)", "date STRING 2026-01-01"},
		{"in backticks it is a name", "FROM `{project}.{dataset}.t`", "FROM `my-project.acme_development.t`", ""},
		{"after FROM and JOIN it is a name", "SELECT 1 FROM {source} AS a JOIN {{ view }} AS b USING (x)", "SELECT 1 FROM `other-project.billing.export` AS a JOIN `v` AS b USING (x)", ""},
		{"after the FROM of EXTRACT it is a value", "SELECT EXTRACT(DAY FROM {start_ts})", "SELECT EXTRACT(DAY FROM @start_ts)", "start_ts INT64 1767225600"},
		{"a number written as text is a number", "SELECT {rate}, {ten}", "SELECT @rate, @ten", "rate NUMERIC 0.5; ten INT64 10"},
		{"beside a dot it is a name", "FROM {project}.{dataset}.t", "FROM `my-project`.`acme_development`.t", ""},
		{"a dotted path is matched part by part", "FROM `{source}`", "FROM `other-project.billing.export`", ""},
		{"in comments it is nothing", "SELECT 1 -- {nobody}\n# {nobody}\n/* {% x %} */", "SELECT 1 -- {nobody}\n# {nobody}\n/* {% x %} */", ""},
		{"a number may stand bare", "WHERE s >= {start_ts} LIMIT {top}", "WHERE s >= @start_ts LIMIT @top", "start_ts INT64 1767225600; top INT64 10"},
		{"a date part is a constant", "SELECT DATE_TRUNC(d, {part})", "SELECT DATE_TRUNC(d, MONTH)", ""},
		{"OPTIONS take constants", "CREATE TABLE t OPTIONS (description = 'of {city}') AS SELECT '{city}'", "CREATE TABLE t OPTIONS (description = 'of Zurich') AS SELECT @city", "city STRING Zurich"},
		{"a constant keeps the quotes of its literal", "CREATE TABLE t OPTIONS (description = \"it's {city}\") AS SELECT 1", "CREATE TABLE t OPTIONS (description = \"it's Zurich\") AS SELECT 1", ""},
		{"after NUMERIC, too, whatever is between", "SELECT NUMERIC  '{top}', datetime r'{now}'", "SELECT CAST(@top AS NUMERIC), CAST(@now AS DATETIME)", "top STRING 10; now STRING 2026-01-03T04:05:06Z"},
		{"a column called date is no type", "SELECT t.date, '{city}'", "SELECT t.date, @city", "city STRING Zurich"},
		{"the body of a view ends with its statement", "CREATE VIEW v AS SELECT '{city}'; SELECT '{city}'", "CREATE VIEW v AS SELECT 'Zurich'; SELECT @city", "city STRING Zurich"},
		{"an escaped quote does not end a literal", `SELECT 'it\'s {city}'`, `SELECT CONCAT('it\'s ', @city)`, "city STRING Zurich"},
		{"a view body takes constants", "CREATE OR REPLACE VIEW v AS SELECT '{city}' AS c", "CREATE OR REPLACE VIEW v AS SELECT 'Zurich' AS c", ""},
		{"PIVOT takes constants", "FROM t PIVOT(SUM(x) FOR c IN ('{city}'))", "FROM t PIVOT(SUM(x) FOR c IN ('Zurich'))", ""},
		{"a hostile value stays a value", "SELECT '{from_run}'", "SELECT @from_run", "from_run STRING ' OR 1=1 --"},
		{"braces that are no variables stay", "SELECT REGEXP_CONTAINS(x, r'[0-9]{4}'), '{\"a\": 1}'", "SELECT REGEXP_CONTAINS(x, r'[0-9]{4}'), '{\"a\": 1}'", ""},
		{"a parameter of the template keeps its name", "SELECT @city, '{city}'", "SELECT @city, @city_2", "city_2 STRING Zurich"},
		{"triple quotes", "SELECT '''a\n{city}\nb'''", "SELECT CONCAT('''a\n''', @city, '''\nb''')", "city STRING Zurich"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, problems := render(t, c.template, map[string]string{"from_run": "' OR 1=1 --"})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if sql := strings.TrimSuffix(got.SQL, "\n"); sql != c.want {
				t.Errorf("SQL is\n%s\nwant\n%s", sql, c.want)
			}
			var params []string
			for _, p := range got.Params {
				params = append(params, fmt.Sprintf("%s %s %s", p.Name, p.Type, p.Value))
			}
			if text := strings.Join(params, "; "); text != c.params {
				t.Errorf("parameters are %q, want %q", text, c.params)
			}
		})
	}
}

func TestSQLTemplatesRefuseWhatCannotBeAValue(t *testing.T) {
	cases := []struct{ name, template, want string }{
		{"text without quotes", "SELECT {city}", "p.yml:13:10: sql: variable \"city\" cannot stand here; write '{city}' for its value or `{city}` for a name"},
		{"an unknown name", "SELECT 1,\n '{citi}'", "p.yml:14:5: sql: unknown variable \"citi\"; did you mean \"city\"?"},
		{"a statement of Jinja", "{% if x %}", "p.yml:13:3: sql: {% %} is not supported; use {{ name }} with the filters default, upper, lower, replace"},
		{"an unknown filter", "SELECT '{{ city | tojson }}'", "p.yml:13:11: sql: filter \"tojson\" is not supported; use default, upper, lower or replace"},
		{"a name from a run parameter", "FROM `{from_run}`", "p.yml:13:9: sql: variable \"from_run\" is set by a run parameter and cannot be used as a name"},
		{"a name that is none", "FROM `{evil}`", "p.yml:13:9: sql: \"a` b\" is not a name of a project, dataset or table"},
		{"a constant from a run parameter", "CREATE VIEW v AS SELECT '{from_run}'", "p.yml:13:28: sql: variable \"from_run\" is set by a run parameter and cannot be used here, where SQL takes constants only"},
		{"a bytes literal", "SELECT b'{city}'", "p.yml:13:12: sql: a bytes literal cannot hold a variable; use CAST('{name}' AS BYTES)"},
		{"a backslash before it", `SELECT 'a\\{city}'`, "p.yml:13:13: sql: a backslash or quote cannot stand right before a variable"},
		{"a backslash before it in a constant", `CREATE VIEW v AS SELECT 'a\\{city}'`, "p.yml:13:30: sql: a backslash or quote cannot stand right before a variable"},
		{"a raw constant", "CREATE VIEW v AS SELECT r'{city}'", "p.yml:13:29: sql: a raw literal cannot hold a variable here, where SQL takes constants only; write it without the prefix"},
		{"a constant of PIVOT from a run parameter", "FROM t PIVOT(SUM(x) FOR c IN ('{from_run}'))", "p.yml:13:34: sql: variable \"from_run\" is set by a run parameter and cannot be used here, where SQL takes constants only"},
		{"a name beside a dot from a run parameter", "FROM {from_run}.t", "p.yml:13:8: sql: variable \"from_run\" is set by a run parameter and cannot be used as a name"},
		{"a date part from a run parameter", "SELECT DATE_TRUNC(d, {from_run})", "p.yml:13:24: sql: variable \"from_run\" cannot stand here; write '{from_run}' for its value or `{from_run}` for a name"},
		{"a date part that is none", "SELECT DATE_TRUNC(d, {city})", "p.yml:13:24: sql: variable \"city\" cannot stand here; write '{city}' for its value or `{city}` for a name"},
		{"an unknown name after DATE", "SELECT DATE '{dat}'", "p.yml:13:16: sql: unknown variable \"dat\"; did you mean \"date\"?"},
		{"an open comment", "SELECT 1 /* {city}", "p.yml:13:12: sql: a quote or comment starts here and never ends"},
		{"an open quote", "SELECT 'a", "p.yml:13:10: sql: a quote or comment starts here and never ends"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, problems := render(t, c.template, map[string]string{"from_run": "x"})
			if got := problems.Error(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestAVariableWithoutAValueIsAnErrorWhereItIsUsed(t *testing.T) {
	_, problems := render(t, "SELECT '{from_run}'", nil)
	want := `p.yml:13:11: sql: variable "from_run" has no value; set it with --var from_run=VALUE or in the run's parameters`
	if got := problems.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTablesOfAStatement(t *testing.T) {
	got, problems := render(t, "WITH w AS (SELECT 1 FROM `{project}.{dataset}.a`) SELECT EXTRACT(DAY FROM d) FROM w JOIN {dataset}.b ON x, UNNEST(y) LEFT JOIN my-p.d.c", nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if tables := strings.Join(got.Tables(), " "); tables != "my-project.acme_development.a acme_development.b my-p.d.c" {
		t.Errorf("tables are %s", tables)
	}
}

func FuzzSQLNeverSplicesARunParameter(f *testing.F) {
	f.Add("SELECT '{from_run}'", "x' OR 1=1")
	f.Add("FROM `{from_run}` WHERE {from_run}.x = DATE '{from_run}'", "a`b")
	f.Fuzz(func(t *testing.T, template, value string) {
		const marker = "QQcanaryQQ"
		if strings.ContainsAny(template, "\t\r") || strings.Contains(template, marker) {
			return
		}
		tree, _ := configs.Parse(file("variables:\n  from_run:\nsql: x\n"))
		doc, _ := configs.Normalise(tree)
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: template, Line: 3, Column: 6}
		scope := configs.NewScope(doc, environment(map[string]string{"from_run": marker + value}))
		if s, _, _ := scope.SQL(n, "sql"); strings.Contains(s.SQL, marker) {
			t.Fatalf("%q became %q", template, s.SQL)
		}
	})
}

// FuzzDatesOfARun looks for days that Range accepts although they are none, or in the wrong
// order.
func FuzzDatesOfARun(f *testing.F) {
	f.Add("2026-01-01", "", "")
	f.Add("", "2026-02-28", "2026-03-01")
	f.Add("2026-02-30", "9999-12-31", "0001-01-01")
	f.Fuzz(func(t *testing.T, date, start, end string) {
		tree, _ := configs.Parse(file("pipeline_id: p\n"))
		doc, _ := configs.Normalise(tree)
		params := map[string]string{"date": date, "start_date": start, "end_date": end}
		from, to, rest, problems := configs.Range(doc, params, environment(nil).Now)
		switch {
		case len(problems) > 0:
			if problems.Error() == "" {
				t.Error("refused without a reason")
			}
		case !from.IsValid() || !to.IsValid() || to.Before(from) || len(rest) > 0:
			t.Errorf("date %q, start %q, end %q give %v to %v, %v", date, start, end, from, to, rest)
		}
	})
}

// FuzzCron looks for schedules that are accepted and that no scheduler understands.
func FuzzCron(f *testing.F) {
	for _, text := range []string{"30 2 * * *", "*/5 0-23/2 1,15 jan-mar sun", "0 0 31 2 7", "? ? ? ? ?", "0 0 * * 5-7"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if configs.CheckCron(text) != "" {
			return
		}
		if text = strings.Join(strings.Fields(text), " "); !gronx.IsValid(text) { // as CronText has it
			t.Errorf("%q is accepted and cannot be scheduled", text)
		}
	})
}
