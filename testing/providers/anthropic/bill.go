package anthropic

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

// price is what a model costs, in dollars per token.
type price struct {
	model, title string
	created      civil.Date
	perToken     [leafCount]*big.Rat
}

type priceList struct {
	models    []price // in the order of the file, by which requests are dealt out
	webSearch *big.Rat
}

// prices returns the simulator's price list. It is part of the binary, so an error means
// that it was changed.
var prices = sync.OnceValues(func() (priceList, error) {
	var file struct {
		WebSearch string `json:"web_search_per_1000"`
		Prices    []struct {
			Model, Title, Created, Source string
			Input                         string `json:"uncached_input"`
			Write5m                       string `json:"cache_write_5m"`
			Write1h                       string `json:"cache_write_1h"`
			Read                          string `json:"cache_read"`
			Output                        string
		}
	}
	if err := json.Unmarshal(billJSON, &file); err != nil {
		return priceList{}, fmt.Errorf("read bill.json: %w", err)
	}
	search, ok := new(big.Rat).SetString(file.WebSearch)
	if !ok {
		return priceList{}, fmt.Errorf("read bill.json: %q is not a decimal", file.WebSearch)
	}
	list := priceList{webSearch: search.Quo(search, big.NewRat(1000, 1))}
	for _, p := range file.Prices {
		day, err := civil.ParseDate(p.Created)
		if err != nil || p.Source == "" {
			return priceList{}, fmt.Errorf("read bill.json: %s needs a day of creation and a source", p.Model)
		}
		entry := price{model: p.Model, title: p.Title, created: day}
		for leaf, text := range [leafCount]string{p.Input, p.Write5m, p.Write1h, p.Read, p.Output} {
			perMillion, ok := new(big.Rat).SetString(text)
			if !ok {
				return priceList{}, fmt.Errorf("read bill.json: %s: %q is not a decimal", p.Model, text)
			}
			entry.perToken[leaf] = perMillion.Quo(perMillion, big.NewRat(1_000_000, 1))
		}
		list.models = append(list.models, entry)
	}
	return list, nil
})

func (l priceList) of(model string) (price, bool) {
	for _, p := range l.models {
		if p.model == model {
			return p, true
		}
	}
	return price{}, false
}

var (
	half    = big.NewRat(1, 2)
	inTheUS = big.NewRat(11, 10)
)

// amount is what the tokens of one leaf of a request cost, in dollars.
func (l priceList) amount(r Request, leaf int) (*big.Rat, error) {
	p, ok := l.of(r.Model)
	if !ok {
		return nil, fmt.Errorf("bill request of %s: there is no such model", r.Model)
	}
	sum := new(big.Rat).Mul(p.perToken[leaf], new(big.Rat).SetInt64(r.Tokens[leaf]))
	if r.ServiceTier == TierBatch {
		sum.Mul(sum, half)
	}
	if r.InferenceGeo == GeoUS {
		sum.Mul(sum, inTheUS)
	}
	return sum, nil
}

// cents prints an amount of dollars in cents with every digit that it has.
func cents(dollars *big.Rat) string {
	in := new(big.Rat).Mul(dollars, big.NewRat(100, 1))
	digits, _ := in.FloatPrec()
	return in.FloatString(digits)
}
