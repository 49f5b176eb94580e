package registry_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/cloudact/convergence/transforms/registry"
)

func TestPlannedProcessorsAreKnownUntilTheyAreBuilt(t *testing.T) {
	registry.RegisterPlanned(registry.Spec{Name: "test.later"}, registry.Source, config{Limit: 7})
	p, ok := registry.LookupPlanned("test.later")
	if !ok || p.Kind != registry.Source || p.NewConfig().(*config).Limit != 7 {
		t.Fatalf("planned processor is %+v, %t", p, ok)
	}
	if _, built := registry.Lookup("test.later"); built || slices.Contains(registry.Names(), "test.later") {
		t.Error("a planned processor counts as built")
	}
	if _, ok := registry.LookupPlanned("test.source"); ok {
		t.Error("a built processor counts as planned")
	}
	registry.RegisterPlanned(registry.Spec{Name: "test.query"}, registry.Query, config{})
	if _, ok := registry.LookupPlanned("test.query"); ok || slices.Contains(registry.PlannedNames(), "test.query") {
		t.Error("the processor that is built does not take the place of the planned one")
	}
	defer func() {
		if recover() == nil {
			t.Error("a second use of a name is accepted")
		}
	}()
	registry.RegisterPlanned(registry.Spec{Name: "test.later"}, registry.Source, config{})
}

func TestEveryPlannedProcessorSaysWhatItDoesAndWhatItsKeysMean(t *testing.T) {
	for _, name := range []string{"gcp.bq_etl", "gcp.api_extractor", "anthropic.usage", "integrations.kms_decrypt", "transform.window"} {
		if _, ok := registry.LookupPlanned(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range registry.PlannedNames() {
		if name == "test.later" {
			continue
		}
		p, _ := registry.LookupPlanned(name)
		described(t, name, p.Summary, p.NewConfig())
	}
}

func TestEveryNotificationSaysWhatItDoesAndWhatItsKeysMean(t *testing.T) {
	want := []string{"notify_systems.email_notification", "notify_systems.slack_notification"}
	if names := registry.NoticeNames(); !slices.Equal(names, want) {
		t.Errorf("there are %v, want %v", names, want)
	}
	for _, name := range want {
		n, ok := registry.LookupNotice(name)
		if !ok {
			t.Fatalf("%s is not known", name)
		}
		described(t, name, n.Summary, n.NewConfig())
		if _, planned := registry.LookupPlanned(name); planned {
			t.Errorf("%s is still planned", name)
		}
	}
}

func described(t *testing.T, name, summary string, config any) {
	t.Helper()
	if summary == "" {
		t.Errorf("%s has no summary", name)
	}
	reflector := jsonschema.Reflector{DoNotReference: true, ExpandedStruct: true, Anonymous: true}
	schema := reflector.Reflect(config)
	undescribed(t, name, schema)
	if keys := jsonKeys(reflect.TypeOf(config).Elem()); schema.Properties.Len() != keys {
		b, _ := json.Marshal(schema)
		t.Errorf("%s: the schema has %d keys, its config %d: %s", name, schema.Properties.Len(), keys, b)
	}
}

func undescribed(t *testing.T, path string, s *jsonschema.Schema) {
	t.Helper()
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		if pair.Value.Description == "" {
			t.Errorf("%s.%s is not described", path, pair.Key)
		}
		if pair.Value.Properties != nil {
			undescribed(t, path+"."+pair.Key, pair.Value)
		}
	}
}

// jsonKeys counts the keys of a config, those of embedded structs included.
func jsonKeys(t reflect.Type) int {
	n := 0
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case f.Tag.Get("json") == "-": // the planner's, not the author's
		case f.Anonymous:
			n += jsonKeys(f.Type)
		case f.Tag.Get("json") != "":
			n++
		}
	}
	return n
}
