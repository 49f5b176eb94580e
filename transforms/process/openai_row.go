package process

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/row"
)

// The codes of rejected rows.
const (
	codeInvalid = "INVALID_VALUE"
	codeMissing = "MISSING_REQUIRED"
)

// rowError is a row that cannot be priced because of its data.
type rowError struct{ code, reason string }

func (e *rowError) Error() string { return e.reason }

// The values of pricing_status.
const (
	statusPriced   = "PRICED"
	statusMixed    = "MIXED" // the organisation's own prices and shipped ones
	statusUnpriced = "UNPRICED"
)

// sourceShipped is pricing_source of prices that come with the product.
const sourceShipped = "shipped"

// openAIPricer turns usage rows into cost rows. It keeps the prices that it looked up
// and is not safe for concurrent use.
type openAIPricer struct {
	layout *openAILayout
	prices Prices
	table  string // of the organisation's own prices
	quotes map[quoteKey]quoteEntry
	org    row.Cell
	now    row.Cell
	zero   row.Cell
}

type quoteKey struct {
	model string
	day   civil.Date
	tier  pricing.Tier
}

type quoteEntry struct {
	quote pricing.Quote
	found bool
}

// maxQuotes bounds the remembered prices: far more than a month of every model.
const maxQuotes = 10_000

func newOpenAIPricer(layout *openAILayout, prices Prices, table, org string, now int64) *openAIPricer {
	p := &openAIPricer{layout: layout, prices: prices, table: table, quotes: map[quoteKey]quoteEntry{}}
	p.now = row.Timestamp(time.UnixMicro(now))
	p.zero = numeric("0")
	if org != "" {
		p.org = row.String(org)
	}
	return p
}

// usage is what a row says, as far as it is priced.
type usage struct {
	day       civil.Date
	usageType string
	model     string
	batch     row.Cell
	tier      row.Cell
	tokens    pricing.OpenAIUsage
	known     measures
}

// row prices one usage row; priced is false for an UNPRICED one. An error means that
// the row's data cannot be right.
func (p *openAIPricer) row(r row.Row) (out row.Row, priced bool, err error) {
	u, err := p.layout.read(r)
	if err != nil {
		return row.Row{}, false, err
	}
	var made madeCells
	p.describe(&made, r)
	leaves, err := u.tokens.Leaves()
	if err != nil {
		return row.Row{}, false, &rowError{codeInvalid, err.Error()}
	}
	if err := made.tokens(&u, leaves); err != nil {
		return row.Row{}, false, err
	}
	reason, err := p.price(&made, &u, leaves)
	if err != nil {
		return row.Row{}, false, err
	}
	if reason != "" {
		made[outStatus], made[outReason] = row.String(statusUnpriced), row.String(reason)
	}
	out, err = p.layout.assemble(r, &made)
	return out, reason == "", err
}

func (p *openAIPricer) describe(made *madeCells, r row.Row) {
	made[outOrg], made[outProvider] = p.layout.cell(r, inOrg), p.layout.cell(r, inProvider)
	if !p.org.IsNull() {
		made[outOrg] = p.org
	}
	if made[outProvider].IsNull() {
		made[outProvider] = row.String(openAI)
	}
	made[outRequests] = p.layout.cell(r, inModelRequests)
	if made[outRequests].IsNull() {
		made[outRequests] = p.layout.cell(r, inRequests)
	}
	made[outCalculatedAt] = p.now
}

// price fills the price and cost cells; a reason means that the row is UNPRICED and its
// costs stay NULL.
func (p *openAIPricer) price(made *madeCells, u *usage, leaves pricing.Leaves) (reason string, err error) {
	if !pricing.OpenAIPerToken(u.usageType) {
		return fmt.Sprintf("usage type %q is not billed by its tokens", u.usageType), nil
	}
	batch, _ := u.batch.AsBool()
	serviceTier, _ := u.tier.AsText()
	tier, err := pricing.OpenAITier(batch, serviceTier)
	if err != nil {
		return err.Error(), nil
	}
	made[outPricingTier] = row.String(string(tier))
	if u.model == "" {
		return "the usage names no model", nil
	}
	quote, found := p.quote(quoteKey{u.model, u.day, tier})
	if !found {
		return fmt.Sprintf("unknown model %q", u.model), nil
	}
	made[outMatch], made[outPriceModel] = row.String(string(quote.Match.Kind)), row.String(quote.Match.Model)
	bill, err := quote.Bill(leaves)
	var missing *pricing.UnpricedError
	if errors.As(err, &missing) {
		return fmt.Sprintf("%v of %s, tier %s, on %s", missing, quote.Match.Model, tier, u.day), nil
	}
	if err != nil {
		return "", &rowError{codeInvalid, err.Error()}
	}
	made[outVersion] = text(quote.VersionOf(leaves))
	made[outStatus], made[outSource] = p.origin(quote.Origin(leaves))
	made[outNotComputable] = text(notComputable(u, quote))
	return "", made.costs(bill, p.zero)
}

// origin returns the cells that say whose prices were used.
func (p *openAIPricer) origin(o pricing.Origin) (status, source row.Cell) {
	switch o {
	case pricing.Own:
		return row.String(statusPriced), row.String(p.table)
	case pricing.Mixed:
		return row.String(statusMixed), row.String(p.table + "," + sourceShipped)
	default:
		return row.String(statusPriced), row.String(sourceShipped)
	}
}

func (p *openAIPricer) quote(key quoteKey) (pricing.Quote, bool) {
	entry, known := p.quotes[key]
	if !known {
		entry.quote, entry.found = p.prices.Price(pricing.Query{Provider: openAI, Model: key.model, Date: key.day, Tier: key.tier})
		if len(p.quotes) >= maxQuotes {
			clear(p.quotes)
		}
		p.quotes[key] = entry
	}
	return entry.quote, entry.found
}

// notComputable names what the usage does not tell and the cost assumes. The sizes of
// single requests are unknown, but none can be larger than all of them together.
func notComputable(u *usage, q pricing.Quote) string {
	var names []string
	completions := u.usageType == "" || u.usageType == "completions"
	if q.LongContextAfter > 0 && u.tokens.Input > q.LongContextAfter {
		names = append(names, "context_tier")
	}
	if _, priced := q.Price(pricing.CachedInput); priced && completions && !u.known[inCached] && u.tokens.Input > 0 {
		names = append(names, "cached_input")
	}
	if u.batch.IsNull() {
		names = append(names, "batch")
	}
	if completions && u.tier.IsNull() {
		names = append(names, "service_tier")
	}
	return strings.Join(append(names, q.Assumes...), ",")
}

func text(s string) row.Cell {
	if s == "" {
		return row.Null()
	}
	return row.String(s)
}
