package registry_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

type nested struct {
	Codes []int             `json:"codes"`
	Names map[string]string `json:"names"`
}

type config struct {
	Limit  int      `json:"limit"`
	Groups []string `json:"groups"`
	Deep   *nested  `json:"deep"`
	Any    any      `json:"any"`
}

func defaults() config {
	return config{
		Limit: 31, Groups: []string{"a", "b"}, Any: map[string]any{"k": []any{"v"}},
		Deep: &nested{Codes: []int{429, 500}, Names: map[string]string{"x": "1"}},
	}
}

// built is what the last build function was given.
var built []registry.Step[config]

func build(_ beam.Scope, in beam.PCollection, step registry.Step[config]) (beam.PCollection, error) {
	built = append(built, step)
	if step.Config.Limit < 0 {
		return beam.PCollection{}, errors.New("limit is negative")
	}
	return in, nil
}

func init() {
	registry.RegisterProcess(registry.Spec{Name: "test.process", Aliases: []string{"test.p", "tp"}, Summary: "s"}, defaults(), build)
	registry.RegisterSource(registry.Spec{Name: "test.source"}, defaults(), build)
	registry.RegisterQuery(registry.Spec{Name: "test.query"}, config{Groups: []string{"SELECT 1"}}, func(c config) string { return c.Groups[0] })
}

func lookup(t *testing.T, name string) *registry.Processor {
	t.Helper()
	p, ok := registry.Lookup(name)
	if !ok {
		t.Fatalf("%s is not registered", name)
	}
	return p
}

func TestLookupFindsNamesAndAliases(t *testing.T) {
	p := lookup(t, "test.process")
	if lookup(t, "test.p") != p || lookup(t, "tp") != p || p.Summary != "s" {
		t.Error("an alias must find the same processor")
	}
	if _, ok := registry.Lookup("test.unknown"); ok {
		t.Error("an unknown name was found")
	}
	for name, kind := range map[string]registry.Kind{"test.process": registry.Process, "test.source": registry.Source, "test.query": registry.Query} {
		if got := lookup(t, name).Kind; got != kind {
			t.Errorf("%s: got kind %s", name, got)
		}
	}
}

func TestNamesAreSortedWithoutAliases(t *testing.T) {
	if got := registry.Names(); !slices.Equal(got, []string{"test.process", "test.query", "test.source"}) {
		t.Errorf("got %v", got)
	}
}

func TestTakenAndEmptyNamesPanic(t *testing.T) {
	for name, spec := range map[string]registry.Spec{
		"taken name": {Name: "test.source"}, "taken by an alias": {Name: "tp"}, "empty": {},
		"alias taken": {Name: "test.new1", Aliases: []string{"test.query"}}, "alias of itself": {Name: "test.new2", Aliases: []string{"test.new2"}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			registry.RegisterSource(spec, config{}, build)
		}()
	}
}

func TestDefaultsAreNeverShared(t *testing.T) {
	for _, name := range []string{"test.process", "test.source"} {
		p := lookup(t, name)
		first := p.NewConfig().(*config)
		if !reflect.DeepEqual(*first, defaults()) {
			t.Fatalf("%s: got %+v", name, *first)
		}
		if err := json.Unmarshal([]byte(`{"limit":1,"groups":["x"],"deep":{"codes":[1],"names":{"x":"2","y":"3"}}}`), first); err != nil {
			t.Fatal(err)
		}
		first.Any.(map[string]any)["k"].([]any)[0] = "changed"
		if second := p.NewConfig().(*config); !reflect.DeepEqual(*second, defaults()) {
			t.Errorf("%s: one config changed the next: %+v, deep %+v", name, *second, *second.Deep)
		}
	}
}

func TestBuildHandsTheTypedStepOver(t *testing.T) {
	p := lookup(t, "tp")
	_, s := beam.NewPipelineWithRoot()
	a, b := p.NewConfig().(*config), p.NewConfig().(*config)
	b.Limit = 7
	in := row.Schema{{Name: "i", Type: row.TypeInt64}}
	out := row.Schema{{Name: "o", Type: row.TypeNumeric}}
	built = nil
	_, err := p.Build(s, beam.Create(s, row.Page{}), registry.Build{
		Step:  registry.Step[any]{ID: "id", Org: "acme", Provider: "P", RunID: "r", Schema: out, Input: in, Config: a, Now: 5, Shards: 2},
		Units: []row.Unit{{ID: "u", Generation: 3}}, UnitConfigs: []any{b},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Step[config]{
		ID: "id", Org: "acme", Provider: "P", RunID: "r", Schema: out, Input: in, Config: *a, Now: 5, Shards: 2,
		Units: []registry.Unit[config]{{Unit: row.Unit{ID: "u", Generation: 3}, Config: *b}},
	}
	if len(built) != 1 || !reflect.DeepEqual(built[0], want) {
		t.Errorf("got %+v\nwant %+v", built, want)
	}
}

func TestBuildRefusesConfigsOfAnotherType(t *testing.T) {
	p := lookup(t, "test.process")
	good := func() *config { return p.NewConfig().(*config) }
	var none *config
	for name, b := range map[string]registry.Build{
		"value":         {Step: registry.Step[any]{ID: "id", Config: config{}}},
		"other type":    {Step: registry.Step[any]{ID: "id", Config: &nested{}}},
		"nil":           {Step: registry.Step[any]{ID: "id"}},
		"nil pointer":   {Step: registry.Step[any]{ID: "id", Config: none}},
		"missing unit":  {Step: registry.Step[any]{ID: "id", Config: good()}, Units: []row.Unit{{}}},
		"unit type":     {Step: registry.Step[any]{ID: "id", Config: good()}, Units: []row.Unit{{}}, UnitConfigs: []any{config{}}},
		"nil unit type": {Step: registry.Step[any]{ID: "id", Config: good()}, Units: []row.Unit{{}}, UnitConfigs: []any{none}},
	} {
		_, s := beam.NewPipelineWithRoot()
		if _, err := p.Build(s, beam.Create(s, row.Page{}), b); err == nil || !strings.Contains(err.Error(), "step id") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestBuildPassesTheErrorOfTheProcessorOn(t *testing.T) {
	p := lookup(t, "test.source")
	c := p.NewConfig().(*config)
	c.Limit = -1
	_, s := beam.NewPipelineWithRoot()
	if _, err := p.Build(s, beam.PCollection{}, registry.Build{Step: registry.Step[any]{ID: "id", Config: c}}); err == nil || err.Error() != "limit is negative" {
		t.Errorf("got %v", err)
	}
}

func TestQueriesHaveATemplateAndNoTransform(t *testing.T) {
	q := lookup(t, "test.query")
	c := q.NewConfig().(*config)
	if got := q.Template(c); got != "SELECT 1" {
		t.Errorf("got %q", got)
	}
	c.Groups[0] = "SELECT 2"
	if got := q.Template(q.NewConfig()); got != "SELECT 1" {
		t.Errorf("a config changed the default template: %q", got)
	}
	_, s := beam.NewPipelineWithRoot()
	if _, err := q.Build(s, beam.PCollection{}, registry.Build{Step: registry.Step[any]{ID: "id", Config: c}}); err == nil || !strings.Contains(err.Error(), "test.query") {
		t.Errorf("got %v", err)
	}
	if got := lookup(t, "test.process").Template(defaults()); got != "" {
		t.Errorf("a process step has template %q", got)
	}
}

func TestFieldErrorNamesItsPath(t *testing.T) {
	var err error = &registry.FieldError{Path: "auth.type", Message: "must be one of bearer, basic"}
	if err.Error() != "auth.type: must be one of bearer, basic" {
		t.Errorf("got %q", err)
	}
}
