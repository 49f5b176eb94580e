package main

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/cloudact/convergence/testing/providers/openai"
)

// check compares calculated day-model totals with the provider's.
type check struct {
	calculatedBy map[[2]string]calculated
	priced       int
	unpriced     int
	requests     int64
	worst        *big.Rat
	billed       *big.Rat
	calculated   *big.Rat
}

type calculated struct {
	requests int64
	cost     string
	unpriced bool
}

func newCheck(records [][]string) *check {
	c := &check{calculatedBy: map[[2]string]calculated{}, worst: new(big.Rat), billed: new(big.Rat), calculated: new(big.Rat)}
	for _, r := range records {
		n, _ := strconv.ParseInt(r[2], 10, 64)
		c.calculatedBy[[2]string{r[0], r[1]}] = calculated{requests: n, cost: r[3], unpriced: r[4] != "0"}
	}
	return c
}

func (c *check) day(want openai.ModelDay) error {
	key := [2]string{want.Day.String(), want.Model}
	got, ok := c.calculatedBy[key]
	if !ok {
		return fmt.Errorf("%s %s: the provider billed it, the cost table lacks it", key[0], key[1])
	}
	c.requests += got.requests
	if got.requests != want.Requests {
		return fmt.Errorf("%s %s: %d requests, the provider counts %d", key[0], key[1], got.requests, want.Requests)
	}
	if got.unpriced {
		if want.Model != openai.UnpricedModel || got.cost != "" {
			return fmt.Errorf("%s %s: unpriced, cost %q", key[0], key[1], got.cost)
		}
		c.unpriced++
		return nil
	}
	return c.amount(key, got, want)
}

func (c *check) amount(key [2]string, got calculated, want openai.ModelDay) error {
	ours, ok := new(big.Rat).SetString(got.cost)
	if !ok {
		return fmt.Errorf("%s %s: cost %q is no number", key[0], key[1], got.cost)
	}
	theirs, ok := new(big.Rat).SetString(want.Cost)
	if !ok {
		return fmt.Errorf("%s %s: the provider's cost %q is no number", key[0], key[1], want.Cost)
	}
	difference := new(big.Rat).Sub(ours, theirs)
	difference.Abs(difference)
	tolerance := new(big.Rat).Mul(big.NewRat(int64(want.UserLeaves), 1), halfUnit)
	if difference.Cmp(tolerance) > 0 {
		return fmt.Errorf("%s %s: calculated %s, billed %s: they differ by %s, more than %d leaves x 0.5e-9",
			key[0], key[1], ours.FloatString(12), theirs.FloatString(12), difference.FloatString(12), want.UserLeaves)
	}
	c.priced++
	c.billed.Add(c.billed, theirs)
	c.calculated.Add(c.calculated, ours)
	if difference.Cmp(c.worst) > 0 {
		c.worst = difference
	}
	return nil
}

// difference says how far the two sides are apart at most.
func (c *check) difference() string {
	if c.worst.Sign() == 0 {
		return "every one exact"
	}
	f, _ := c.worst.Float64() // only to be read by people
	return fmt.Sprintf("largest difference %.1e USD", f)
}

func (c *check) complete(requests int64) error {
	if c.requests != requests {
		return fmt.Errorf("%d requests in the cost table, the provider counts %d", c.requests, requests)
	}
	return nil
}
