package prices_test

import (
	"bytes"
	"encoding/csv"
	"os"
	"strings"
	"testing"

	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/transforms/pricing"
)

// What a person sees in the table is what costs are made of: the seeded prices are those
// of the product's price table on their first day.
func TestSeededPricesAreThoseOfThePriceTable(t *testing.T) {
	table, err := pricing.ParseFS(os.DirFS("../../configs/pricing"))
	if err != nil {
		t.Fatal(err)
	}
	for folder, provider := range map[string]string{"openai": "openai", "anthropic": "anthropic", "gcp": "google"} {
		records, err := csv.NewReader(bytes.NewReader(read(t, folder+"/seed/default_pricing.csv"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		column := map[string]int{}
		for i, name := range records[0] {
			column[name] = i
		}
		compared := 0
		for i, r := range records[1:] {
			if !strings.HasPrefix(r[column["notes"]], "genai-prices") {
				continue
			}
			model, day := r[column["model_id"]], date(r[column["effective_date"]])
			for name, c := range map[string]struct {
				tier pricing.Tier
				leaf pricing.Leaf
			}{
				"input_price_per_1k": {pricing.Standard, pricing.Input}, "output_price_per_1k": {pricing.Standard, pricing.Output},
				"cached_input_price_per_1k": {pricing.Standard, pricing.CachedInput}, "cache_write_price_per_1k": {pricing.Standard, pricing.CacheWrite},
				"x_openai_batch_input_price": {pricing.Batch, pricing.Input}, "x_openai_batch_output_price": {pricing.Batch, pricing.Output},
			} {
				text := r[column[name]]
				if text == "" {
					continue
				}
				on := day
				if c.tier == pricing.Batch { // dated by the launch of the model: the last day of the row has it
					on = date("2026-11-01")
					if rest := records[i+2:]; len(rest) > 0 && rest[0][column["model_id"]] == model {
						on = date(rest[0][column["effective_date"]]).AddDays(-1)
					}
				}
				q, ok := table.Price(pricing.Query{Provider: provider, Model: model, Date: on, Tier: c.tier})
				perMillion, priced := q.Price(c.leaf)
				if want := udecimal.MustParse(text).Mul64(1000); !ok || !priced || !perMillion.Equal(want) {
					t.Errorf("%s of %s on %s is %s per thousand, the table has %s per million", name, model, on, text, perMillion)
				}
				compared++
			}
		}
		if compared < 50 {
			t.Errorf("%s: only %d prices were compared", provider, compared)
		}
	}
}
