package openai

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"

	"cloud.google.com/go/civil"
)

//go:embed testdata/bill.json
var billJSON []byte

// Tiers of the price list. A batch request is billed as batch whatever its
// service tier.
const (
	tierStandard = "standard"
	tierBatch    = "batch"
)

// leaf is one of the disjoint kinds of token that a request is billed for.
type leaf string

const (
	leafInput      leaf = "input"
	leafCached     leaf = "cached input"
	leafCacheWrite leaf = "cache write"
	leafOutput     leaf = "output"
)

// price is one dated entry of the list, in dollars per token. A leaf without a
// price is absent.
type price struct {
	model    string
	tier     string
	from     civil.Date // zero: since ever
	perToken map[leaf]*big.Rat
}

type priceList []price

// line is what one request costs for one leaf.
type line struct {
	leaf   leaf
	tier   string
	tokens int64
	amount *big.Rat
}

// prices returns the simulator's price list. It is part of the binary, so an
// error means that it was changed.
var prices = sync.OnceValues(func() (priceList, error) {
	var file struct {
		Prices []struct {
			Model, Tier, From, Source string
			Input, Output             string
			CachedInput               string `json:"cached_input"`
			CacheWrite                string `json:"cache_write"`
		}
	}
	if err := json.Unmarshal(billJSON, &file); err != nil {
		return nil, fmt.Errorf("read bill.json: %w", err)
	}
	var list priceList
	for _, p := range file.Prices {
		entry := price{model: p.Model, tier: p.Tier, perToken: map[leaf]*big.Rat{}}
		if p.Source == "" {
			return nil, fmt.Errorf("read bill.json: %s %s names no source", p.Model, p.Tier)
		}
		if p.From != "" {
			day, err := civil.ParseDate(p.From)
			if err != nil {
				return nil, fmt.Errorf("read bill.json: %s %s: %w", p.Model, p.Tier, err)
			}
			entry.from = day
		}
		for kind, text := range map[leaf]string{leafInput: p.Input, leafCached: p.CachedInput, leafCacheWrite: p.CacheWrite, leafOutput: p.Output} {
			if text == "" {
				continue
			}
			perMillion, ok := new(big.Rat).SetString(text)
			if !ok {
				return nil, fmt.Errorf("read bill.json: %s %s: %q is not a decimal", p.Model, p.Tier, text)
			}
			entry.perToken[kind] = perMillion.Quo(perMillion, big.NewRat(1_000_000, 1))
		}
		list = append(list, entry)
	}
	return list, nil
})

// on returns the entry of a model and tier that is in force on a day.
func (l priceList) on(model, tier string, day civil.Date) (price, bool) {
	var found price
	ok := false
	for _, p := range l {
		if p.model != model || p.tier != tier || p.from.After(day) {
			continue
		}
		if !ok || p.from.After(found.from) {
			found, ok = p, true
		}
	}
	return found, ok
}

// lines returns what the request costs, a line for each leaf that it used.
func (l priceList) lines(r Request) ([]line, error) {
	tier := r.billingTier()
	entry, ok := l.on(r.Model, tier, civil.DateOf(r.Time))
	if !ok {
		return nil, fmt.Errorf("bill request of %s: no %s price on %s", r.Model, tier, civil.DateOf(r.Time))
	}
	used := []line{
		{leaf: leafInput, tokens: r.InputTokens - r.CachedTokens - r.CacheWriteTokens},
		{leaf: leafCached, tokens: r.CachedTokens},
		{leaf: leafCacheWrite, tokens: r.CacheWriteTokens},
		{leaf: leafOutput, tokens: r.OutputTokens},
	}
	lines := used[:0]
	for _, item := range used {
		if item.tokens == 0 {
			continue
		}
		perToken, ok := entry.perToken[item.leaf]
		if !ok {
			return nil, fmt.Errorf("bill request of %s: no %s price for %s", r.Model, tier, item.leaf)
		}
		item.tier = tier
		item.amount = new(big.Rat).Mul(perToken, new(big.Rat).SetInt64(item.tokens))
		lines = append(lines, item)
	}
	return lines, nil
}

// decimal prints an amount with every digit that it has. Sums of token counts
// times decimal prices always end, so nothing is rounded.
func decimal(amount *big.Rat) string {
	digits, _ := amount.FloatPrec()
	return amount.FloatString(digits)
}
