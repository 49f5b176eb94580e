package plan_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

func planText(t *testing.T, text string, change func(*plan.Request)) *plan.Plan {
	t.Helper()
	r := request(configs.File{Name: "p.yml", Text: []byte(text), ID: "openai/cost/p"})
	if change != nil {
		change(&r)
	}
	got, err := planner(t).Plan(context.Background(), r)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return got
}

const head = "pipeline_id: p\n"

const canonicalSteps = `steps:
  - step_id: usage
    ps_type: openai.usage
    destination: {table: raw, write_mode: replace_partition}
  - step_id: cost
    ps_type: openai.cost
    depends_on: [usage]
    config: {source_table: raw, pricing_table: own_prices}
    destination: {table: priced}
`

const canonicalExtraction = `steps:
  - step_id: extract
    ps_type: generic.api_extractor
    timeout_minutes: 5
    on_failure: alert
    config:
      url: https://api.example.com/v1/items
      params: {day: "{date}", from: "{start_ts}"}
      auth: {type: bearer, secret_key: openai_api_key}
      pagination: {type: cursor, param: after, response_path: meta.next, limit: 100}
      rate_limit: {requests_per_second: 5, max_retries: 3}
      transform: {add_fields: {region: "{region}"}}
    destination: {table: items_raw, write_mode: append, key_fields: [id], batch_size: 500}
`

const canonicalChain = `steps:
  - {step_id: a, ps_type: generic.api_extractor, depends_on: [], config: {url: "https://api.example.com/v1/a"}, destination: {table: a, write_mode: append}}
  - step_id: b
    ps_type: generic.local_bq_transformer
    depends_on: [a]
    config: {sql: "SELECT org_slug, usage_date FROM ` + "`{project}.{dataset}.a`" + ` WHERE usage_date = DATE '{start_date}'"}
    destination: {table: b, write_mode: append}
`

const canonicalSQL = `steps:
  - step_id: calc
    ps_type: generic.local_bq_transformer
    config: {sql: "SELECT '{date}' AS usage_date"}
    destination: {table: t, write_mode: overwrite, time_partitioning: {field: usage_date, type: DAY}, clustering_fields: [model]}
`

func TestAcceptedSpellingsPlanAsTheCanonicalOne(t *testing.T) {
	cases := []struct{ name, canonical, spelling string }{
		{"step, processor, text depends_on, config.destination_table, pricing_source", canonicalSteps, `steps:
  - step: usage
    processor: openai.usage
    config: {destination_table: raw}
  - id: cost
    type: openai.cost
    depends_on: usage
    config: {source_table: raw, pricing_source: own_prices, destination_table: priced}
`},
		{"name as id, implicit depends_on, destination in config, source as a mapping, text destination", canonicalSteps, `steps:
  - name: usage
    ps_type: openai.usage
    config:
      destination: {table: raw, mode: replace_partition}
  - name: cost
    ps_type: openai.cost
    source: {dataset_type: openai, table: raw}
    config: {pricing_table: own_prices}
    destination: priced
`},
		{"an inputs list beside depends_on", canonicalSteps, `steps:
  - {step_id: usage, ps_type: openai.usage, depends_on: [], inputs: [], destination: raw, config: }
  - step_id: cost
    ps_type: openai.cost
    inputs: usage
    depends_on: [usage]
    config: {source_table: raw, pricing_table: own_prices}
    destination: {destination_table: priced, write_mode: }
`},
		{"transformation.sql, mode, table_config", canonicalSQL, `steps:
  - step_id: calc
    ps_type: bq_transformer
    transformation: {type: sql_template, sql: "SELECT '{date}' AS usage_date"}
    destination: {table: t, mode: truncate, table_config: {time_partitioning: {field: usage_date, type: DAY}, clustering_fields: [model]}}
`},
		{"config.sql_template, partition_field, double braces", canonicalSQL, `steps:
  - step_id: calc
    processor: generic.local_bq_transformer
    config: {sql_template: "SELECT '{date}' AS usage_date", destination_table: t}
    destination: {write_mode: WRITE_TRUNCATE, partition_field: usage_date, clustering_fields: model}
`},
		{"an extractor as its guide spells it: step, processor, mode in config, one key as text", "parameters: {region: eu}\n" + canonicalExtraction, `parameters: {region: eu}
steps:
  - step: extract
    processor: api_extractor
    timeout_minutes: "5"
    on_failure: alert
    metadata: {owner: finops, anything: [1, 2]}
    config:
      url: https://api.example.com/v1/items
      params: {day: "{date}", from: "{start_ts}"}
      auth: {type: bearer, secret_key: openai_api_key}
      pagination: {type: cursor, param: after, response_path: meta.next, limit: 100}
      rate_limit: {requests_per_second: 5, max_retries: 3}
      transform: {add_fields: {region: "{region}"}}
      destination: {table: items_raw, mode: append, key_fields: id, batch_size: 500}
`},
		{"write modes of BigQuery and in capitals", "parameters: {region: eu}\n" + canonicalExtraction, "parameters: {region: eu}\n" + strings.Replace(canonicalExtraction, "write_mode: append", "write_mode: WRITE_APPEND", 1)},
		{
			"a variable that names itself, on the level of the pipeline and of the step", "parameters: {region: eu}\n" + canonicalExtraction,
			"parameters: {region: eu}\nvariables: {org_slug: \"{org_slug}\", region: \"{region}\", date: \"{date}\", start_date: \"{start_date}\"}\n" + canonicalExtraction + "    variables: {region: \"{region}\"}\n",
		},
		{"parameters and variables are one set of names", "parameters: {region: eu}\n" + canonicalExtraction, "variables: {region: eu}\n" + canonicalExtraction},
		{"a chain that nothing spells out, single braces beside dots, depends_on as text", canonicalChain, `steps:
  - {name: a, type: api_extractor, config: {url: "https://api.example.com/v1/a", destination_table: a}, destination: {mode: append}}
  - step: b
    processor: bq_transformer
    depends_on: a
    config: {sql_template: "SELECT org_slug, usage_date FROM ` + "`{project}.{dataset}.a`" + ` WHERE usage_date = DATE '{start_date}'", destination: {table: b, mode: append}}
`},
		{"transformation within config, its query", canonicalChain, `steps:
  - {id: a, processor: generic.api_extractor, config: {url: "https://api.example.com/v1/a"}, destination: {table: a, write_mode: APPEND}}
  - step: b
    processor: bq_transformer
    depends_on: [a]
    config: {transformation: {type: sql_template, query: "SELECT org_slug, usage_date FROM ` + "`{project}.{dataset}.a`" + ` WHERE usage_date = DATE '{start_date}'"}}
    destination: {table: b, mode: append}
`},
		{"what says nothing about the graph", "name: Calc\nexecution: {runner: prism}\n" + canonicalSQL, "name: Calc\ndescription: of the day\nversion: 1.0.0\ntags: [a, b]\ncategory: cost\nrequires_auth: true\nauth_type: org_api_key\nexecution: {runner: prism}\n" + canonicalSQL},
		{"schedule as text", "schedule: 30 2 * * *\n" + canonicalSQL, "schedule: {cron: 30 2 * * *}\n" + canonicalSQL},
		{"switches as text and variables", "variables: {flag: \"true\"}\n" + canonicalSQL, "variables: {flag: \"true\"}\n" + canonicalSQL + "    enabled: \"{flag}\"\n    timeout_minutes: \"10\"\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want, got := planText(t, head+c.canonical, nil), planText(t, head+c.spelling, nil)
			for _, p := range []*plan.Plan{want, got} { // places differ, of course
				for i := range p.Warnings {
					p.Warnings[i].Line, p.Warnings[i].Col = 0, 0
				}
			}
			if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
				t.Errorf("plans differ (-canonical +spelling):\n%s", diff)
			}
		})
	}
}

func asJSON(t *testing.T, p *plan.Plan) string {
	t.Helper()
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return scope.ReplaceAllString(string(b), "")
}

// scope is a label of what no other run has in common with a plan. It is made of names as
// they are written.
var scope = regexp.MustCompile(`(?m)^ "Scope": .*$`)

func TestScheduleMapsBecomeCron(t *testing.T) {
	cases := map[string]string{
		`{type: daily, time: "02:30"}`:                       "30 2 * * *",
		`{type: hourly, time: "00:15"}`:                      "15 * * * *",
		`{type: weekly, time: "06:00", day_of_week: Friday}`: "0 6 * * fri",
		`{type: weekly, day_of_week: 3}`:                     "0 0 * * 3",
		`{type: monthly, day_of_month: 1, time: "03:00"}`:    "0 3 1 * *",
		`"0  4 * * 1-5"`:                                     "0 4 * * 1-5",
	}
	for text, want := range cases {
		if got := planText(t, head+"schedule: "+text+"\n"+canonicalSQL, nil).Schedule.CronText(); got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
}

func TestAUsageAndCostPipelineAsPeopleWroteItPlans(t *testing.T) {
	got := planText(t, `pipeline_id: "{org_slug}-openai-usage-cost"
name: "OpenAI Usage & Cost"
version: 1.0.0
schedule: {type: daily, time: "02:00", timezone: UTC}
requires_auth: true
auth_type: org_api_key
tags: [openai]
category: cost
timeout_minutes: 10
rate_limit_per_minute: 60
variables:
  org_slug: "{org_slug}"
  start_date: "{start_date}"
  end_date: "{end_date}"
steps:
  - step_id: extract_usage
    name: Extract
    ps_type: openai.usage
    timeout_minutes: 5
    config: {start_date: "{start_date}", end_date: "{end_date}", destination_table: openai_usage_daily_raw}
  - step_id: transform_cost
    ps_type: openai.cost
    depends_on: extract_usage
    timeout_minutes: 3
    config: {source_table: openai_usage_daily_raw, destination_table: openai_cost_daily, pricing_table: openai_model_pricing, date: "{start_date}"}
`, threeDays)
	cost := got.Steps[1]
	if len(cost.Units) != 3 || len(cost.Inputs) != 1 || got.RatePerMin != 60 || cost.Timeout.Minutes() != 3 {
		t.Errorf("cost step is %+v", cost)
	}
}

func TestNotificationsLeaveTheChain(t *testing.T) {
	with := head + `steps:
  - {step: usage, processor: openai.usage, destination: raw}
  - {step: mail, processor: notify_systems.email_notification, config: {trigger: on_failure, to_emails: "{admin_email}", subject: "{status} of {org_slug}"}}
  - {step: chat, processor: notify_systems.slack_notification, depends_on: [mail, usage], message: failed}
  - {step: cost, processor: openai.cost, config: {source_table: raw, destination_table: priced}}
  - {step: more, processor: bq_transformer, depends_on: chat, config: {sql: SELECT 1, destination_table: t}}
`
	got := planText(t, with, nil)
	var steps []string
	for _, s := range got.Steps {
		steps = append(steps, fmt.Sprint(s.ID, s.DependsOn))
	}
	if want := []string{"usage[]", "cost[usage]", "more[usage]"}; !slices.Equal(steps, want) {
		t.Errorf("steps are %v, want %v", steps, want)
	}
	if len(got.Warnings) == 0 {
		t.Errorf("warnings are %v", got.Warnings)
	}
}

// TestTheBillingDocumentOfTheOldFormatSaysTheSame spells the copy of a billing export as
// documents of the old format do.
func TestTheBillingDocumentOfTheOldFormatSaysTheSame(t *testing.T) {
	canonical := head + `variables: {table: p.d.t}
steps:
  - step_id: copy
    ps_type: gcp.bq_etl
    enabled: false
    config: {source: {query: "SELECT * FROM {table}.x WHERE day = '{date}'", bq_project_id: p}}
    destination:
      table: raw
      write_mode: overwrite
      schema_ref: gcp/cost/gcp_billing_daily_raw
      time_partitioning: {field: ingestion_date, type: DAY, expiration_days: 730}
      clustering_fields: [billing_account_id]
  - {step_id: notify, ps_type: notify_systems.email_notification, config: {to_emails: [ops@example.com]}}
`
	old := head + `variables: {table: p.d.t}
steps:
  - step: copy
    processor: gcp.external_bq_extractor
    enabled: "false"
    source: {query: "SELECT * FROM {table}.x WHERE day = '{date}'", bq_project_id: p}
    destination:
      dataset_type:
      table: raw
      mode: truncate
      schema_template: billing_cost
      table_config:
        time_partitioning: {field: ingestion_date, type: DAY, expiration_days: 730}
        clustering_fields: [billing_account_id]
  - {step: notify, type: notify_systems.email_notification, to_emails: ops@example.com}
`
	change := func(r *plan.Request) { r.Source.ID = "gcp/cost/p" }
	want, got := planText(t, canonical, change), planText(t, old, change)
	got.Warnings = want.Warnings
	if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
		t.Error(diff)
	}
	if len(want.Steps[0].Schema.Fields) != 31 {
		t.Errorf("the table has %d columns", len(want.Steps[0].Schema.Fields))
	}
}
