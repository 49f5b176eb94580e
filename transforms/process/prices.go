package process

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cloudact/convergence/transforms/pricing"
)

// Prices finds the prices of one model on one usage date; *pricing.Table is one. It
// must be safe for concurrent use.
type Prices interface {
	Price(q pricing.Query) (pricing.Quote, bool)
}

var priceLoader atomic.Pointer[func() (*pricing.Table, error)]

// UsePrices sets where cost processors get their price table. Call it before a pipeline
// is run, in every process that runs one: a table is read on the worker and never
// travels in a graph. load must be safe for concurrent use.
func UsePrices(load func() (*pricing.Table, error)) { priceLoader.Store(&load) }

// OwnPrices reads the prices that an organisation stated in a table of its own, such as
// openai_model_pricing. A table that does not exist has none. It is called on the worker,
// once for each instance of a step, and must be safe for concurrent use.
type OwnPrices interface {
	OwnPrices(ctx context.Context, org, table string) ([]pricing.OwnPrice, error)
}

var ownPrices atomic.Pointer[OwnPrices]

// UseOwnPrices sets where cost processors find the prices of organisations. Call it where
// UsePrices is called; without it shipped prices apply alone.
func UseOwnPrices(own OwnPrices) { ownPrices.Store(&own) }

// loadPrices returns the prices of an organisation: its own over the shipped ones.
func loadPrices(ctx context.Context, org, table string) (Prices, error) {
	load := priceLoader.Load()
	if load == nil {
		return nil, errors.New("read price table: none is set; the main program must call process.UsePrices before it runs a pipeline")
	}
	shipped, err := (*load)()
	if err != nil {
		return nil, fmt.Errorf("read price table: %w", err)
	}
	own := ownPrices.Load()
	if own == nil || org == "" {
		return shipped, nil
	}
	rows, err := (*own).OwnPrices(ctx, org, table)
	if err != nil {
		return nil, fmt.Errorf("read the organisation's prices in %s: %w", table, err)
	}
	if len(rows) == 0 {
		return shipped, nil
	}
	prices, err := shipped.WithOwn(table, rows)
	if err != nil {
		return nil, fmt.Errorf("read the organisation's prices: %w", err)
	}
	return prices, nil
}
