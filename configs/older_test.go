package configs_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/cloudact/convergence/configs"
)

// TestFoldersOfTheOldFormatAreRead opens providers and schema files in the forms that the
// predecessor's folders hold.
func TestFoldersOfTheOldFormatAreRead(t *testing.T) {
	folder := fstest.MapFS{}
	for name, text := range map[string]string{
		"system/providers.yml": `providers:
  OPENAI:
    {type: llm, credential_type: API_KEY, context_key: openai_api_key, key_prefix: sk-, validation_model: m, max_retries: 3, retry_backoff_seconds: 2}
  GCP_SA: {type: cloud, credential_type: SERVICE_ACCOUNT_JSON, gemini_data_tables: {pricing_table: gemini_model_pricing}}
provider_groups: {llm: [OPENAI]}
aliases: {openai: OPENAI, gcp: GCP_SA}
defaults: {http_timeout: 15.0}
`,
		"gcp/cost/schemas/billing_cost.json": `{"schemas": {"billing_cost": {"description": "d", "fields": [{"name": "cost", "type": "FLOAT64", "mode": "REQUIRED"}]}, "other": {"fields": [{"name": "n", "type": "INT64"}]}, "default": {"fields": []}}}`,
		"openai/cost/schemas/plans.json":     `{"schema": [{"name": "plan_name", "type": "STRING", "mode": "REQUIRED", "description": "d"}]}`,
	} {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
		kind, tree, problems := configs.Recognise(configs.File{Name: "configs/" + name, Text: []byte(text)})
		if problems = append(problems, configs.CheckDocument(kind, tree)...); len(problems) > 0 {
			t.Errorf("%s is told %v", name, problems)
		}
	}
	c, err := configs.Open(configs.Shipped(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := c.Providers().Lookup("openai"); !ok || !slices.Equal(p.KeyPrefix, []string{"sk-"}) {
		t.Errorf("openai is %+v", p)
	}
	for ref, column := range map[string]string{"gcp/cost/billing_cost": "cost", "gcp/cost/other": "n", "openai/cost/plans": "plan_name", "configs/gcp/cost/schemas/billing_cost.json": "cost"} {
		if table, ok := c.Table(trim(ref)); !ok || !slices.Equal(table.Fields.Names(), []string{column}) {
			t.Errorf("%s has %v", ref, table.Fields.Names())
		}
	}
	if _, ok := c.Table("gcp/cost/default"); ok {
		t.Error("a table without columns is declared")
	}
	for _, text := range []string{`{"schemas": {"a": {"fields": [{"name": "n", "type": "INT64"}, {"name": "N", "type": "INT64"}]}}}`, `{"schema": [{"name": "n", "type": "INTEGRAL"}]}`, `{"schema": [], "shema": []}`} {
		kind, tree, _ := configs.Recognise(configs.File{Name: "configs/a/b/schemas/t.json", Text: []byte(text)})
		if len(configs.CheckDocument(kind, tree)) == 0 {
			t.Errorf("%s is accepted", text)
		}
	}
}

func trim(ref string) string {
	const folder = "configs/"
	if len(ref) > len(folder) && ref[:len(folder)] == folder {
		return ref[len(folder):]
	}
	return ref
}

func TestProvidersTravelByName(t *testing.T) {
	c, err := configs.Open(configs.Shipped(), fstest.MapFS{"system/providers.yml": &fstest.MapFile{
		Data: []byte("providers:\n  HOUSE: {type: generic, credential_type: API_KEY, context_key: house_key, key_prefix: [h-]}\naliases: {house: HOUSE}\n"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Providers().JSON([]string{"HOUSE", "NOBODY"})
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	carried, err := shipped.WithProviders(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"house", "HOUSE", "openai"} {
		if _, ok := carried.Providers().Lookup(name); !ok {
			t.Errorf("%s is lost", name)
		}
	}
	if _, ok := shipped.Providers().Lookup("house"); ok {
		t.Error("the catalogue itself has changed")
	}
	if _, err := shipped.WithProviders([]byte(`{"providers": {"A": {"tpye": "llm"}}}`)); err == nil {
		t.Error("a provider with an unknown key is accepted")
	}
}
