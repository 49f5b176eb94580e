package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/process"
	"github.com/cloudact/convergence/transforms/row"
)

// ownRows are the prices of one organisation, by table.
type ownRows map[string][]pricing.OwnPrice

func (o ownRows) OwnPrices(_ context.Context, org, table string) ([]pricing.OwnPrice, error) {
	if org != "acme" {
		return nil, nil
	}
	if table == "broken_pricing" {
		return nil, errors.New("the warehouse is away")
	}
	return o[table], nil
}

func TestAnOrganisationsOwnPricesWin(t *testing.T) {
	t.Cleanup(func() { process.UseOwnPrices(ownRows{}) })
	rows := ownRows{"openai_model_pricing": {
		{
			Model: "gpt-4o", From: civil.Date{Year: 2025, Month: 1, Day: 1}, FreeTier: true,
			Prices: map[pricing.Tier]map[pricing.Leaf]udecimal.Decimal{pricing.Standard: {
				pricing.Input: udecimal.MustParse("2"), pricing.Output: udecimal.MustParse("8"),
			}},
		},
	}}
	process.UseOwnPrices(rows)
	p := openAICost(t)
	schema := declared(t, inputs["openai.cost"])
	cached := usageRow(t, schema, "gpt-4o", 1_000_000, 1_000_000)
	cached.Cells[schema.Index("input_cached_tokens")] = row.Int64(400_000)
	page := row.Page{Rows: []row.Row{
		usageRow(t, schema, "gpt-4o", 1_000_000, 1_000_000), cached, usageRow(t, schema, "gpt-4o-mini", 1_000_000, 0), usageRow(t, schema, "no-such-model", 1, 1),
	}}
	run := func(table string) (row.Page, error) {
		config := p.NewConfig().(*process.OpenAICostConfig)
		config.PricingSource = table
		return runPage(t, direct.Execute, p, config, page)
	}
	got, err := run("")
	if err != nil {
		t.Fatal(err)
	}
	out := declared(t, p.Output.SchemaRef)
	for i, want := range []map[string]string{
		{"pricing_status": "PRICED", "total_cost_usd": "10", "pricing_source": "openai_model_pricing", "price_version": "openai_model_pricing, from 2025-01-01", "not_computable": "free_tier"},
		{"pricing_status": "MIXED", "total_cost_usd": "9.7", "cached_input_cost_usd": "0.5", "pricing_source": "openai_model_pricing,shipped", "price_version": "openai_model_pricing, from 2025-01-01; genai-prices 0.1.8 of 2026-09-23"},
		{"pricing_status": "PRICED", "total_cost_usd": "0.15", "pricing_source": "shipped", "not_computable": ""},
		{"pricing_status": "UNPRICED", "total_cost_usd": "", "pricing_source": ""},
	} {
		for name, value := range want {
			if text := got.Rows[i].Cells[out.Index(name)].Text(); text != value {
				t.Errorf("row %d: %s is %q, want %q", i, name, text, value)
			}
		}
	}
	if got, err := run("other_pricing"); err != nil || got.Rows[0].Cells[out.Index("total_cost_usd")].Text() != "12.5" {
		t.Errorf("a table without rows: %+v, %v", got.Rows, err)
	}
	if _, err := run("broken_pricing"); err == nil || !strings.Contains(err.Error(), "read the organisation's prices in broken_pricing: the warehouse is away") {
		t.Errorf("a table that cannot be read: %v", err)
	}
}

func TestThePriceTableIsATableOfTheOrganisation(t *testing.T) {
	for _, name := range []string{"other.table", "a-b", "`x`", strings.Repeat("x", 200)} {
		if err := (process.OpenAICostConfig{PricingTable: name}).Validate(); err == nil || !strings.Contains(err.Error(), "not the name of a table") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
