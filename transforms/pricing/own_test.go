package pricing_test

import (
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/transforms/pricing"
)

func date(text string) civil.Date {
	d, err := civil.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

func own(model, from string, prices map[pricing.Leaf]string, change func(*pricing.OwnPrice)) pricing.OwnPrice {
	p := pricing.OwnPrice{Model: model, From: date(from), Prices: map[pricing.Tier]map[pricing.Leaf]udecimal.Decimal{pricing.Standard: {}}}
	for leaf, text := range prices {
		p.Prices[pricing.Standard][leaf] = udecimal.MustParse(text)
	}
	if change != nil {
		change(&p)
	}
	return p
}

func TestOwnPricesWinLeafByLeaf(t *testing.T) {
	both := map[pricing.Leaf]string{pricing.Input: "1", pricing.Output: "2"}
	rows := []pricing.OwnPrice{
		own("gpt-4o", "2025-01-01", both, nil),
		own("gpt-4o", "2025-06-01", map[pricing.Leaf]string{pricing.Input: "3", pricing.Output: "4"}, nil),
		own("gpt-4o-2024-08-06", "2025-01-01", map[pricing.Leaf]string{pricing.Input: "7", pricing.Output: "8"}, func(p *pricing.OwnPrice) { p.To = date("2025-01-31") }),
		own("house-model", "2025-01-01", both, nil),
		own("gpt-4.1", "2025-01-01", map[pricing.Leaf]string{pricing.Input: "2", pricing.Output: "8"}, func(p *pricing.OwnPrice) {
			p.Discount, p.FreeTier = udecimal.MustParse("12.5"), true
		}),
		own("gpt-4.1", "2025-02-01", both, func(p *pricing.OwnPrice) { p.VolumeThreshold = true }),
	}
	table, err := shippedTable(t).WithOwn("openai_model_pricing", rows)
	if err != nil {
		t.Fatal(err)
	}
	used := pricing.Leaves{pricing.Input: 1_000_000, pricing.Output: 1_000_000}
	cached := used
	cached[pricing.CachedInput] = 1_000_000
	for name, c := range map[string]struct {
		model, day string
		tier       pricing.Tier
		leaves     pricing.Leaves
		total      string
		origin     pricing.Origin
		match      pricing.MatchKind
		price      string // model of the price
		assumes    int
	}{
		"own alone":                      {"gpt-4o", "2025-03-01", pricing.Standard, used, "3", pricing.Own, pricing.Exact, "gpt-4o", 0},
		"the newest that has begun":      {"gpt-4o", "2025-06-01", pricing.Standard, used, "7", pricing.Own, pricing.Exact, "gpt-4o", 0},
		"before the first row":           {"gpt-4o", "2024-12-31", pricing.Standard, used, "12.5", pricing.Shipped, pricing.Exact, "gpt-4o", 0},
		"a leaf that the row lacks":      {"gpt-4o", "2025-03-01", pricing.Standard, cached, "4.25", pricing.Mixed, pricing.Exact, "gpt-4o", 0},
		"a tier that the row lacks":      {"gpt-4o", "2025-03-01", pricing.Batch, used, "6.25", pricing.Shipped, pricing.Exact, "gpt-4o", 0},
		"the snapshot's own row":         {"gpt-4o-2024-08-06", "2025-01-31", pricing.Standard, used, "15", pricing.Own, pricing.Exact, "gpt-4o-2024-08-06", 0},
		"the model's row for a snapshot": {"gpt-4o-2024-08-06", "2025-02-01", pricing.Standard, used, "3", pricing.Own, "", "gpt-4o", 0},
		"unknown to the product":         {"house-model", "2025-02-01", pricing.Standard, used, "3", pricing.Own, pricing.Exact, "house-model", 0},
		"discount, rules not applied":    {"gpt-4.1", "2025-02-02", pricing.Standard, used, "8.75", pricing.Own, pricing.Exact, "gpt-4.1", 2},
	} {
		q, ok := table.Price(pricing.Query{Provider: "OPENAI", Model: c.model, Date: date(c.day), Tier: c.tier})
		if !ok {
			t.Errorf("%s: not found", name)
			continue
		}
		bill, err := q.Bill(c.leaves)
		if err != nil || !bill.Total.Equal(udecimal.MustParse(c.total)) || q.Origin(c.leaves) != c.origin {
			t.Errorf("%s: %s, origin %d, %v; want %s, %d", name, bill.Total, q.Origin(c.leaves), err, c.total, c.origin)
		}
		if c.match != "" && q.Match.Kind != c.match || q.Match.Model != c.price || len(q.Assumes) != c.assumes {
			t.Errorf("%s: match %+v, assumes %v", name, q.Match, q.Assumes)
		}
		if q.VersionOf(c.leaves) == "" {
			t.Errorf("%s: no version", name)
		}
	}
	if _, ok := table.Price(pricing.Query{Provider: "OPENAI", Model: "gpt-99", Date: date("2025-03-01"), Tier: pricing.Standard}); ok {
		t.Error("a model without any price was found")
	}
	q, ok := table.Price(pricing.Query{Provider: "OPENAI", Model: "house-model", Date: date("2025-03-01"), Tier: pricing.Flex})
	var missing *pricing.UnpricedError
	if _, err := q.Bill(used); !ok || !errors.As(err, &missing) || len(missing.Leaves) != 2 {
		t.Errorf("a tier without any price: %v, %v", ok, err)
	}
}

func TestWrongOwnPricesAreRefused(t *testing.T) {
	good := own("m", "2025-01-01", map[pricing.Leaf]string{pricing.Input: "1"}, nil)
	for name, change := range map[string]func(*pricing.OwnPrice){
		"no model":  func(p *pricing.OwnPrice) { p.Model = "" },
		"no day":    func(p *pricing.OwnPrice) { p.From = civil.Date{} },
		"days":      func(p *pricing.OwnPrice) { p.To = civil.Date{Year: 2024, Month: time.May, Day: 1} },
		"above all": func(p *pricing.OwnPrice) { p.Discount = udecimal.MustParse("100.1") },
		"surcharge": func(p *pricing.OwnPrice) { p.Discount = udecimal.MustParse("-1") },
	} {
		p := good
		change(&p)
		if _, err := shippedTable(t).WithOwn("prices", []pricing.OwnPrice{p}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
