package wiring

import (
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/launcher/prices"
	"github.com/cloudact/convergence/transforms/pricing"
)

func decimal(t *testing.T, text string) prices.Decimal {
	t.Helper()
	d, err := prices.ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestARowIsPricedPerMillion(t *testing.T) {
	from := civil.Date{Year: 2026, Month: time.January, Day: 1}
	cached, batch, discount, free := decimal(t, "0.000000001"), decimal(t, "999.999999999"), decimal(t, "10"), int64(5)
	row := prices.Price{
		ModelID: "m", Input: decimal(t, "0.0025"), Output: decimal(t, "0.01"), CachedInput: &cached, BatchOutput: &batch,
		EffectiveDate: from, EndDate: &from, Discount: &discount, FreeInput: &free,
	}
	p, err := ownPrice(row)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tier pricing.Tier
		leaf pricing.Leaf
		want string
	}{
		{pricing.Standard, pricing.Input, "2.5"},
		{pricing.Standard, pricing.Output, "10"},
		{pricing.Standard, pricing.CachedInput, "0.000001"},
		{pricing.Batch, pricing.Output, "999999.999999"},
	} {
		if got := p.Prices[c.tier][c.leaf]; !got.Equal(udecimal.MustParse(c.want)) {
			t.Errorf("%s %s is %s, want %s", c.tier, c.leaf, got, c.want)
		}
	}
	if _, ok := p.Prices[pricing.Batch][pricing.Input]; ok || p.To != from || !p.FreeTier || p.VolumeThreshold || p.Discount.String() != "10" {
		t.Errorf("%+v", p)
	}
	base := decimal(t, "0.003")
	row.BaseInput = &base // the discount is in the price already
	if p, err = ownPrice(row); err != nil || !p.Discount.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTheShippedNotificationTemplatesAreRead(t *testing.T) {
	if _, err := (Environment{}).Notifier(nil); err != nil {
		t.Fatal(err)
	}
}
