package prices

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store"
	"github.com/cloudact/convergence/launcher/store/patience"
)

// The codes of this package beside launcher.CodeInvalidParameter.
const (
	CodeNotFound launcher.Code = "RESOURCE_NOT_FOUND"
	CodeConflict launcher.Code = "RESOURCE_EXISTS"
)

var (
	orgRE   = regexp.MustCompile(`^[a-z0-9_]{3,50}$`)
	tableRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// Provider is what the store needs to know of a provider: names of tables, documents of
// their schemas (an object with description, clustering_fields and fields), and CSV seeds.
type Provider struct {
	PriceTable, PlanTable   string
	PriceSchema, PlanSchema []byte
	PriceSeed, PlanSeed     []byte
	// View is the name of a view of the prices in force today; empty is none.
	View string
}

// Config wires a store. BigQuery, Suffix and Providers are required.
type Config struct {
	BigQuery *bigquery.Client
	// Suffix ends the names of datasets: {org}_{suffix}.
	Suffix   string
	Location string
	// Providers are those that have tables, by lower-case name: openai, anthropic, gemini.
	Providers map[string]Provider
	Clock     func() time.Time // nil is time.Now
}

// Store reads and writes the tables. It is safe for concurrent use.
type Store struct {
	cfg       Config
	providers map[string]provider
}

type provider struct {
	prices, plans *table
	view          string
}

// New returns a store, or what is wrong with a schema or a seed.
func New(cfg Config) (*Store, error) {
	clock := cfg.Clock
	if clock == nil {
		clock = time.Now
	}
	cfg.Clock = func() time.Time { return clock().Truncate(time.Microsecond) } // a TIMESTAMP takes no more
	s := &Store{cfg: cfg, providers: map[string]provider{}}
	for name, p := range cfg.Providers {
		prices, err := newTable(p.PriceTable, "model_id", "model_id", p.PriceSchema, p.PriceSeed)
		if err != nil {
			return nil, err
		}
		plans, err := newTable(p.PlanTable, "plan_name", "subscription_id", p.PlanSchema, p.PlanSeed)
		if err != nil {
			return nil, err
		}
		s.providers[name] = provider{prices: prices, plans: plans, view: p.View}
	}
	return s, nil
}

// Has reports whether a provider has tables.
func (s *Store) Has(provider string) bool {
	_, ok := s.providers[strings.ToLower(provider)]
	return ok
}

func (s *Store) provider(name string) (provider, error) {
	p, ok := s.providers[strings.ToLower(name)]
	if !ok {
		return provider{}, refuse(launcher.CodeInvalidParameter, "%s has no prices or plans", name)
	}
	return p, nil
}

func (s *Store) dataset(org string) (string, error) {
	if !orgRE.MatchString(org) {
		return "", refuse(launcher.CodeInvalidParameter, "organisation %q does not match %s", clip(org), orgRE)
	}
	return org + "_" + s.cfg.Suffix, nil
}

// path is the table's place for a statement.
func (s *Store) path(dataset, table string) string {
	return s.cfg.BigQuery.Project() + "." + dataset + "." + table
}

func refuse(code launcher.Code, format string, args ...any) error {
	return &launcher.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Prepare creates the dataset, the tables and the view of a provider, and adds rows of the
// product that are missing. What is there already stays as it is; tables of older versions
// gain columns.
func (s *Store) Prepare(ctx context.Context, org, providerName string) error {
	p, err := s.provider(providerName)
	if err != nil {
		return err
	}
	dataset, err := s.dataset(org)
	if err != nil {
		return err
	}
	if err := store.CreateDataset(ctx, s.cfg.BigQuery, dataset, s.cfg.Location); err != nil {
		return err
	}
	for _, t := range []*table{p.prices, p.plans} {
		if err := s.ensure(ctx, dataset, t); err != nil {
			return fmt.Errorf("create table %s.%s: %w", dataset, t.name, err)
		}
		if err := s.plant(ctx, dataset, t); err != nil {
			return fmt.Errorf("seed table %s.%s: %w", dataset, t.name, err)
		}
	}
	if p.view == "" {
		return nil
	}
	if err := s.ensureView(ctx, dataset, p); err != nil {
		return fmt.Errorf("create view %s.%s: %w", dataset, p.view, err)
	}
	return nil
}

// ensure creates a table, or adds the columns that one of an older version lacks.
func (s *Store) ensure(ctx context.Context, dataset string, t *table) error {
	at := s.cfg.BigQuery.Dataset(dataset).Table(t.name)
	meta := &bigquery.TableMetadata{Description: t.document.Description, Schema: t.schema}
	if len(t.document.ClusteringFields) > 0 {
		meta.Clustering = &bigquery.Clustering{Fields: t.document.ClusteringFields}
	}
	err := patience.Send(ctx, func() error { return at.Create(ctx, meta) })
	if err == nil || !isStatus(err, http.StatusConflict) {
		return err
	}
	have, err := at.Metadata(ctx)
	if err != nil {
		return err
	}
	columns := slices.Clone(have.Schema)
	for _, f := range t.schema {
		known := slices.ContainsFunc(have.Schema, func(h *bigquery.FieldSchema) bool { return strings.EqualFold(h.Name, f.Name) })
		if !known {
			added := *f
			added.Required = false
			columns = append(columns, &added)
		}
	}
	if len(columns) == len(have.Schema) {
		return nil
	}
	_, err = at.Update(ctx, bigquery.TableMetadataToUpdate{Schema: columns}, have.ETag)
	return err
}

// plant adds the rows of the product that a table has not, by key and date.
func (s *Store) plant(ctx context.Context, dataset string, t *table) error {
	text, err := t.lines(s.stamped(t.seed))
	if err != nil {
		return err
	}
	d := t.data(s.path(dataset, t.name))
	d.Unique, d.Dated = d.Key, true
	_, err = s.run(ctx, "insert.sql", d, map[string]any{"lines": text})
	return err
}

func (s *Store) stamped(seed []fields) []fields {
	now := s.cfg.Clock().UTC()
	rows := make([]fields, len(seed))
	for i, f := range seed {
		row := fields{}
		for name, value := range f {
			row[name] = value
		}
		row.set("created_at", now)
		row.set("updated_at", now)
		rows[i] = row
	}
	return rows
}

func (s *Store) ensureView(ctx context.Context, dataset string, p provider) error {
	text, err := render("view.sql", p.prices.data(s.path(dataset, p.prices.name)))
	if err != nil {
		return err
	}
	at := s.cfg.BigQuery.Dataset(dataset).Table(p.view)
	view := &bigquery.TableMetadata{ViewQuery: text, Description: "Prices in force today, per 1,000 tokens."}
	err = patience.Send(ctx, func() error { return at.Create(ctx, view) })
	if !isStatus(err, http.StatusConflict) {
		return err
	}
	meta, err := at.Metadata(ctx)
	if err != nil || meta.Type != bigquery.ViewTable || meta.ViewQuery == text {
		return err // a table of that name is the organisation's own
	}
	_, err = at.Update(ctx, bigquery.TableMetadataToUpdate{ViewQuery: text}, meta.ETag)
	return err
}

// Page asks for a part of a list.
type Page struct {
	Limit  int    // 0 means 1000
	Cursor string // of the page before; empty is the first
}

const (
	standardLimit = 1000
	mostLimit     = 10_000
)

// list returns rows and the cursor of the next page, "" after the last.
func (s *Store) list(ctx context.Context, org string, t *table, page Page) ([]json.RawMessage, string, error) {
	dataset, err := s.dataset(org)
	if err != nil {
		return nil, "", err
	}
	limit := page.Limit
	if limit <= 0 {
		limit = standardLimit
	}
	limit = min(limit, mostLimit)
	params := map[string]any{"key": "", "after": "", "after_date": "1970-01-01", "most": limit + 1}
	if page.Cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(page.Cursor)
		date, key, ok := strings.Cut(string(raw), " ")
		if _, dateErr := civil.ParseDate(date); err != nil || !ok || dateErr != nil {
			return nil, "", refuse(launcher.CodeInvalidParameter, "the cursor is not one of this list")
		}
		params["after"], params["after_date"] = key, date
	}
	rows, err := s.selectRows(ctx, t, dataset, false, params)
	if err != nil {
		return nil, "", fmt.Errorf("list %s of %s: %w", t.name, org, err)
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	var last fields
	if err := json.Unmarshal(rows[limit-1], &last); err != nil {
		return nil, "", err
	}
	return rows, base64.RawURLEncoding.EncodeToString([]byte(last.text("effective_date") + " " + last.text(t.key))), nil
}

// history returns all rows of a key, the newest first.
func (s *Store) history(ctx context.Context, org string, t *table, key string) ([]json.RawMessage, error) {
	dataset, err := s.dataset(org)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, refuse(CodeNotFound, "there is no %s without a name", t.key)
	}
	rows, err := s.selectRows(ctx, t, dataset, false, map[string]any{"key": key, "after": "", "after_date": "1970-01-01", "most": mostLimit})
	if err != nil {
		return nil, fmt.Errorf("read %s of %s in %s: %w", key, org, t.name, err)
	}
	return rows, nil
}

func (s *Store) notFound(t *table, key string) error {
	return refuse(CodeNotFound, "%s has no %s %q", t.name, t.key, clip(key))
}

func decodeAll[T any](rows []json.RawMessage) ([]T, error) {
	out := make([]T, len(rows))
	for i, raw := range rows {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
	}
	return out, nil
}
