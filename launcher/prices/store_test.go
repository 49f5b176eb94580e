package prices_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/prices"
	bqlocal "github.com/cloudact/convergence/local/bigquery"
)

const project = "p-1"

// world is an embedded warehouse and a store with the shipped schemas and seeds.
type world struct {
	*prices.Store
	bq  *bigquery.Client
	now time.Time
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shipped(t *testing.T) map[string]prices.Provider {
	t.Helper()
	out := map[string]prices.Provider{}
	for name, folder := range map[string]string{"openai": "openai", "anthropic": "anthropic", "gemini": "gcp"} {
		out[name] = prices.Provider{
			PriceTable: name + "_model_pricing", PlanTable: name + "_subscriptions",
			PriceSchema: read(t, folder+"/schemas/"+name+"_model_pricing.json"), PlanSchema: read(t, folder+"/schemas/"+name+"_subscriptions.json"),
			PriceSeed: read(t, folder+"/seed/default_pricing.csv"), PlanSeed: read(t, folder+"/seed/default_subscriptions.csv"),
		}
	}
	p := out["openai"]
	p.View = "openai_pricing"
	out["openai"] = p
	return out
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := bqlocal.Open(t.Context(), bqlocal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := bigquery.NewClient(t.Context(), project, option.WithEndpoint(web.URL+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	w := &world{bq: client, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	w.Store, err = prices.New(prices.Config{BigQuery: client, Suffix: "local", Location: "US", Providers: shipped(t), Clock: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) sql(t *testing.T, text string) [][]bigquery.Value {
	t.Helper()
	q := w.bq.Query(text)
	q.DefaultProjectID, q.DefaultDatasetID = project, "acme_local"
	it, err := q.Read(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var rows [][]bigquery.Value
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

func dec(t *testing.T, text string) prices.Decimal {
	t.Helper()
	d, err := prices.ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ptr[T any](v T) *T { return &v }

func date(text string) civil.Date {
	d, err := civil.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

func want(t *testing.T, err error, code launcher.Code, text string) {
	t.Helper()
	var e *launcher.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("error = %v, want %s with %q", err, code, text)
	}
}

func (w *world) prepare(t *testing.T) {
	t.Helper()
	if err := w.Prepare(t.Context(), "acme", "OPENAI"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) rates(t *testing.T, model string) string {
	t.Helper()
	rows := w.sql(t, "SELECT CONCAT(CAST(input_rate AS STRING), ' ', CAST(cached_input_rate AS STRING), ' ', CAST(output_rate AS STRING)) FROM openai_pricing WHERE model = '"+model+"'")
	if len(rows) != 1 {
		return "none"
	}
	return rows[0][0].(string)
}

func TestPrepareSeedsOnceAndKeepsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	for _, list := range []func() (int, error){
		func() (int, error) {
			all, _, err := w.ListPrices(t.Context(), "acme", "openai", prices.Page{})
			return len(all), err
		},
		func() (int, error) {
			all, _, err := w.ListPlans(t.Context(), "acme", "openai", prices.Page{})
			return len(all), err
		},
	} {
		if n, err := list(); n != 0 || err != nil {
			t.Errorf("without a table: %d, %v", n, err)
		}
	}
	w.prepare(t)
	if _, err := w.UpdatePrice(t.Context(), "acme", "openai", prices.PriceChange{ModelID: "gpt-4o", Input: ptr(dec(t, "0.002"))}); err != nil {
		t.Fatal(err)
	}
	before := w.sql(t, "SELECT COUNT(*), COUNT(DISTINCT model_id) FROM openai_model_pricing")
	w.prepare(t)
	after := w.sql(t, "SELECT COUNT(*), COUNT(DISTINCT model_id) FROM openai_model_pricing")
	if before[0][0] != after[0][0] || after[0][0].(int64) < 80 || after[0][1].(int64) < 75 {
		t.Errorf("rows %v, then %v", before, after)
	}
	got, err := w.Price(t.Context(), "acme", "openai", "gpt-4o")
	if err != nil || got.Input.String() != "0.002" || got.Output.String() != "0.01" || got.CachedInput.String() != "0.00125" || !*got.IsEdited || *got.IsCustom {
		t.Errorf("%+v, %v", got, err)
	}
	plan, err := w.Plan(t.Context(), "acme", "openai", "TIER1")
	if err != nil || plan.UnitPrice.String() != "20" || *plan.RPM != 500 || plan.SubscriptionID != "sub_openai_tier1" || *plan.TierType != "paid" {
		t.Errorf("%+v, %v", plan, err)
	}
	for _, name := range []string{"anthropic", "gemini"} {
		if err := w.Prepare(t.Context(), "acme", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.ResetPrices(t.Context(), "../x", "openai"); err == nil {
		t.Error("a wrong organisation was accepted")
	}
}

func TestAPriceKeepsEveryField(t *testing.T) {
	w := newWorld(t)
	full := prices.Price{
		ModelID: "house/model:1", ModelName: ptr("House"), Input: dec(t, "0.000000001"), Output: dec(t, "999.123456789"),
		CachedInput: ptr(dec(t, "0.1")), CacheWrite: ptr(dec(t, "0.2")), BatchInput: ptr(dec(t, "0.3")), BatchOutput: ptr(dec(t, "0.4")),
		ContextWindow: ptr("1M"), EffectiveDate: date("2026-01-01"), EndDate: ptr(date("2026-12-31")), IsEnabled: ptr(false),
		Notes: ptr(`it's "quoted", \ and ünïcode`), PricingType: ptr("negotiated"), FreeInput: ptr(int64(2_000_000_000)), FreeOutput: ptr(int64(0)),
		FreeReset: ptr("daily"), Discount: ptr(dec(t, "12.5")), DiscountReason: ptr("volume"), VolumeThreshold: ptr(int64(1)),
		BaseInput: ptr(dec(t, "1")), BaseOutput: ptr(dec(t, "2")),
	}
	got, err := w.CreatePrice(t.Context(), "acme", "openai", full)
	if err != nil {
		t.Fatal(err)
	}
	full.IsCustom, full.IsEdited, full.CreatedAt, full.UpdatedAt = ptr(true), ptr(false), ptr(w.now), ptr(w.now)
	a, _ := json.Marshal(full)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", b, a)
	}
	_, err = w.CreatePrice(t.Context(), "acme", "openai", full)
	want(t, err, prices.CodeConflict, "house/model:1")
	if err := w.DeletePrice(t.Context(), "acme", "openai", "house/model:1"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Price(t.Context(), "acme", "openai", "house/model:1")
	want(t, err, prices.CodeNotFound, "house/model:1")
	for _, org := range []string{"acme", "nobody"} { // what is not there is gone already
		if err := w.DeletePrice(t.Context(), org, "openai", "house/model:1"); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongRowsAreRefusedWithEveryReason(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreatePrice(t.Context(), "acme", "openai", prices.Price{
		ModelID: strings.Repeat("m", 101), EffectiveDate: date("2026-02-01"), EndDate: ptr(date("2026-01-01")), Input: dec(t, "-1"), Output: dec(t, "1000.1"),
		PricingType: ptr("cheap"), Discount: ptr(dec(t, "101")), FreeInput: ptr(int64(-1)), Notes: ptr(strings.Repeat("n", 1001)),
	})
	for _, text := range []string{
		"model_id has more than 100", "end_date is before", "input_price_per_1k is negative", "output_price_per_1k is more than 1000", "pricing_type must be one of standard",
		"discount_percentage is more than 100", "free_tier_input_tokens is negative", "notes has more than 1000",
	} {
		want(t, err, launcher.CodeInvalidParameter, text)
	}
	_, err = w.CreatePrice(t.Context(), "acme", "openai", prices.Price{})
	want(t, err, launcher.CodeInvalidParameter, "model_id is empty")
	_, err = w.UpdatePrice(t.Context(), "acme", "openai", prices.PriceChange{ModelID: "gpt-4o"})
	want(t, err, launcher.CodeInvalidParameter, "No fields to update")
	_, err = w.UpdatePrice(t.Context(), "acme", "openai", prices.PriceChange{ModelID: "absent", Notes: ptr("x")})
	want(t, err, prices.CodeNotFound, "absent")
	_, _, err = w.ListPrices(t.Context(), "acme", "azure", prices.Page{})
	want(t, err, launcher.CodeInvalidParameter, "azure has no prices")
	for _, text := range []string{"0.0000000001", "1e99", "1e999999999", "NaN", "1_0", "", strings.Repeat("9", 30)} {
		if d, err := prices.ParseDecimal(text); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
}

func TestALaterDateKeepsTheHistory(t *testing.T) {
	w := newWorld(t)
	w.prepare(t)
	change := prices.PriceChange{ModelID: "gpt-4o", Input: ptr(dec(t, "0.001")), EffectiveDate: ptr(date("2026-10-01")), Discount: ptr(dec(t, "50"))}
	got, err := w.UpdatePrice(t.Context(), "acme", "openai", change)
	if err != nil || got.Input.String() != "0.001" || got.Output.String() != "0.01" || got.EffectiveDate != date("2026-10-01") || !*got.IsEdited {
		t.Fatalf("%+v, %v", got, err)
	}
	if rows := w.sql(t, "SELECT COUNT(*) FROM openai_model_pricing WHERE model_id = 'gpt-4o'"); rows[0][0] != int64(2) {
		t.Errorf("history: %v", rows)
	}
	change.Input = ptr(dec(t, "0.004"))
	if got, err = w.UpdatePrice(t.Context(), "acme", "openai", change); err != nil || got.Input.String() != "0.004" {
		t.Errorf("the same date again: %+v, %v", got, err)
	}
	own, err := w.Own(t.Context(), "acme", "openai_model_pricing")
	if err != nil || len(own) != 1 || own[0].EffectiveDate != date("2026-10-01") {
		t.Errorf("own rows: %+v, %v", own, err)
	}
	if got := w.rates(t, "gpt-4o"); got != "0.002 0.000625 0.005" {
		t.Errorf("rates in force: %s", got)
	}
	if got := w.rates(t, "gpt-4o-mini"); got != "0.00015 0.000075 0.0006" {
		t.Errorf("rates of the product: %s", got)
	}
}

func TestBulkChangesAreOneStatement(t *testing.T) {
	w := newWorld(t)
	result, err := w.UpsertPrices(t.Context(), "acme", "openai", []prices.PriceChange{
		{ModelID: "gpt-4o", Input: ptr(dec(t, "0.0021"))},
		{ModelID: "house-model", Input: ptr(dec(t, "0.1")), Output: ptr(dec(t, "0.2"))},
		{ModelID: "half-a-model", Input: ptr(dec(t, "0.1"))},
		{ModelID: "gpt-4o", Output: ptr(dec(t, "1"))},
		{ModelID: "gpt-4o-mini"},
		{ModelID: "o1", Input: ptr(dec(t, "-1"))},
	})
	if err != nil || result.Updated != 2 || len(result.Errors) != 4 {
		t.Fatalf("%+v, %v", result, err)
	}
	for i, text := range []string{"output_price_per_1k is needed", "changed twice", "No fields", "is negative"} {
		if e := result.Errors[i]; e.Index != i+2 || !strings.Contains(e.Message, text) {
			t.Errorf("error %+v, want %q", e, text)
		}
	}
	if house, err := w.Price(t.Context(), "acme", "openai", "house-model"); err != nil || house.EffectiveDate != date("2026-11-01") || !*house.IsCustom {
		t.Errorf("%+v, %v", house, err)
	}
	reset, err := w.ResetPrices(t.Context(), "acme", "openai")
	if err != nil || reset.Preserved != 1 || reset.Reset < 80 {
		t.Errorf("%+v, %v", reset, err)
	}
	if got, err := w.Price(t.Context(), "acme", "openai", "gpt-4o"); err != nil || got.Input.String() != "0.0025" || *got.IsEdited {
		t.Errorf("%+v, %v", got, err)
	}
	own, err := w.Own(t.Context(), "acme", "openai_model_pricing")
	if err != nil || len(own) != 1 || own[0].ModelID != "house-model" {
		t.Errorf("own rows: %+v, %v", own, err)
	}
}

func TestListsPage(t *testing.T) {
	w := newWorld(t)
	w.prepare(t)
	var seen []string
	page := prices.Page{Limit: 20}
	for {
		rows, next, err := w.ListPrices(t.Context(), "acme", "openai", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seen = append(seen, r.ModelID+" "+r.EffectiveDate.String())
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	unique := map[string]bool{}
	for _, s := range seen {
		unique[s] = true
	}
	rows := w.sql(t, "SELECT COUNT(*) FROM openai_model_pricing")
	if int64(len(seen)) != rows[0][0] || len(unique) != len(seen) {
		t.Errorf("%d rows in pages, %d different, %v in the table", len(seen), len(unique), rows[0][0])
	}
	_, _, err := w.ListPrices(t.Context(), "acme", "openai", prices.Page{Cursor: "zzz"})
	want(t, err, launcher.CodeInvalidParameter, "cursor")
}

func TestPlansAreKeptLikePrices(t *testing.T) {
	w := newWorld(t)
	plan := prices.Plan{SubscriptionID: "sub-1", PlanName: "TEAM", Quantity: 3, UnitPrice: dec(t, "25.5"), EffectiveDate: date("2026-01-01"), TierType: ptr("enterprise"), RPM: ptr(int64(9))}
	got, err := w.CreatePlan(t.Context(), "acme", "anthropic", plan)
	if err != nil || got.Quantity != 3 || *got.RPM != 9 || !*got.IsCustom {
		t.Fatalf("%+v, %v", got, err)
	}
	plan.PlanName = "OTHER"
	_, err = w.CreatePlan(t.Context(), "acme", "anthropic", plan)
	want(t, err, prices.CodeConflict, "sub-1")
	if got, err = w.UpdatePlan(t.Context(), "acme", "anthropic", prices.PlanChange{PlanName: "TEAM", Quantity: ptr(int64(5)), TPM: ptr(int64(math.MaxInt64))}); err != nil || got.Quantity != 5 || *got.TPM != math.MaxInt64 || *got.RPM != 9 {
		t.Errorf("%+v, %v", got, err)
	}
	if r, err := w.ResetPlans(t.Context(), "acme", "anthropic"); err != nil || r.Preserved != 1 || r.Reset != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := w.DeletePlan(t.Context(), "acme", "anthropic", "TEAM"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Plan(t.Context(), "acme", "anthropic", "TEAM")
	want(t, err, prices.CodeNotFound, "TEAM")
}

// A table that was made before has floats and few columns.
func TestTablesOfOlderVersionsAreReadAndGainColumns(t *testing.T) {
	w := newWorld(t)
	if err := w.bq.Dataset("acme_local").Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.sql(t, `CREATE TABLE openai_model_pricing (model_id STRING NOT NULL, model_name STRING, input_price_per_1k FLOAT64 NOT NULL,
		output_price_per_1k FLOAT64 NOT NULL, effective_date DATE NOT NULL, notes STRING, created_at TIMESTAMP, updated_at TIMESTAMP)`)
	w.sql(t, "INSERT INTO openai_model_pricing (model_id, input_price_per_1k, output_price_per_1k, effective_date) VALUES ('gpt-4o', 0.000015, 0.1, DATE '2025-01-01')")
	own, err := w.Own(t.Context(), "acme", "openai_model_pricing")
	if err != nil || len(own) != 1 || own[0].Input.String() != "0.000015" {
		t.Fatalf("%+v, %v", own, err)
	}
	if all, _, err := w.ListPrices(t.Context(), "acme", "openai", prices.Page{}); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	w.prepare(t)
	if got := w.rates(t, "gpt-4o"); got != "1.5e-05 0.00125 0.1" && got != "0.000015 0.00125 0.1" {
		t.Errorf("rates: %s", got)
	}
	if got, err := w.UpdatePrice(t.Context(), "acme", "openai", prices.PriceChange{ModelID: "gpt-4o", CachedInput: ptr(dec(t, "0.000007"))}); err != nil || got.CachedInput.String() != "0.000007" || got.Input.String() != "0.000015" {
		t.Errorf("%+v, %v", got, err)
	}
	if own, err = w.Own(t.Context(), "acme", "openai_model_pricing"); err != nil || len(own) != 1 {
		t.Errorf("own rows: %+v, %v", own, err)
	}
	if own, err = w.Own(t.Context(), "acme", "absent"); err != nil || len(own) != 0 {
		t.Errorf("a missing table: %+v, %v", own, err)
	}
}
