package plan_test

import (
	"testing"

	"github.com/cloudact/convergence/beam/plan"
)

func TestEveryWriteModeIsPlanned(t *testing.T) {
	for destination, want := range map[string]plan.Destination{
		"{table: t}":               {WriteMode: "append"},
		"{table: t, mode: append}": {WriteMode: "append"},
		"{table: t, mode: append, key_fields: [org_slug, usage_date]}": {WriteMode: "append", KeyFields: []string{"org_slug", "usage_date"}},
		"{table: t, mode: insert_new, key_fields: raw_data}":           {WriteMode: "insert_new", KeyFields: []string{"raw_data"}},
		"{table: t, mode: merge, key_fields: [raw_data]}":              {WriteMode: "merge", KeyFields: []string{"raw_data"}},
		"{table: t, mode: overwrite}":                                  {WriteMode: "overwrite"},
		"{table: t, mode: replace_partition}":                          {WriteMode: "replace_partition"},
	} {
		got := planText(t, head+"steps: [{step_id: a, ps_type: generic.api_extractor, config: {url: \"https://x.example.com/v1\", data_path: data}, destination: "+destination+"}]\n", nil).Steps[0].Destination
		if got.WriteMode != want.WriteMode || len(got.KeyFields) != len(want.KeyFields) {
			t.Errorf("%s: planned as %s by %v", destination, got.WriteMode, got.KeyFields)
		}
		if once := want.WriteMode == "append" && want.KeyFields == nil; got.LandsOnce() != once {
			t.Errorf("%s: lands once: %v", destination, got.LandsOnce())
		}
	}
}

func TestStepsThatOnlyAddMayShareATable(t *testing.T) {
	const second = `{step_id: b, ps_type: openai.usage, destination: {table: t, mode: merge, key_fields: [usage_date, model]}}`
	p := planText(t, head+`steps: [{step_id: a, ps_type: openai.usage, destination: {table: t, mode: append}}, `+second+"]\n", nil)
	if len(p.Steps) != 2 {
		t.Fatalf("planned %d steps", len(p.Steps))
	}
}
