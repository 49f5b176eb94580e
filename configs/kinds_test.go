package configs_test

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/cloudact/convergence/configs"
)

func TestEveryShippedDocumentIsOfAKindAndFitsIt(t *testing.T) {
	kinds := map[configs.Kind]int{}
	err := fs.WalkDir(configs.Shipped(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yml" && path.Ext(name) != ".json" {
			return err
		}
		text, err := fs.ReadFile(configs.Shipped(), name)
		if err != nil {
			return err
		}
		kind, tree, problems := configs.Recognise(configs.File{Name: "configs/" + name, Text: text})
		if kind == configs.KindUnknown {
			t.Errorf("%s: %v", name, problems)
			return nil
		}
		kinds[kind]++
		if problems := configs.CheckDocument(kind, tree); len(problems) > 0 {
			t.Errorf("%s, a %s:\n%v", name, kind, problems)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []configs.Kind{configs.KindPipeline, configs.KindProviders, configs.KindDatasetTypes, configs.KindSchema, configs.KindCentral, configs.KindPrices, configs.KindJSONSchema} {
		if kinds[kind] == 0 {
			t.Errorf("no shipped document is a %s: %v", kind, kinds)
		}
	}
}

func TestDocumentsOfEveryKindAreCheckedWithTheirPlace(t *testing.T) {
	cases := []struct{ name, file, text, want string }{
		{"an unknown kind", "configs/x/y.yml", "hello: 1\nworld: 2\n", "configs/x/y.yml:1:1: no kind of document has these keys (hello, world): a pipeline has steps, providers.yml has providers, dataset_types.yml has dataset_types, a schema or central table has fields, a notification template has subject_template or body_template, a price table has format"},
		{"a list", "a.json", "[1]", "a.json:1:1: the document must be a mapping of keys to values"},
		{
			"providers", "p.yml", "providers:\n  A: {type: llm, credential_typ: API_KEY}\n  B: {type: bank, credential_type: API_KEY, alias_for: AA, extra_headers: [x]}\naliases: {a: C}\n",
			`p.yml:2:6: providers.A.credential_type: is required
p.yml:2:18: providers.A.credential_typ: unknown key; did you mean "credential_type"?
p.yml:3:13: providers.B.type: must be one of llm, cloud, generic, not "bank"
p.yml:3:56: providers.B.alias_for: "AA" is no provider of this file; did you mean "A"?
p.yml:3:75: providers.B.extra_headers: must be a mapping
p.yml:4:14: aliases.a: "C" is no provider of this file; did you mean "A"?`,
		},
		{
			"dataset types", "d.yml", "dataset_types:\n  - {names: x, supported_tables: {t: {cluster_fields: a}}}\n",
			`d.yml:2:5: dataset_types[0].name: is required
d.yml:2:6: dataset_types[0].names: unknown key; did you mean "name"?
d.yml:2:55: dataset_types[0].supported_tables.t.cluster_fields: must be a list`,
		},
		{
			"a schema", "s/schemas/t.json", `{"fields": [
  {"name": "a", "type": "STRNG"},
  {"name": "A", "type": "STRING", "mod": "REQUIRED"},
  {"type": "STRING"}],
 "time_partitioning": {"field": "a", "type": "WEEK", "expiration_days": "x"}, "clustering_fields": ["A", "b"]}`,
			`s/schemas/t.json:2:25: fields[0].type: must be one of BOOL, INT64, FLOAT64, NUMERIC, STRING, BYTES, DATE, TIMESTAMP, JSON, BOOLEAN, INTEGER, FLOAT, DECIMAL, not "STRNG"; did you mean "STRING"?
s/schemas/t.json:3:12: fields[1].name: column "A" is declared on line 2
s/schemas/t.json:3:35: fields[1].mod: unknown key; did you mean "mode"?
s/schemas/t.json:4:3: fields[2].name: is required
s/schemas/t.json:5:33: time_partitioning.field: column "a" is STRNG; only DATE and TIMESTAMP can partition
s/schemas/t.json:5:46: time_partitioning.type: must be one of DAY, HOUR, MONTH, YEAR, not "WEEK"
s/schemas/t.json:5:73: time_partitioning.expiration_days: must be a number, not "x"
s/schemas/t.json:5:106: clustering_fields[1]: "b" is no column`,
		},
		{"a central table", "configs/organizations/t.json", `{"fields": []}`, "configs/organizations/t.json:1:12: fields: declares no column"},
		{
			"a notification template", "n.yml", "subject_template: x\nbody_templat: y\ntriggers: [on_fail]\n",
			`n.yml:2:1: body_templat: unknown key; did you mean "body_template"?
n.yml:3:12: triggers[0]: must be one of on_failure, on_success, on_completion, always, not "on_fail"; did you mean "on_failure"?`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kind, tree, problems := configs.Recognise(configs.File{Name: c.file, Text: []byte(c.text)})
			if tree != nil && kind != configs.KindUnknown {
				problems = configs.CheckDocument(kind, tree)
			}
			if got := strings.TrimSpace(problems.Error()); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
