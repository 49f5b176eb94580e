package prices

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
)

func isMissing(err error) bool {
	return isStatus(err, http.StatusNotFound) || err != nil && strings.Contains(err.Error(), "Not found: ")
}

// ListPrices returns prices by model, and of a model the newest first, and the cursor of
// the next page. Without a table there are none.
func (s *Store) ListPrices(ctx context.Context, org, provider string, page Page) ([]Price, string, error) {
	p, err := s.provider(provider)
	if err != nil {
		return nil, "", err
	}
	rows, next, err := s.list(ctx, org, p.prices, page)
	if err != nil {
		return nil, "", err
	}
	all, err := decodeAll[Price](rows)
	return all, next, err
}

// Price returns the newest price of a model, or CodeNotFound.
func (s *Store) Price(ctx context.Context, org, provider, model string) (Price, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Price{}, err
	}
	return newest[Price](ctx, s, org, p.prices, model)
}

func newest[T any](ctx context.Context, s *Store, org string, t *table, key string) (T, error) {
	var none T
	rows, err := s.history(ctx, org, t, key)
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, s.notFound(t, key)
	}
	all, err := decodeAll[T](rows[:1])
	if err != nil {
		return none, err
	}
	return all[0], nil
}

// CreatePrice adds a price of a model that has none; else it is CodeConflict.
func (s *Store) CreatePrice(ctx context.Context, org, provider string, price Price) (Price, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Price{}, err
	}
	f, err := fieldsOf(price)
	if err != nil {
		return Price{}, err
	}
	if err := s.create(ctx, org, provider, p.prices, f); err != nil {
		return Price{}, err
	}
	return s.Price(ctx, org, provider, price.ModelID)
}

// UpdatePrice changes the newest price of a model. A later effective date than its own
// states a new price from that day on and keeps the old one for the days before.
func (s *Store) UpdatePrice(ctx context.Context, org, provider string, change PriceChange) (Price, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Price{}, err
	}
	f, err := fieldsOf(change)
	if err != nil {
		return Price{}, err
	}
	_, failures, err := s.upsert(ctx, org, p.prices, []fields{f}, false)
	if err == nil {
		err = failures[0]
	}
	if err != nil {
		return Price{}, err
	}
	return s.Price(ctx, org, provider, change.ModelID)
}

// UpsertPrices changes the prices of many models, and adds those that are missing, in one
// statement. Wrong changes are left out and listed.
func (s *Store) UpsertPrices(ctx context.Context, org, provider string, changes []PriceChange) (Result, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Result{}, err
	}
	if err := s.Prepare(ctx, org, provider); err != nil {
		return Result{}, err
	}
	all := make([]fields, len(changes))
	for i, c := range changes {
		if all[i], err = fieldsOf(c); err != nil {
			return Result{}, err
		}
	}
	result, failures, err := s.upsert(ctx, org, p.prices, all, true)
	if err != nil {
		return Result{}, err
	}
	for i, failure := range failures {
		if failure != nil {
			result.Errors = append(result.Errors, ItemError{Index: i, Key: changes[i].ModelID, Message: failure.Error()})
		}
	}
	return result, nil
}

// DeletePrice deletes all prices of a model; what is not there is no error. A model that
// comes with the product is back after the next set-up or reset.
func (s *Store) DeletePrice(ctx context.Context, org, provider, model string) error {
	p, err := s.provider(provider)
	if err != nil {
		return err
	}
	return s.remove(ctx, org, p.prices, model)
}

// ResetPrices makes the product's prices as they come and keeps the organisation's.
func (s *Store) ResetPrices(ctx context.Context, org, provider string) (ResetResult, error) {
	p, err := s.provider(provider)
	if err != nil {
		return ResetResult{}, err
	}
	return s.reset(ctx, org, provider, p.prices)
}

// Own returns the enabled prices that the organisation added or changed in a table of its
// dataset, of all dates. Rows of older versions, which do not say whose they are, count as
// its own. A table that does not exist has none.
func (s *Store) Own(ctx context.Context, org, tableName string) ([]Price, error) {
	dataset, err := s.dataset(org)
	if err != nil {
		return nil, err
	}
	if !tableRE.MatchString(tableName) {
		return nil, refuse(launcher.CodeInvalidParameter, "%q is not the name of a table", clip(tableName))
	}
	for _, p := range s.providers { // price tables of all providers have the same columns
		t := *p.prices
		t.name = tableName
		rows, err := s.selectRows(ctx, &t, dataset, true, map[string]any{"key": "", "after": "", "after_date": "1970-01-01", "most": mostLimit})
		if err != nil {
			return nil, fmt.Errorf("read prices of %s in %s: %w", org, tableName, err)
		}
		return decodeAll[Price](rows)
	}
	return nil, nil
}

// like describes a table as it is: one of an older version lacks columns. It is nil when
// there is none.
func (s *Store) like(ctx context.Context, base *table, dataset string) (*table, error) {
	meta, err := s.cfg.BigQuery.Dataset(dataset).Table(base.name).Metadata(ctx)
	if isStatus(err, http.StatusNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at table %s.%s: %w", dataset, base.name, err)
	}
	t := *base
	t.columns = slices.DeleteFunc(slices.Clone(base.columns), func(c column) bool {
		return !slices.ContainsFunc(meta.Schema, func(f *bigquery.FieldSchema) bool { return strings.EqualFold(f.Name, c.Name) })
	})
	for _, name := range t.required {
		if !t.has(name) {
			return nil, refuse(launcher.CodeInvalidParameter, "table %s has no column %s, which such a table needs", base.name, name)
		}
	}
	return &t, nil
}
