package wiring

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/prices"
	"github.com/cloudact/convergence/transforms/pricing"
)

// PriceStore returns the price and plan tables of organisations.
func (e Environment) PriceStore(client *bigquery.Client, providers configs.Providers) (*prices.Store, error) {
	all := map[string]prices.Provider{}
	for _, name := range providers.Names() {
		p, _ := providers.Lookup(name)
		if p.DataTables["pricing_table"] == "" {
			continue
		}
		tables := p.DataTables
		out := prices.Provider{PriceTable: tables["pricing_table"], PlanTable: tables["subscriptions_table"], View: tables["pricing_view"]}
		for _, f := range []struct {
			to   *[]byte
			name string
		}{
			{&out.PriceSchema, tables["pricing_schema"]},
			{&out.PlanSchema, tables["subscriptions_schema"]},
			{&out.PriceSeed, tables["seed_path"] + "/default_pricing.csv"},
			{&out.PlanSeed, tables["seed_path"] + "/default_subscriptions.csv"},
		} {
			text, err := fs.ReadFile(configs.Shipped(), f.name)
			if err != nil {
				return nil, fmt.Errorf("read tables of %s: %w", name, err)
			}
			*f.to = text
		}
		all[pricesOf(p)] = out
	}
	return prices.New(prices.Config{BigQuery: client, Suffix: e.Suffix(), Location: e.Location, Providers: all})
}

// pricesOf is what a provider's tables begin with, openai of openai_model_pricing; Google
// Cloud's are those of Gemini.
func pricesOf(p configs.Provider) string {
	name, _, _ := strings.Cut(p.DataTables["pricing_table"], "_model_pricing")
	return name
}

// PreparePrices returns a Ready that makes and seeds the tables of a provider.
func PreparePrices(store *prices.Store, providers configs.Providers) Ready {
	return func(ctx context.Context, org string, p credentials.Provider) error {
		found, ok := providers.Lookup(p.Name)
		if !ok || !store.Has(pricesOf(found)) {
			return nil
		}
		return store.Prepare(ctx, org, pricesOf(found))
	}
}

// ownPrices returns what cost processors read the prices of organisations with.
func (e Environment) ownPrices(catalog *configs.Catalog, clients *Clients) OwnPrices {
	store, err := e.PriceStore(clients.BigQuery, catalog.Providers())
	return OwnPrices{Store: store, Err: err}
}

// OwnPrices gives cost processors the prices of organisations. Err, if any, is why there
// is no store; it is the answer to every question.
type OwnPrices struct {
	Store *prices.Store
	Err   error
}

// OwnPrices implements process.OwnPrices.
func (o OwnPrices) OwnPrices(ctx context.Context, org, table string) ([]pricing.OwnPrice, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	rows, err := o.Store.Own(ctx, org, table)
	if err != nil {
		return nil, err
	}
	out := make([]pricing.OwnPrice, 0, len(rows))
	for _, r := range rows {
		p, err := ownPrice(r)
		if err != nil {
			return nil, fmt.Errorf("%s, model %s: %w", table, r.ModelID, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// perMillion is what a price per thousand is multiplied by.
const perMillion = 1000

// ownPrice reads a row for the calculation. A base price is what a discount was taken
// off, so that the row's price has it already.
func ownPrice(r prices.Price) (pricing.OwnPrice, error) {
	p := pricing.OwnPrice{
		Model: r.ModelID, From: r.EffectiveDate, Prices: map[pricing.Tier]map[pricing.Leaf]udecimal.Decimal{},
		FreeTier:        r.FreeInput != nil && *r.FreeInput > 0 || r.FreeOutput != nil && *r.FreeOutput > 0,
		VolumeThreshold: r.VolumeThreshold != nil && *r.VolumeThreshold > 0,
	}
	if r.EndDate != nil {
		p.To = *r.EndDate
	}
	if r.Discount != nil && r.BaseInput == nil && r.BaseOutput == nil {
		d, err := udecimal.Parse(r.Discount.String())
		if err != nil {
			return p, err
		}
		p.Discount = d
	}
	for _, c := range []struct {
		tier  pricing.Tier
		leaf  pricing.Leaf
		value *prices.Decimal
	}{
		{pricing.Standard, pricing.Input, &r.Input},
		{pricing.Standard, pricing.Output, &r.Output},
		{pricing.Standard, pricing.CachedInput, r.CachedInput},
		{pricing.Standard, pricing.CacheWrite, r.CacheWrite},
		{pricing.Batch, pricing.Input, r.BatchInput},
		{pricing.Batch, pricing.Output, r.BatchOutput},
	} {
		if c.value == nil {
			continue
		}
		d, err := udecimal.Parse(c.value.String())
		if err != nil {
			return p, err
		}
		if p.Prices[c.tier] == nil {
			p.Prices[c.tier] = map[pricing.Leaf]udecimal.Decimal{}
		}
		if p.Prices[c.tier][c.leaf], err = pricing.ParsePrice(d.Mul64(perMillion).String()); err != nil {
			return p, err
		}
	}
	return p, nil
}

// PriceTable names the shipped price table and says of which day it is.
func PriceTable() (label string, date time.Time, err error) {
	const name = "pricing/genai-prices.json"
	text, err := fs.ReadFile(configs.Shipped(), name)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read prices: %w", err)
	}
	var header struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Date    string `json:"date"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return "", time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	if date, err = time.Parse(time.DateOnly, header.Date); err != nil {
		return "", time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	return header.Name + " " + header.Version + " of " + header.Date, date, nil
}
