package api

import (
	"context"
	"net/http"
)

// Rows is a table of an organisation and provider whose rows have a key: prices by model,
// plans by name. Errors are *launcher.Error where the caller can do something.
type Rows[T any] interface {
	List(ctx context.Context, org, provider string, limit int, cursor string) (rows []T, next string, err error)
	Get(ctx context.Context, org, provider, key string) (T, error)
	Reset(ctx context.Context, org, provider string) (ResetCounts, error)
}

// Editor changes such a table. New is a new row, Change a change of one.
type Editor[T, New, Change any] interface {
	Create(ctx context.Context, org, provider string, row New) (T, error)
	Update(ctx context.Context, org, provider, key string, change Change) (T, error)
	Delete(ctx context.Context, org, provider, key string) error
}

// PriceUpserter changes many prices in one statement.
type PriceUpserter interface {
	Upsert(ctx context.Context, org, provider string, changes []PriceUpsert) (UpsertResult, error)
}

// ResetCounts is what a reset did.
type ResetCounts struct {
	Reset     int
	Preserved int // rows of the organisation that stay
}

// UpsertResult is what a bulk change did.
type UpsertResult struct {
	Updated int
	Errors  []UpsertError
}

// UpsertError is why one change of several was not made.
type UpsertError struct {
	Index   int    `json:"index" doc:"in updates, from 0"`
	Key     string `json:"model_id"`
	Message string `json:"message"`
}

type rowsInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Limit    int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	Cursor   string `query:"cursor" maxLength:"400" doc:"from the Link header of the page before"`
}

type tableInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
}

type pricesBody struct {
	Org      string  `json:"org_slug"`
	Provider string  `json:"provider"`
	Pricing  []Price `json:"pricing" doc:"by model, and of a model the newest first"`
	Count    int     `json:"count"`
}

type pricesOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body pricesBody
}

type priceKey struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Model    string `path:"model_id"`
}

type priceOutput struct{ Body Price }

type newPriceInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Body     NewPrice
}

type priceChangeInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Model    string `path:"model_id"`
	Body     PriceChange
}

type upsertInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Body     struct {
		Updates []PriceUpsert `json:"updates" minItems:"1" maxItems:"1000"`
	}
}

type upsertOutput struct {
	Body struct {
		Org      string        `json:"org_slug"`
		Provider string        `json:"provider"`
		Updated  int           `json:"updated_count"`
		Failed   int           `json:"failed_count"`
		Errors   []UpsertError `json:"errors"`
	}
}

type pricesResetOutput struct {
	Body struct {
		ResetBody
		Pricing []Price `json:"pricing"`
		Count   int     `json:"count"`
	}
}

// ResetBody is what every reset answers.
type ResetBody struct {
	Org       string `json:"org_slug"`
	Provider  string `json:"provider"`
	Reset     int    `json:"reset_count"`
	Preserved int    `json:"preserved_custom"`
}

const (
	scopeIntegrationRead  = "integrations:read"
	scopeIntegrationWrite = "integrations:update"
	maxRows               = 10_000
)

// tableOf is what the tables of a provider are called, whichever of its names is used.
func tableOf(provider string) string {
	if folder := providerFolder(provider); folder != "gcp" {
		return folder
	}
	return "gemini"
}

func tableRoute(method, path, id, summary, scope, action string, also ...int) route {
	return route{
		method: method, path: prefix + "/integrations/{org}/{provider}" + path, id: id, summary: summary, tag: "Prices and plans",
		key: keyOrg, scope: scope, action: action, resource: resourceIntegration, also: append(also, http.StatusNotFound),
	}
}

func (s *service) prices() {
	read, write := scopeIntegrationRead, scopeIntegrationWrite
	add(s, tableRoute(http.MethodGet, "/pricing", "list-prices", "What the provider's models cost", read, actionRead), s.listPrices)
	add(s, tableRoute(http.MethodGet, "/pricing/{model_id}", "get-price", "What a model costs", read, actionRead), s.getPrice)
	create := tableRoute(http.MethodPost, "/pricing", "create-price", "Add the price of a model that has none", write, actionCreate, http.StatusConflict)
	create.status = http.StatusCreated
	add(s, create, s.createPrice)
	add(s, tableRoute(http.MethodPut, "/pricing/{model_id}", "update-price", "Change the price of a model", write, actionUpdate), s.updatePrice)
	add(s, tableRoute(http.MethodPatch, "/pricing", "upsert-prices", "Change or add many prices at once", write, actionUpdate), s.upsertPrices)
	remove := tableRoute(http.MethodDelete, "/pricing/{model_id}", "delete-price", "Delete the prices of a model", write, actionDelete)
	remove.status = http.StatusNoContent
	add(s, remove, s.deletePrice)
	add(s, tableRoute(http.MethodPost, "/pricing/reset", "reset-prices", "Make the product's prices as they come, and keep the organisation's own", write, actionUpdate), s.resetPrices)
}

func (s *service) listPrices(ctx context.Context, in *rowsInput) (*pricesOutput, error) {
	page := PageInput{Limit: in.Limit, Cursor: in.Cursor}
	cursor, problem := page.last()
	if problem != nil {
		return nil, problem
	}
	rows, next, err := s.cfg.Prices.List(ctx, in.Org, tableOf(in.Provider), in.Limit, cursor)
	if err != nil {
		return nil, s.problem(ctx, "list prices", err)
	}
	out := &pricesOutput{Body: pricesBody{Org: in.Org, Provider: tableOf(in.Provider), Pricing: append([]Price{}, rows...), Count: len(rows)}}
	if next != "" {
		out.Link = nextLink(ctx, next)
	}
	return out, nil
}

func (s *service) getPrice(ctx context.Context, in *priceKey) (*priceOutput, error) {
	row, err := s.cfg.Prices.Get(ctx, in.Org, tableOf(in.Provider), in.Model)
	if err != nil {
		return nil, s.problem(ctx, "get price", err)
	}
	return &priceOutput{row}, nil
}

func (s *service) createPrice(ctx context.Context, in *newPriceInput) (*priceOutput, error) {
	row, err := s.cfg.PriceEditor.Create(ctx, in.Org, tableOf(in.Provider), in.Body)
	if err != nil {
		return nil, s.problem(ctx, "add price", err)
	}
	return &priceOutput{row}, nil
}

func (s *service) updatePrice(ctx context.Context, in *priceChangeInput) (*priceOutput, error) {
	row, err := s.cfg.PriceEditor.Update(ctx, in.Org, tableOf(in.Provider), in.Model, in.Body)
	if err != nil {
		return nil, s.problem(ctx, "change price", err)
	}
	return &priceOutput{row}, nil
}

func (s *service) upsertPrices(ctx context.Context, in *upsertInput) (*upsertOutput, error) {
	done, err := s.cfg.PriceUpserter.Upsert(ctx, in.Org, tableOf(in.Provider), in.Body.Updates)
	if err != nil {
		return nil, s.problem(ctx, "change prices", err)
	}
	var out upsertOutput
	out.Body.Org, out.Body.Provider, out.Body.Updated = in.Org, tableOf(in.Provider), done.Updated
	out.Body.Failed, out.Body.Errors = len(done.Errors), append([]UpsertError{}, done.Errors...)
	return &out, nil
}

func (s *service) deletePrice(ctx context.Context, in *priceKey) (*struct{}, error) {
	if err := s.cfg.PriceEditor.Delete(ctx, in.Org, tableOf(in.Provider), in.Model); err != nil {
		return nil, s.problem(ctx, "delete price", err)
	}
	return nil, nil //nolint:nilnil // huma's answer without a body
}

func (s *service) resetPrices(ctx context.Context, in *tableInput) (*pricesResetOutput, error) {
	counts, err := s.cfg.Prices.Reset(ctx, in.Org, tableOf(in.Provider))
	if err != nil {
		return nil, s.problem(ctx, "reset prices", err)
	}
	rows, _, err := s.cfg.Prices.List(ctx, in.Org, tableOf(in.Provider), maxRows, "")
	if err != nil {
		return nil, s.problem(ctx, "list prices", err)
	}
	var out pricesResetOutput
	out.Body.ResetBody = ResetBody{Org: in.Org, Provider: tableOf(in.Provider), Reset: counts.Reset, Preserved: counts.Preserved}
	out.Body.Pricing, out.Body.Count = append([]Price{}, rows...), len(rows)
	return &out, nil
}
