package process

import (
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

func loadPrices() (Prices, error) {
	load := priceLoader.Load()
	if load == nil {
		return nil, errors.New("read price table: none is set; the main program must call process.UsePrices before it runs a pipeline")
	}
	table, err := (*load)()
	if err != nil {
		return nil, fmt.Errorf("read price table: %w", err)
	}
	return table, nil
}
