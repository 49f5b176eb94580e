package pricing_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/quagmt/udecimal"
	"pgregory.net/rapid"

	"github.com/cloudact/convergence/transforms/pricing"
)

// exactCost computes the cost with unbounded integers: price units of 1e-13 times
// tokens, divided by 1e10 to give units of 1e-9, half away from zero.
func exactCost(tokens int64, price udecimal.Decimal) *big.Int {
	scaled, _ := new(big.Rat).SetString(price.String())
	scaled.Mul(scaled, new(big.Rat).SetInt64(tokens))
	scaled.Mul(scaled, big.NewRat(1_000, 1)) // USD per million -> 1e-9 USD per token
	num, den := scaled.Num(), scaled.Denom()
	twice := new(big.Int).Mul(num, big.NewInt(2))
	twice.Add(twice, den)
	return twice.Quo(twice, new(big.Int).Mul(den, big.NewInt(2)))
}

func units(d udecimal.Decimal) *big.Int {
	r, _ := new(big.Rat).SetString(d.String())
	r.Mul(r, big.NewRat(1_000_000_000, 1))
	if !r.IsInt() {
		return nil
	}
	return r.Num()
}

var anyPrice = rapid.Custom(func(t *rapid.T) udecimal.Decimal {
	text := rapid.StringMatching(`(0|[1-9][0-9]{0,4})(\.[0-9]{1,13})?`).Draw(t, "price")
	d, err := pricing.ParsePrice(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
})

func TestCostIsTheExactProductRoundedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.Int64Min(0).Draw(t, "tokens")
		price := anyPrice.Draw(t, "per million")
		got, err := pricing.Cost(tokens, price)
		if err != nil {
			t.Fatal(err)
		}
		if u := units(got); u == nil || u.Cmp(exactCost(tokens, price)) != 0 {
			t.Fatalf("%d × %s: got %s, want %s units of 1e-9", tokens, price, got, exactCost(tokens, price))
		}
	})
}

func TestCostRoundsHalfAwayFromZero(t *testing.T) {
	for _, c := range []struct {
		tokens      int64
		price, want string
	}{
		{1, "0.0005", "0.000000001"},          // 5e-10 is a half
		{1, "0.0004999999999", "0"},           // just below
		{1, "0.0005000000001", "0.000000001"}, // just above
		{3, "0.0005", "0.000000002"},          // 1.5e-9
		{1, "0.0125", "0.000000013"},          // 1.25e-8, half of a half price
		{3, "0.0125", "0.000000038"},          // 3.75e-8
		{2, "0.0125", "0.000000025"},
		{0, "999", "0"},
		{1_000_000, "2.5", "2.5"},
	} {
		price, err := pricing.ParsePrice(c.price)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pricing.Cost(c.tokens, price); err != nil || got.String() != c.want {
			t.Errorf("%d × %s: got %s, %v, want %s", c.tokens, c.price, got, err, c.want)
		}
	}
	if _, err := pricing.Cost(-1, udecimal.One); err == nil {
		t.Error("negative tokens must be an error")
	}
	if _, err := pricing.Cost(1, udecimal.MustParse("0.00000000000001")); err == nil {
		t.Error("a price that cannot be carried exactly must be an error")
	}
}

func TestCostNeverFallsWhenTokensOrPriceRise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Range(0, 1<<40).Draw(t, "a"), rapid.Int64Range(0, 1<<40).Draw(t, "b")
		p, q := anyPrice.Draw(t, "p"), anyPrice.Draw(t, "q")
		low, err := pricing.Cost(min(a, b), udecimal.Min(p, q))
		high, err2 := pricing.Cost(max(a, b), udecimal.Max(p, q))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if low.GreaterThan(high) {
			t.Fatalf("%s > %s", low, high)
		}
	})
}

// anyUsage draws consistent measures: parts never exceed their whole.
var anyUsage = rapid.Custom(func(t *rapid.T) pricing.OpenAIUsage {
	n := func(name string) int64 { return rapid.Int64Range(0, 1<<30).Draw(t, name) }
	u := pricing.OpenAIUsage{
		CacheWrite: n("write"), InputAudio: n("audio"), CachedAudio: n("cached audio"), InputImage: n("image"),
		CachedImage: n("cached image"), OutputAudio: n("output audio"), OutputImage: n("output image"),
	}
	u.Cached = u.CachedAudio + u.CachedImage + n("cached text")
	u.Input = u.Cached + u.CacheWrite + u.InputAudio + u.InputImage + n("uncached")
	u.Output = u.OutputAudio + u.OutputImage + n("output text")
	return u
})

func TestLeavesAreDisjointAndSumToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := anyUsage.Draw(t, "usage")
		leaves, err := u.Leaves()
		if err != nil {
			t.Fatal(err)
		}
		var in, out int64
		for leaf := range pricing.LeafCount {
			if leaves[leaf] < 0 {
				t.Fatalf("%s is negative", leaf)
			}
			if leaf.IsOutput() {
				out += leaves[leaf]
			} else {
				in += leaves[leaf]
			}
		}
		if in != u.Input || out != u.Output {
			t.Fatalf("input %d of %d, output %d of %d", in, u.Input, out, u.Output)
		}
		if total, ok := u.Total(); !ok || total != in+out {
			t.Fatalf("total %d, want %d", total, in+out)
		}
	})
}

func TestPartsLargerThanTheWholeAreAnError(t *testing.T) {
	for name, u := range map[string]pricing.OpenAIUsage{
		"cached":        {Input: 10, Cached: 11},
		"cache write":   {Input: 10, Cached: 6, CacheWrite: 5},
		"cached audio":  {Input: 10, Cached: 5, CachedAudio: 6},
		"output audio":  {Output: 1, OutputAudio: 2},
		"negative":      {Input: -1},
		"negative part": {Input: 5, Cached: -1},
		"huge":          {Input: 1<<63 - 1, Cached: 1<<63 - 1, CacheWrite: 1<<63 - 1, InputAudio: 1<<63 - 1},
	} {
		if l, err := u.Leaves(); err == nil {
			t.Errorf("%s: got %v, want an error", name, l)
		}
	}
	if _, ok := (pricing.OpenAIUsage{Input: 1<<63 - 1, Output: 1}).Total(); ok {
		t.Error("a total beyond INT64 must not be given")
	}
}

func TestTotalIsTheSumOfTheRoundedLeaves(t *testing.T) {
	table := shippedTable(t)
	models := []string{"gpt-5.6-sol", "gpt-6-luna", "gpt-5.6-terra", "gpt-5.6-luna"}
	rapid.Check(t, func(t *rapid.T) {
		u := anyUsage.Draw(t, "usage")
		u.Cached -= u.CachedAudio
		u.Input -= u.CachedAudio + u.InputAudio
		u.Output -= u.OutputAudio
		u.InputAudio, u.CachedAudio, u.OutputAudio = 0, 0, 0
		leaves, err := u.Leaves()
		if err != nil {
			t.Fatal(err)
		}
		q, ok := table.Price(pricing.Query{
			Provider: "openai", Model: rapid.SampledFrom(models).Draw(t, "model"), Date: dayOf(2026, 9, 1),
			Tier: rapid.SampledFrom([]pricing.Tier{pricing.Standard, pricing.Batch, pricing.Flex}).Draw(t, "tier"),
		})
		if !ok {
			t.Fatal("model not found")
		}
		bill, err := q.Bill(leaves)
		if err != nil {
			t.Fatal(err)
		}
		var sum udecimal.Decimal
		for leaf, cost := range bill.Leaves {
			if cost.Prec() > pricing.CostScale {
				t.Fatalf("%s: %s has more than nine places", pricing.Leaf(leaf), cost)
			}
			sum = sum.Add(cost)
		}
		if !sum.Equal(bill.Total) || !bill.Input.Add(bill.Output).Equal(bill.Total) {
			t.Fatalf("leaves %s, input %s + output %s, total %s", sum, bill.Input, bill.Output, bill.Total)
		}
	})
}

func TestUsedLeafWithoutPriceGivesNoCostAtAll(t *testing.T) {
	q, _ := shippedTable(t).Price(pricing.Query{Provider: "openai", Model: "gpt-4o", Date: dayOf(2025, 10, 1), Tier: pricing.Standard})
	bill, err := q.Bill(pricing.Leaves{pricing.Input: 10, pricing.InputAudio: 1})
	var unpriced *pricing.UnpricedError
	if !errors.As(err, &unpriced) || len(unpriced.Leaves) != 1 || unpriced.Leaves[0] != pricing.InputAudio || bill != (pricing.Bill{}) {
		t.Fatalf("got %v, %v", bill, err)
	}
	if _, err := q.Bill(pricing.Leaves{pricing.Input: 10}); err != nil {
		t.Errorf("an unused leaf needs no price: %v", err)
	}
}
