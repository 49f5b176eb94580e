package service

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudact/convergence/api/client"
)

// thief is a document of an organisation whose statement is put in.
const thief = `pipeline_id: thief
retry_attempts: 0
variables:
  victim: globex
  whole: globex_local.example_usage_final
steps:
  - step_id: copy
    ps_type: generic.local_bq_transformer
    config:
      sql: %q
    destination:
      table: stolen
      schema_ref: mine/usage/stolen
      write_mode: overwrite
`

// thefts are statements by which an organisation tries to read what is not its own. The
// marker of globex' rows stands in no statement.
var thefts = map[string]string{
	"literal":     "SELECT * FROM `globex_local.example_usage_final`",
	"project":     "SELECT * FROM `{project}.globex_local.example_usage_final`",
	"variable":    "SELECT * FROM `{project}.{victim}_local.example_usage_final`",
	"whole":       "SELECT * FROM {whole}",
	"subquery":    "SELECT (SELECT STRING_AGG(service) FROM globex_local.example_usage_final) AS service",
	"expression":  "WITH a AS (SELECT * FROM globex_local.example_usage_final) SELECT * FROM a",
	"join":        "SELECT o.* FROM `{dataset}.example_usage_final` AS m LEFT JOIN globex_local.example_usage_final AS o ON TRUE",
	"comment":     "SELECT * FROM /* `{dataset}.example_usage_final` */ globex_local.example_usage_final",
	"wildcard":    "SELECT * FROM `globex_local.example_us*`",
	"case":        "SELECT * FROM `GLOBEX_LOCAL.example_usage_final`",
	"immediate":   "EXECUTE IMMEDIATE 'SELECT * FROM globex_local.example_usage_final'",
	"script":      "SELECT 1 AS service; CREATE OR REPLACE TABLE acme_local.stolen AS SELECT * FROM globex_local.example_usage_final",
	"keys":        "SELECT org_api_key_hash AS service FROM organizations.org_api_keys",
	"credentials": "SELECT TO_HEX(encrypted_credential) AS service FROM `{project}.organizations.org_integration_credentials`",
	"events":      "SELECT payload AS service FROM organizations.org_meta_run_events",
	"schema":      "SELECT table_name AS service FROM globex_local.INFORMATION_SCHEMA.TABLES",
	"jobs":        "SELECT query AS service FROM `region-us`.INFORMATION_SCHEMA.JOBS",
	"view":        "CREATE OR REPLACE VIEW acme_local.window AS SELECT * FROM globex_local.example_usage_final",
	"function":    "SELECT * FROM EXTERNAL_QUERY('globex', 'SELECT * FROM usage')",
}

// TestAnOrganisationReadsOnlyItsOwnTables lets an organisation run documents of its own
// that read another's rows.
func TestAnOrganisationReadsOnlyItsOwnTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme", "globex")
	write := func(name, sql string) { w.write("orgs/acme/mine/usage/"+name+".yml", fmt.Sprintf(thief, sql)) }
	w.write("orgs/acme/mine/usage/schemas/stolen.json", `{"fields": [{"name": "usage_date", "type": "DATE"}, {"name": "service", "type": "STRING"}]}`)
	for name, sql := range thefts {
		write(name, sql)
	}
	write("own", "SELECT usage_date, service FROM `{project}.{dataset}.example_usage_final`")
	s := w.serve(w.fresh())
	for _, org := range []string{"acme", "globex"} {
		w.Change(t, "CREATE TABLE "+org+"_local.example_usage_final AS SELECT DATE '2026-08-01' AS usage_date, 'rows of "+org+"' AS service")
	}
	run := func(name string) (status client.Status, why string) {
		started, err := s.as("acme").Run(t.Context(), "acme", client.Pipeline{Provider: "mine", Domain: "usage", Name: name}, day(0))
		var problem *client.Error
		if errors.As(err, &problem) {
			return "", problem.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		ended := s.wait("acme", started.ID)
		return ended.Status, ended.Error
	}
	if status, why := run("own"); status != client.Completed {
		t.Fatalf("what is its own was refused, so this test shows nothing: %s %s", status, why)
	}
	for name, sql := range thefts {
		status, why := run(name)
		if status == client.Completed {
			t.Errorf("%s was run: %s", name, sql)
		}
		t.Logf("%s: %s %s", name, status, strings.ReplaceAll(why, "\n", " | "))
	}
	for _, row := range w.Ask(t, "SELECT table_name FROM acme_local.INFORMATION_SCHEMA.TABLES") {
		for _, found := range w.Ask(t, fmt.Sprintf("SELECT TO_JSON_STRING(t) FROM `acme_local.%s` AS t", row[0])) {
			if strings.Contains(fmt.Sprint(found), "rows of globex") {
				t.Errorf("acme's table %v holds %v", row[0], found)
			}
		}
	}
}
