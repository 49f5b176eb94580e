package pricing

import (
	"strings"

	"cloud.google.com/go/civil"
	"github.com/quagmt/udecimal"
)

// Query asks for the prices of one model on one usage date.
type Query struct {
	Provider string // provider id, in any case: openai, anthropic, google
	Model    string // as the provider reports it
	Date     civil.Date
	Tier     Tier
	// RequestInput is the total input of one request in tokens; it chooses among
	// long-context tiers. 0 means unknown and takes the base price.
	RequestInput int64
}

// Quote is what a query found: the model, the version of the prices, and a price for
// each leaf that has one.
type Quote struct {
	Match Match
	// Version names the files and the first day of the prices, e.g.
	// "genai-prices 0.1.8 of 2026-09-23, from 2026-08-21". Empty when the tier has no
	// shipped prices on that date.
	Version string
	// LongContextAfter is the input of a request above which the model costs more, 0
	// when it never does.
	LongContextAfter int64
	// Assumes names rules of an organisation's price that are not applied.
	Assumes []string

	prices [LeafCount]udecimal.Decimal
	has    [LeafCount]bool
	// own are the leaves whose price the organisation stated, in a row of ownVersion.
	own        [LeafCount]bool
	ownVersion string
}

// Price finds the prices of a query; false means that no model of the provider accepts
// the name. A model without prices for the tier or date gives a quote without prices.
func (t *Table) Price(q Query) (Quote, bool) {
	m, ok := t.Match(q.Provider, q.Model)
	if !ok {
		return Quote{}, false
	}
	quote := Quote{Match: m, LongContextAfter: m.model.longContextAfter(q.Date)}
	var versions []string
	for _, d := range active(m.model.tiers[q.Tier], q.Date) {
		quote.take(d, q.RequestInput)
		versions = append(versions, d.version())
	}
	quote.Version = strings.Join(versions, "; ")
	return quote, true
}

// active returns the last set that replaces and has begun, then the additions to it.
func active(history []dated, day civil.Date) []dated {
	var base, additions []dated
	for _, d := range history {
		if day.Before(d.from) && d.from.IsValid() {
			continue
		}
		ended := d.to.IsValid() && !day.Before(d.to)
		switch {
		case d.adds && !ended:
			additions = append(additions, d)
		case !d.adds && ended:
			base = nil
		case !d.adds:
			base = []dated{d}
		}
	}
	return append(base, additions...)
}

func (q *Quote) take(d dated, requestInput int64) {
	for leaf := range LeafCount {
		if !d.has[leaf] {
			continue
		}
		p := d.prices[leaf]
		amount := p.base
		for _, c := range p.cliffs {
			if requestInput > c.start {
				amount = c.amount
			}
		}
		q.prices[leaf], q.has[leaf] = amount, true
	}
}

func (d dated) version() string {
	if !d.from.IsValid() {
		return d.label
	}
	return d.label + ", from " + d.from.String()
}

func (m *model) longContextAfter(day civil.Date) int64 {
	var first int64
	for _, d := range active(m.tiers[Standard], day) {
		for _, p := range d.prices {
			if len(p.cliffs) > 0 && (first == 0 || p.cliffs[0].start < first) {
				first = p.cliffs[0].start
			}
		}
	}
	return first
}

// Price returns the price of a leaf in USD per million tokens, and false when there is
// none. Image leaves of a model without image prices have the price of the same tokens
// as text.
func (q Quote) Price(leaf Leaf) (udecimal.Decimal, bool) {
	if q.has[leaf] {
		return q.prices[leaf], true
	}
	if parent, ok := imageParents[leaf]; ok && q.has[parent] {
		return q.prices[parent], true
	}
	return udecimal.Decimal{}, false
}
