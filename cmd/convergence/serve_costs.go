package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/template"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/launcher"
)

//go:embed sql/costs.sql
var costsText embed.FS

var costsSQL = template.Must(template.ParseFS(costsText, "sql/costs.sql"))

// costTables are the tables of an organisation's dataset that hold costs by day, and what
// their rows are about.
var costTables = []struct{ table, provider string }{
	{"openai_cost_daily", "openai"}, {"anthropic_cost_daily", "anthropic"},
}

// costColumns are what costs can be grouped by.
var costColumns = map[string]string{"model": "model", "project": "project_id", "key": "api_key_id", "user": "user_id"}

// costsOf reads what organisations' usage cost: it implements api.Costs.
type costsOf struct {
	env    wiring.Environment
	client *bigquery.Client
}

// Costs implements api.Costs.
func (c costsOf) Costs(ctx context.Context, org string, q api.CostQuery) ([]api.CostRow, error) {
	var rows []api.CostRow
	for _, t := range costTables {
		some, err := c.table(ctx, launcher.Dataset(org, c.env.Suffix()), t.table, q)
		if err != nil {
			return nil, fmt.Errorf("read the costs of %s from %s: %w", org, t.table, err)
		}
		for i := range some {
			some[i].Provider = t.provider
		}
		rows = append(rows, some...)
	}
	slices.SortStableFunc(rows, func(a, b api.CostRow) int {
		return cmp.Or(cmp.Compare(a.Date, b.Date), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Group, b.Group))
	})
	return rows, nil
}

// table reads one table; one that does not exist, or lacks the column, has nothing to say.
func (c costsOf) table(ctx context.Context, dataset, name string, q api.CostQuery) ([]api.CostRow, error) {
	meta, err := c.client.Dataset(dataset).Table(name).Metadata(ctx)
	var missing *googleapi.Error
	if errors.As(err, &missing) && missing.Code == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the table: %w", err)
	}
	has := func(column string) bool {
		return slices.ContainsFunc(meta.Schema, func(f *bigquery.FieldSchema) bool { return f.Name == column })
	}
	column := costColumns[q.GroupBy]
	if column != "" && !has(column) {
		column = ""
	}
	var text strings.Builder
	err = costsSQL.Execute(&text, map[string]any{
		"Column": column, "Table": c.env.Project + "." + dataset + "." + name,
		"Requests": has("requests"), "Tokens": has("total_tokens"), "Status": has("pricing_status"),
	})
	if err != nil {
		return nil, fmt.Errorf("write the query: %w", err)
	}
	query := c.client.Query(text.String())
	query.Parameters = []bigquery.QueryParameter{{Name: "from", Value: q.From}, {Name: "to", Value: q.To}}
	return costRows(ctx, query)
}

func costRows(ctx context.Context, query *bigquery.Query) ([]api.CostRow, error) {
	it, err := query.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	var out []api.CostRow
	for {
		var row struct {
			Date     civil.Date          `bigquery:"usage_date"`
			Part     string              `bigquery:"part"`
			Requests bigquery.NullInt64  `bigquery:"requests"`
			Tokens   bigquery.NullInt64  `bigquery:"tokens"`
			Cost     bigquery.NullString `bigquery:"cost"`
			Unpriced int64               `bigquery:"unpriced"`
		}
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a row: %w", err)
		}
		out = append(out, api.CostRow{
			Date: row.Date.String(), Group: row.Part, Requests: row.Requests.Int64, Tokens: row.Tokens.Int64,
			CostUSD: cmp.Or(row.Cost.StringVal, "0"), Unpriced: row.Unpriced,
		})
	}
}
