package process_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/invopop/jsonschema"

	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/process"
	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

func openAICost(t testing.TB) *registry.Processor {
	t.Helper()
	p, ok := registry.Lookup("openai.cost")
	if !ok {
		t.Fatal("openai.cost is not registered")
	}
	return p
}

// usageRow makes a row of the declared usage schema.
func usageRow(t testing.TB, schema row.Schema, model string, input, output int64) row.Row {
	t.Helper()
	cells := make([]row.Cell, len(schema))
	for name, cell := range map[string]row.Cell{
		"usage_date": row.Date(civil.Date{Year: 2025, Month: 10, Day: 1}), "usage_type": row.String("completions"),
		"model": row.String(model), "batch": row.Bool(false), "service_tier": row.String("default"),
		"input_tokens": row.Int64(input), "input_cached_tokens": row.Int64(0), "output_tokens": row.Int64(output),
		"raw_data": row.String("{}"),
	} {
		cells[schema.Index(name)] = cell
	}
	return row.Row{Cells: cells}
}

func TestOpenAICostKeepsThePageAndCountsOnPrism(t *testing.T) {
	p := openAICost(t)
	schema := declared(t, inputs["openai.cost"])
	earlier := row.Reject{Code: "INVALID_VALUE", Step: "extract", Reason: "a number", Payload: "x", Index: 9}
	page := row.Page{
		Position: row.Position{Unit: "u", Partition: "usage/completions", Pass: "p", Index: 7, First: "f", Next: "n"},
		Rejects:  []row.Reject{earlier}, Requests: 2,
		Rows: []row.Row{usageRow(t, schema, "gpt-4o", 1000, 100), usageRow(t, schema, "no-such-model", 1, 1), usageRow(t, schema, "gpt-4o", -1, 0)},
	}
	pipeline, s := beam.NewPipelineWithRoot()
	out, err := p.Build(s, beam.Create(s, page), registry.Build{Step: registry.Step[any]{
		ID: "price", Org: "acme", Now: runStart.UnixMicro(), Input: schema, Schema: declared(t, p.Output.SchemaRef), Config: p.NewConfig(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	beam.ParDo0(s, &collectFn{ID: t.Name()}, out)
	result, err := prism.Execute(t.Context(), pipeline)
	if err != nil {
		t.Fatal(err)
	}
	got := collected[t.Name()]
	if len(got) != 1 || got[0].Position != page.Position || len(got[0].Rows) != 2 {
		t.Fatalf("got %+v", got)
	}
	if r := got[0].Rejects; len(r) != 2 || r[0] != earlier || r[1].Index != 2 || r[1].Step != "price" {
		t.Errorf("rejects: %+v", r)
	}
	counters := map[string]int64{}
	for _, c := range result.Metrics().Query(func(r beam.MetricResult) bool { return r.Namespace() == "price" }).Counters() {
		counters[c.Name()] += c.Result()
	}
	if want := map[string]int64{"priced_rows": 2, "unpriced": 1, "refused_rows": 1}; !reflect.DeepEqual(counters, want) {
		t.Errorf("counters %v, want %v", counters, want)
	}
}

func TestOpenAICostDoesNotChangeTheRowsThatItReads(t *testing.T) {
	schema := declared(t, inputs["openai.cost"])
	page := row.Page{Rows: []row.Row{usageRow(t, schema, "gpt-4o", 10, 1)}}
	before := slices.Clone(page.Rows[0].Cells)
	p := openAICost(t)
	if _, err := runPage(t, direct.Execute, p, p.NewConfig(), page); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, page.Rows[0].Cells) {
		t.Error("the input row changed")
	}
}

func TestBuildRefusesSchemasThatItCannotServe(t *testing.T) {
	p := openAICost(t)
	in, out := declared(t, inputs["openai.cost"]), declared(t, p.Output.SchemaRef)
	retyped := func(s row.Schema, name string, typ row.Type) row.Schema {
		s = slices.Clone(s)
		s[s.Index(name)].Type = typ
		return s
	}
	for name, c := range map[string]struct {
		in, out row.Schema
		want    string
	}{
		"float cost":     {in, retyped(out, "total_cost_usd", row.TypeFloat64), "column total_cost_usd is declared FLOAT64: make it NUMERIC"},
		"text tokens":    {retyped(in, "input_tokens", row.TypeString), out, "input column input_tokens is STRING: make it INT64"},
		"unknown column": {in, append(slices.Clone(out), row.Field{Name: "colour", Type: row.TypeString}), "nothing gives the columns colour"},
		"no model":       {in[:1], out, "the input has no column usage_date"},
	} {
		_, s := beam.NewPipelineWithRoot()
		_, err := p.Build(s, beam.Create(s, row.Page{}), registry.Build{Step: registry.Step[any]{ID: "price", Input: c.in, Schema: c.out, Config: p.NewConfig()}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "step price") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestColumnsThatTheStepBeforeAddsAreCopied(t *testing.T) {
	p := openAICost(t)
	extra := row.Field{Name: "team", Type: row.TypeString}
	in := append(declared(t, inputs["openai.cost"]), extra)
	out := append(declared(t, p.Output.SchemaRef), extra)
	r := usageRow(t, in, "gpt-4o", 10, 1)
	r.Cells[in.Index("team")] = row.String("search")
	pipeline, s := beam.NewPipelineWithRoot()
	pages, err := p.Build(s, beam.Create(s, row.Page{Rows: []row.Row{r}}), registry.Build{Step: registry.Step[any]{ID: "price", Org: "acme", Input: in, Schema: out, Config: p.NewConfig()}})
	if err != nil {
		t.Fatal(err)
	}
	beam.ParDo0(s, &collectFn{ID: t.Name()}, pages)
	if _, err := direct.Execute(t.Context(), pipeline); err != nil {
		t.Fatal(err)
	}
	if got := collected[t.Name()][0].Rows[0].Cells[out.Index("team")].Text(); got != "search" {
		t.Errorf("team: got %q", got)
	}
}

func TestRunFailsWithoutAPriceTable(t *testing.T) {
	t.Cleanup(func() { process.UsePrices(readPrices) })
	process.UsePrices(func() (*pricing.Table, error) { return nil, errors.New("file is gone") })
	p := openAICost(t)
	if _, err := runPage(t, direct.Execute, p, p.NewConfig(), row.Page{}); err == nil || !strings.Contains(err.Error(), "read price table: file is gone") {
		t.Errorf("got %v", err)
	}
}

func TestDeclaredDefaultsAreThoseOfACostTable(t *testing.T) {
	o := openAICost(t).Output
	want := registry.Output{SchemaRef: "openai/cost/openai_cost_daily", Table: "openai_cost_daily", WriteMode: "replace_partition", ByDay: true, MoneyTable: true}
	if o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

func TestEveryConfigKeyIsDescribed(t *testing.T) {
	for _, name := range registry.Names() {
		p, _ := registry.Lookup(name)
		schema := (&jsonschema.Reflector{DoNotReference: true}).Reflect(p.NewConfig())
		if schema.Properties == nil || schema.Properties.Len() == 0 {
			t.Errorf("%s: the config has no keys", name)
			continue
		}
		for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
			if pair.Value.Description == "" {
				t.Errorf("%s: key %s has no description", name, pair.Key)
			}
		}
	}
}
