package pricing

import (
	"cmp"
	"fmt"
	"slices"

	"cloud.google.com/go/civil"
	"github.com/quagmt/udecimal"
)

// OwnPrice is a price that an organisation stated for a model. Prices are per million
// tokens; a leaf without one takes the shipped price of the day.
type OwnPrice struct {
	Model string
	// From and To are the first and the last usage day; a zero To means no end.
	From, To civil.Date
	Prices   map[Tier]map[Leaf]udecimal.Decimal
	// Discount is what the stated prices are lowered by, in percent from 0 to 100.
	Discount udecimal.Decimal
	// FreeTier and VolumeThreshold say that the price has such a rule. It is not applied:
	// what is free or cheaper depends on all usage of a period, which one row does not tell.
	FreeTier, VolumeThreshold bool
}

// OwnTable is an organisation's prices over shipped ones. It is immutable and safe for
// concurrent use.
type OwnTable struct {
	shipped *Table
	source  string
	models  map[string][]OwnPrice
}

// The names of what a price's rule would need and the cost leaves out; see OwnPrice.
const (
	AssumesFreeTier        = "free_tier"
	AssumesVolumeThreshold = "volume_threshold"
)

var hundred = udecimal.MustFromInt64(100, 0)

// WithOwn returns the prices of an organisation over t. source names where they come
// from, such as the table, and is part of a quote's version.
func (t *Table) WithOwn(source string, prices []OwnPrice) (*OwnTable, error) {
	o := &OwnTable{shipped: t, source: source, models: map[string][]OwnPrice{}}
	for _, p := range prices {
		if p.Model == "" || !p.From.IsValid() || p.To.IsValid() && p.To.Before(p.From) {
			return nil, fmt.Errorf("%s: model %q, from %s to %s: a price needs a model and days in order", source, p.Model, p.From, p.To)
		}
		if p.Discount.IsNeg() || p.Discount.GreaterThan(hundred) {
			return nil, fmt.Errorf("%s: model %q: a discount of %s percent is not between 0 and 100", source, p.Model, p.Discount)
		}
		o.models[p.Model] = append(o.models[p.Model], p)
	}
	for _, list := range o.models {
		slices.SortStableFunc(list, func(a, b OwnPrice) int { return a.From.Compare(b.From) })
	}
	return o, nil
}

// Price finds the prices of a query. A row for the very name that the provider reports
// wins over one for the model that the shipped table takes it for.
func (o *OwnTable) Price(q Query) (Quote, bool) {
	quote, shipped := o.shipped.Price(q)
	own, volume, ok := o.at(q.Model, q.Date)
	exact := ok
	if !ok && shipped {
		own, volume, ok = o.at(quote.Match.Model, q.Date)
	}
	if !ok {
		return quote, shipped
	}
	if err := quote.lay(own, q.Tier, o.source); err != nil {
		return quote, shipped // the price cannot be computed exactly: the row was refused when it was read
	}
	used := len(own.Prices[q.Tier]) > 0
	if !shipped || exact && used {
		quote.Match.Model, quote.Match.Kind = q.Model, Exact
	}
	if !used {
		return quote, true
	}
	if own.FreeTier {
		quote.Assumes = append(quote.Assumes, AssumesFreeTier)
	}
	if volume {
		quote.Assumes = append(quote.Assumes, AssumesVolumeThreshold)
	}
	return quote, true
}

// at returns the row of a model that is in force on a day: of several the last one that
// began, and before those that need a volume the one that does not. volume reports
// whether any of them does.
func (o *OwnTable) at(model string, day civil.Date) (found OwnPrice, volume, ok bool) {
	for _, p := range o.models[model] {
		if day.Before(p.From) || p.To.IsValid() && p.To.Before(day) {
			continue
		}
		volume = volume || p.VolumeThreshold
		if !ok || cmp.Compare(order(p), order(found)) <= 0 {
			found, ok = p, true
		}
	}
	return found, volume, ok
}

func order(p OwnPrice) int {
	if p.VolumeThreshold {
		return 1
	}
	return 0
}

// lay puts the row's prices of a tier over the quote's.
func (q *Quote) lay(own OwnPrice, tier Tier, source string) error {
	rest := hundred.Sub(own.Discount)
	for leaf, price := range own.Prices[tier] {
		if leaf >= LeafCount {
			return fmt.Errorf("unknown leaf %d", leaf)
		}
		amount, err := price.Mul(rest).Div(hundred)
		if err != nil {
			return err
		}
		q.prices[leaf], q.has[leaf], q.own[leaf] = amount.RoundHAZ(priceScale), true, true
	}
	q.ownVersion = source + ", from " + own.From.String()
	return nil
}

// Origin says whose prices a bill was made of.
type Origin uint8

// The origins.
const (
	Shipped Origin = iota // of the product's tables alone, or nothing was used
	Own                   // of the organisation alone
	Mixed                 // of both
)

// Origin tells whose prices the used leaves have.
func (q Quote) Origin(leaves Leaves) Origin {
	var own, shipped bool
	for leaf := range LeafCount {
		switch {
		case leaves[leaf] == 0:
		case q.isOwn(leaf):
			own = true
		default:
			shipped = true
		}
	}
	switch {
	case own && shipped:
		return Mixed
	case own:
		return Own
	default:
		return Shipped
	}
}

// isOwn follows Price: an image leaf may take the price of its text.
func (q Quote) isOwn(leaf Leaf) bool {
	if q.has[leaf] {
		return q.own[leaf]
	}
	parent, ok := imageParents[leaf]
	return ok && q.own[parent]
}

// VersionOf names the tables and days of the prices that the used leaves have.
func (q Quote) VersionOf(leaves Leaves) string {
	switch q.Origin(leaves) {
	case Own:
		return q.ownVersion
	case Mixed:
		if q.Version == "" {
			return q.ownVersion
		}
		return q.ownVersion + "; " + q.Version
	default:
		return q.Version
	}
}
