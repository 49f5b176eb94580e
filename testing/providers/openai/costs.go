package openai

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
)

type amount struct {
	Value    json.Number `json:"value"`
	Currency string      `json:"currency"`
}

type costResult struct {
	Object       string  `json:"object"`
	Amount       amount  `json:"amount"`
	LineItem     *string `json:"line_item"`
	ProjectID    *string `json:"project_id"`
	APIKeyID     *string `json:"api_key_id"`
	Quantity     *int64  `json:"quantity"`
	QuantityUnit *string `json:"quantity_unit"`
}

type costKey struct {
	project, item, key string
}

func (k costKey) compare(other costKey) int {
	return cmp.Or(cmp.Compare(k.project, other.project), cmp.Compare(k.key, other.key), cmp.Compare(k.item, other.item))
}

// lineItem is the text of an invoice line: the model, the kind of token and,
// off the standard tier, the tier. The provider documents no format; the first
// two parts are as seen on real bills, the third is an assumption.
func lineItem(model string, l line) string {
	text := model + ", " + string(l.leaf)
	if l.tier != tierStandard {
		text += ", " + l.tier
	}
	return text
}

func costResults(s *Server, o *org, q query, w window) ([]any, error) {
	amounts := map[costKey]*big.Rat{}
	quantities := map[costKey]int64{}
	for _, r := range s.between(o, w.start, w.end) {
		if !q.keeps(r) {
			continue
		}
		lines, err := s.prices.lines(r)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			k := q.costKey(r, l)
			if amounts[k] == nil {
				amounts[k] = new(big.Rat)
			}
			amounts[k].Add(amounts[k], l.amount)
			quantities[k] += l.tokens
		}
	}
	var results []any
	for _, k := range slices.SortedFunc(maps.Keys(amounts), costKey.compare) {
		result := costResult{
			Object:    "organization.costs.result",
			Amount:    amount{Value: json.Number(decimal(amounts[k])), Currency: "usd"},
			LineItem:  orNull(k.item),
			ProjectID: orNull(k.project),
			APIKeyID:  orNull(k.key),
		}
		if q.groupBy["line_item"] {
			unit, quantity := "tokens", quantities[k]
			result.Quantity, result.QuantityUnit = &quantity, &unit
		}
		results = append(results, result)
	}
	return results, nil
}

func (q *query) costKey(r Request, l line) costKey {
	var k costKey
	if q.groupBy["project_id"] {
		k.project = r.ProjectID
	}
	if q.groupBy["line_item"] {
		k.item = lineItem(r.Model, l)
	}
	if q.groupBy["api_key_id"] {
		k.key = r.APIKeyID
	}
	return k
}
