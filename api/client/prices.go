package client

import (
	"context"
	"net/http"
)

// UpsertAnswer is what a bulk change did.
type UpsertAnswer struct {
	Updated int `json:"updated_count"`
	Failed  int `json:"failed_count"`
	Errors  []struct {
		Index   int    `json:"index"`
		ModelID string `json:"model_id"`
		Message string `json:"message"`
	} `json:"errors"`
}

// ResetAnswer is what a reset did.
type ResetAnswer struct {
	Reset     int `json:"reset_count"`
	Preserved int `json:"preserved_custom"`
}

func pricing(org, provider string, more ...string) string {
	return parts(integrationsPath, append([]string{org, provider, "pricing"}, more...)...)
}

func subscriptions(org, provider string, more ...string) string {
	return parts(integrationsPath, append([]string{org, provider, "subscriptions"}, more...)...)
}

// Prices returns a page of what a provider's models cost.
func (c *Client) Prices(ctx context.Context, org, provider string, limit int, cursor string) (prices []Price, next string, err error) {
	var out struct {
		Pricing []Price `json:"pricing"`
	}
	next, err = c.list(ctx, pricing(org, provider), page(limit, cursor), &out)
	return out.Pricing, next, err
}

// Price returns what a model costs.
func (c *Client) Price(ctx context.Context, org, provider, model string) (Price, error) {
	return fetch[Price](ctx, c, http.MethodGet, pricing(org, provider, model), nil)
}

// CreatePrice adds the price of a model that has none.
func (c *Client) CreatePrice(ctx context.Context, org, provider string, p NewPrice) (Price, error) {
	return fetch[Price](ctx, c, http.MethodPost, pricing(org, provider), p)
}

// UpdatePrice changes the price of a model.
func (c *Client) UpdatePrice(ctx context.Context, org, provider, model string, change PriceChange) (Price, error) {
	return fetch[Price](ctx, c, http.MethodPut, pricing(org, provider, model), change)
}

// UpsertPrices changes or adds many prices at once. Wrong changes are left out and listed.
func (c *Client) UpsertPrices(ctx context.Context, org, provider string, updates []PriceUpsert) (UpsertAnswer, error) {
	return fetch[UpsertAnswer](ctx, c, http.MethodPatch, pricing(org, provider), map[string]any{"updates": updates})
}

// DeletePrice deletes the prices of a model.
func (c *Client) DeletePrice(ctx context.Context, org, provider, model string) error {
	return c.call(ctx, http.MethodDelete, pricing(org, provider, model), nil, nil)
}

// ResetPrices makes the product's prices as they come and keeps the organisation's own.
func (c *Client) ResetPrices(ctx context.Context, org, provider string) (ResetAnswer, error) {
	return fetch[ResetAnswer](ctx, c, http.MethodPost, pricing(org, provider, "reset"), nil)
}

// Subscriptions returns a page of an organisation's subscriptions to a provider.
func (c *Client) Subscriptions(ctx context.Context, org, provider string, limit int, cursor string) (plans []Subscription, next string, err error) {
	var out struct {
		Plans []Subscription `json:"subscriptions"`
	}
	next, err = c.list(ctx, subscriptions(org, provider), page(limit, cursor), &out)
	return out.Plans, next, err
}

// Subscription returns the terms of a plan.
func (c *Client) Subscription(ctx context.Context, org, provider, plan string) (Subscription, error) {
	return fetch[Subscription](ctx, c, http.MethodGet, subscriptions(org, provider, plan), nil)
}

// CreateSubscription adds a plan.
func (c *Client) CreateSubscription(ctx context.Context, org, provider string, s NewSubscription) (Subscription, error) {
	return fetch[Subscription](ctx, c, http.MethodPost, subscriptions(org, provider), s)
}

// UpdateSubscription changes the terms of a plan.
func (c *Client) UpdateSubscription(ctx context.Context, org, provider, plan string, change SubscriptionChange) (Subscription, error) {
	return fetch[Subscription](ctx, c, http.MethodPut, subscriptions(org, provider, plan), change)
}

// DeleteSubscription deletes a plan.
func (c *Client) DeleteSubscription(ctx context.Context, org, provider, plan string) error {
	return c.call(ctx, http.MethodDelete, subscriptions(org, provider, plan), nil, nil)
}

// ResetSubscriptions makes the product's plans as they come and keeps the organisation's.
func (c *Client) ResetSubscriptions(ctx context.Context, org, provider string) (ResetAnswer, error) {
	return fetch[ResetAnswer](ctx, c, http.MethodPost, subscriptions(org, provider, "reset"), nil)
}
