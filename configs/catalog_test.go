package configs_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"cloud.google.com/go/bigquery"
	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

func shipped(t *testing.T) *configs.Catalog {
	t.Helper()
	c, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCentralTablesAreBigQuerySchemas(t *testing.T) {
	tables := shipped(t).Central()
	if len(tables) != 16 {
		t.Errorf("there are %d central tables, want 16", len(tables))
	}
	for _, table := range tables {
		schema, err := bigquery.SchemaFromJSON(table.Fields)
		if err != nil {
			t.Errorf("%s: %v", table.Name, err)
			continue
		}
		columns := map[string]bool{}
		for _, f := range schema {
			columns[f.Name] = true
		}
		if table.TimePartitioning != nil && !columns[table.TimePartitioning.Field] {
			t.Errorf("%s is partitioned by %s, which is no column", table.Name, table.TimePartitioning.Field)
		}
		for _, name := range table.Clustering {
			if !columns[name] {
				t.Errorf("%s is clustered by %s, which is no column", table.Name, name)
			}
		}
	}
}

func TestDeclaredTablesAreBigQuerySchemas(t *testing.T) {
	c := shipped(t)
	for _, ref := range []string{"openai/cost/openai_usage_daily_raw", "openai/cost/openai_cost_daily", "system/pipeline_dlq"} {
		table, ok := c.Table(ref)
		if !ok {
			t.Errorf("%s is missing", ref)
			continue
		}
		text, err := table.FieldsJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bigquery.SchemaFromJSON(text); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestEveryReportResolves(t *testing.T) {
	c := shipped(t)
	for _, want := range []string{"cost_by_day", "cost_by_model", "cost_by_project", "cost_by_key", "unpriced", "rows_per_table"} {
		if _, ok := c.Report(want); !ok {
			t.Errorf("report %s is missing", want)
		}
	}
	for _, name := range c.Reports() {
		r, _ := c.Report(name)
		sql, err := r.SQL("my-project", "acme_development")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(sql, "{") || !strings.Contains(sql, "`my-project.acme_development.") || !strings.Contains(sql, "@from AND @to") || r.Title == "" {
			t.Errorf("%s (%q) became %s", name, r.Title, sql)
		}
	}
	r, _ := c.Report("cost_by_day")
	if _, err := r.SQL("p", "d` WHERE TRUE --"); err == nil {
		t.Error("a dataset that is no name was accepted")
	}
}

func TestProvidersAreFoundByNameAliasAndContextKey(t *testing.T) {
	p := shipped(t).Providers()
	if got, ok := p.Lookup("gcp"); !ok || got.Name != "GCP_SA" {
		t.Errorf("alias gcp is %+v", got)
	}
	if got, ok := p.ByContextKey("openai_api_key"); !ok || got.Name != "OPENAI" || got.Origin != "https://api.openai.com" {
		t.Errorf("context key openai_api_key is %+v", got)
	}
	if _, ok := p.Lookup("nobody"); ok {
		t.Error("an unknown provider was found")
	}
}

func TestALaterLayerWinsAndThePathIsTheIdentity(t *testing.T) {
	own := fstest.MapFS{
		"openai/cost/usage_cost.yml":    {Data: []byte("own")},
		"anthropic/usage_cost.yml":      {Data: []byte("two levels")},
		"system/notes.yml":              {Data: []byte("no pipeline")},
		"openai/cost/deeper/not_it.yml": {Data: []byte("too deep")},
	}
	c, err := configs.Open(configs.Shipped(), own)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := c.Find("openai", "cost", "usage_cost"); !ok || string(f.Text) != "own" {
		t.Errorf("the later layer did not win: %q", f.Text)
	}
	if f, ok := c.Find("anthropic", "", "usage_cost"); !ok || f.ID != "anthropic/usage_cost" || f.Name != "configs/anthropic/usage_cost.yml" {
		t.Errorf("a pipeline without a domain is %+v", f)
	}
	if strings.Contains(strings.Join(c.List(), " "), "not") {
		t.Errorf("pipelines are %v", c.List())
	}
	want := `configs/openai/cost/usage_cots.yml: there is no such pipeline; did you mean "openai/cost/usage_cost"?`
	if got := c.NotFound("openai/cost/usage_cots").String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestABrokenSchemaFailsTheCatalogue(t *testing.T) {
	cases := map[string]string{
		`{"fields": []}`: "it declares no fields",
		`{"fields": [{"name":"a","type":"STRING"},{"name":"A","type":"STRING"}]}`:                     `column "A" is declared twice`,
		`{"fields": [{"name":"a","type":"STRING"}], "time_partitioning": {"type":"DAY","field":"b"}}`: `partitioned by "b", which is no column`,
		`{"fields": [{"name":"a","type":"STRUCT"}]}`:                                                  `unknown column type "STRUCT"`,
		`{"fields": [{"name":"a","type":"STRING"}], "partitioning": {}}`:                              `unknown field "partitioning"`,
	}
	for text, want := range cases {
		_, err := configs.Open(fstest.MapFS{"p/d/schemas/t.json": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q", text, err, want)
		}
	}
}

func TestDatasetTypesAgreeWithTheDeclaredTables(t *testing.T) {
	text, err := fs.ReadFile(configs.Shipped(), "system/dataset_types.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Types []struct {
			Tables map[string]struct {
				Partition string   `yaml:"partition_field"`
				Cluster   []string `yaml:"cluster_fields"`
			} `yaml:"supported_tables"`
		} `yaml:"dataset_types"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	declared := 0
	for name, said := range file.Types[0].Tables {
		table, ok := shipped(t).Table("openai/cost/" + name)
		if !ok {
			continue
		}
		declared++
		if table.TimePartitioning.Field != said.Partition || !slices.Equal(table.Clustering, said.Cluster) {
			t.Errorf("%s is partitioned by %s and clustered by %v, but dataset_types.yml says %+v", name, table.TimePartitioning.Field, table.Clustering, said)
		}
	}
	if declared == 0 {
		t.Error("no table of dataset_types.yml is declared")
	}
}
