package pricing

import (
	"fmt"

	"github.com/quagmt/udecimal"
)

// CostScale is the number of decimal places of a cost: those of BigQuery's NUMERIC.
const CostScale = 9

var perToken = udecimal.MustParse("0.000001")

// Cost returns tokens × price per million, rounded once to nine places, half away from
// zero. The product before rounding is exact. A negative count and a price that
// ParsePrice would refuse are errors.
func Cost(tokens int64, perMillion udecimal.Decimal) (udecimal.Decimal, error) {
	if tokens < 0 {
		return udecimal.Decimal{}, fmt.Errorf("cost of %d tokens: the count is negative", tokens)
	}
	if perMillion.IsNeg() || perMillion.Prec() > priceScale || perMillion.GreaterThan(maxPrice) {
		return udecimal.Decimal{}, fmt.Errorf("cost at %s per million tokens: the price cannot be computed exactly", perMillion)
	}
	return perMillion.Mul64(uint64(tokens)).Mul(perToken).RoundHAZ(CostScale), nil
}

// Bill is the cost of one usage row in USD: each leaf rounded once, the sums are of the
// rounded leaves.
type Bill struct {
	Leaves [LeafCount]udecimal.Decimal
	Input  udecimal.Decimal
	Output udecimal.Decimal
	Total  udecimal.Decimal
}

// UnpricedError says which used leaves have no price.
type UnpricedError struct{ Leaves []Leaf }

// Error implements error.
func (e *UnpricedError) Error() string {
	text := "no price for"
	for i, l := range e.Leaves {
		if i > 0 {
			text += ","
		}
		text += " " + l.String()
	}
	return text
}

// Bill prices the leaves. A leaf with tokens and without a price gives *UnpricedError
// and no cost at all; a leaf without tokens needs no price.
func (q Quote) Bill(leaves Leaves) (Bill, error) {
	var bill Bill
	var missing []Leaf
	for leaf := range LeafCount {
		if leaves[leaf] == 0 {
			continue
		}
		price, ok := q.Price(leaf)
		if !ok {
			missing = append(missing, leaf)
			continue
		}
		cost, err := Cost(leaves[leaf], price)
		if err != nil {
			return Bill{}, fmt.Errorf("%s: %w", leaf, err)
		}
		bill.add(leaf, cost)
	}
	if missing != nil {
		return Bill{}, &UnpricedError{Leaves: missing}
	}
	return bill, nil
}

func (b *Bill) add(leaf Leaf, cost udecimal.Decimal) {
	b.Leaves[leaf] = cost
	if leaf.IsOutput() {
		b.Output = b.Output.Add(cost)
	} else {
		b.Input = b.Input.Add(cost)
	}
	b.Total = b.Total.Add(cost)
}
