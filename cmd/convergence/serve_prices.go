package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/launcher"
	pricetables "github.com/cloudact/convergence/launcher/prices"
)

// priceRows and planRows show the price and plan tables to the API. The types on both
// sides are the same in JSON, where decimals are exact.
type (
	priceRows struct{ of *pricetables.Store }
	planRows  struct{ of *pricetables.Store }
)

// as says the same in another type.
func as[To any](from any) (to To, err error) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, &to)
	}
	if err != nil {
		return to, fmt.Errorf("translate a row: %w", err)
	}
	return to, nil
}

// given is as for what a caller wrote: a number that the tables cannot hold is his.
func given[To any](from any) (To, error) {
	to, err := as[To](from)
	if err != nil {
		return to, &launcher.Error{Code: launcher.CodeInvalidParameter, Message: errors.Unwrap(err).Error()}
	}
	return to, nil
}

// as2 translates what a call answered.
func as2[To any](from any, err error) (To, error) {
	if err != nil {
		var none To
		return none, err
	}
	return as[To](from)
}

// List implements api.Rows.
func (p priceRows) List(ctx context.Context, org, provider string, limit int, cursor string) ([]api.Price, string, error) {
	rows, next, err := p.of.ListPrices(ctx, org, provider, pricetables.Page{Limit: limit, Cursor: cursor})
	out, err := as2[[]api.Price](rows, err)
	return out, next, err
}

// Get implements api.Rows.
func (p priceRows) Get(ctx context.Context, org, provider, model string) (api.Price, error) {
	return as2[api.Price](p.of.Price(ctx, org, provider, model))
}

// Reset implements api.Rows.
func (p priceRows) Reset(ctx context.Context, org, provider string) (api.ResetCounts, error) {
	r, err := p.of.ResetPrices(ctx, org, provider)
	return api.ResetCounts(r), err
}

// Create implements api.Editor.
func (p priceRows) Create(ctx context.Context, org, provider string, n api.NewPrice) (api.Price, error) {
	row, err := given[pricetables.Price](n)
	if err != nil {
		return api.Price{}, err
	}
	return as2[api.Price](p.of.CreatePrice(ctx, org, provider, row))
}

// Update implements api.Editor.
func (p priceRows) Update(ctx context.Context, org, provider, model string, c api.PriceChange) (api.Price, error) {
	change, err := given[pricetables.PriceChange](c)
	if err != nil {
		return api.Price{}, err
	}
	change.ModelID = model
	return as2[api.Price](p.of.UpdatePrice(ctx, org, provider, change))
}

// Delete implements api.Editor.
func (p priceRows) Delete(ctx context.Context, org, provider, model string) error {
	return p.of.DeletePrice(ctx, org, provider, model)
}

// Upsert implements api.PriceUpserter.
func (p priceRows) Upsert(ctx context.Context, org, provider string, changes []api.PriceUpsert) (api.UpsertResult, error) {
	all, err := given[[]pricetables.PriceChange](changes)
	if err != nil {
		return api.UpsertResult{}, err
	}
	done, err := p.of.UpsertPrices(ctx, org, provider, all)
	out := api.UpsertResult{Updated: done.Updated}
	for _, e := range done.Errors {
		out.Errors = append(out.Errors, api.UpsertError(e))
	}
	return out, err
}

// List implements api.Rows.
func (p planRows) List(ctx context.Context, org, provider string, limit int, cursor string) ([]api.Plan, string, error) {
	rows, next, err := p.of.ListPlans(ctx, org, provider, pricetables.Page{Limit: limit, Cursor: cursor})
	out, err := as2[[]api.Plan](rows, err)
	return out, next, err
}

// Get implements api.Rows.
func (p planRows) Get(ctx context.Context, org, provider, plan string) (api.Plan, error) {
	return as2[api.Plan](p.of.Plan(ctx, org, provider, plan))
}

// Reset implements api.Rows.
func (p planRows) Reset(ctx context.Context, org, provider string) (api.ResetCounts, error) {
	r, err := p.of.ResetPlans(ctx, org, provider)
	return api.ResetCounts(r), err
}

// Create implements api.Editor.
func (p planRows) Create(ctx context.Context, org, provider string, n api.NewPlan) (api.Plan, error) {
	row, err := given[pricetables.Plan](n)
	if err != nil {
		return api.Plan{}, err
	}
	return as2[api.Plan](p.of.CreatePlan(ctx, org, provider, row))
}

// Update implements api.Editor.
func (p planRows) Update(ctx context.Context, org, provider, plan string, c api.PlanChange) (api.Plan, error) {
	change, err := given[pricetables.PlanChange](c)
	if err != nil {
		return api.Plan{}, err
	}
	change.PlanName = plan
	return as2[api.Plan](p.of.UpdatePlan(ctx, org, provider, change))
}

// Delete implements api.Editor.
func (p planRows) Delete(ctx context.Context, org, provider, plan string) error {
	return p.of.DeletePlan(ctx, org, provider, plan)
}
