package plan_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cloudact/convergence/configs"
)

func TestWhatADocumentOfAnOrganizationMayNotDo(t *testing.T) {
	sql := func(text string) string {
		return head + "variables: {source: other.billing.t, name: t, word: x, org_slug: \"{org_slug}\"}\nsteps:\n  - step_id: a\n    ps_type: generic.local_bq_transformer\n    destination: t\n    config:\n      sql: |\n        " + text + "\n"
	}
	for text, want := range map[string]string{
		sql("SELECT '{word}', '{org_slug}' FROM `{project}.{dataset}.t` JOIN {dataset}.u USING (x) JOIN v USING (x)"): "",
		sql("SELECT 1 FROM `other.billing.t`"):                                               "steps[0].config.sql: the table other.billing.t is not in the organization's dataset",
		sql("SELECT 1 FROM globex_development.t"):                                            "steps[0].config.sql: the table globex_development.t is not in the organization's dataset",
		sql("SELECT 1 FROM `{project}`.organizations.org_keys"):                              "the table platform.organizations.org_keys is not in the organization's dataset",
		sql("SELECT 1 FROM `{source}`"):                                                      `variable "source" is set by a document of an organization and cannot be used as a name`,
		sql("SELECT 1 FROM `{dataset}.{name}`"):                                              `variable "name" is set by a document of an organization and cannot be used as a name`,
		head + "variables: {dataset: other}\nsteps: [{step_id: a, ps_type: openai.usage}]\n": `variables.dataset: is set by the run and cannot be declared otherwise than as "{dataset}"`,
		head + "variables: {host: evil.example.com}\nsteps: [{step_id: a, ps_type: generic.api_extractor, config: {url: \"https://{host}/v1\", data_path: d}, destination: t}]\n": `variable "host" is set by a document of an organization and cannot be part of a host`,
		head + "variables: {table: x}\nsteps: [{step_id: a, ps_type: openai.usage, destination: \"{table}\"}]\n":                                                                  `variable "table" is set by a document of an organization and cannot be part of a table name`,
	} {
		f := configs.File{Name: "p.yml", Text: []byte(text), ID: "openai/cost/p", Org: "acme"}
		_, err := planner(t).Plan(context.Background(), request(f))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
		f.Org = ""
		if _, err := planner(t).Plan(context.Background(), request(f)); err != nil && !strings.Contains(want, "is set by the run") {
			t.Errorf("a shared document is refused: %s\n%v", text, err)
		}
	}
}
