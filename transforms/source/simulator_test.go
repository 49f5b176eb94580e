package source_test

import (
	"encoding/json"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/openai"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

// TestUsageOfEveryDayAddsUpToWhatTheProviderRecorded fetches the simulated organisation
// whole, with failures on the way, and compares day by day and model by model.
func TestUsageOfEveryDayAddsUpToWhatTheProviderRecorded(t *testing.T) {
	for _, runner := range []string{"prism", "direct"} {
		t.Run(runner, func(t *testing.T) { fetchWholeOrganisation(t, runner) })
	}
}

func fetchWholeOrganisation(t *testing.T, runner string) {
	days := openai.Days(civil.Date{Year: 2026, Month: time.August, Day: 19}, 5)
	server, base := openai.RunT(t, openai.Config{Seed: 7, Days: days, Orgs: []openai.Org{{Name: "acme", AdminKey: canary}, {Name: "other", AdminKey: "sk-other"}}})
	zero := "0"
	server.Fail(openai.Rule{PathPrefix: "/v1/organization/usage", Nth: 2, Times: 2, Status: 429, RetryAfter: &zero})
	server.Fail(openai.Rule{PathPrefix: "/v1/organization/usage", Nth: 6, Truncate: true})
	source.UseOrigins(func(string) string { return base })

	j := job{processor: "openai.usage", runner: runner, config: map[string]any{"rate_limit": map[string]any{"requests_per_second": 0}}}
	for _, day := range days {
		j.days = append(j.days, day.String())
	}
	pages := j.run(t)
	want, err := server.Totals("acme")
	if err != nil {
		t.Fatal(err)
	}
	got := sums(t, pages)
	if len(got) != len(want.Days) || want.Requests == 0 {
		t.Errorf("%d days and models, want %d", len(got), len(want.Days))
	}
	for _, w := range want.Days {
		k := key{w.Day.String(), w.UsageType, w.Model}
		sum := measures{w.InputTokens, w.OutputTokens, w.CachedTokens, w.CacheWriteTokens, w.Requests}
		if w.UsageType == openai.Embeddings {
			sum[2], sum[3] = 0, 0
		}
		if got[k] != sum {
			t.Errorf("%v: %v, want %v", k, got[k], sum)
		}
	}
	var requests int64
	for _, page := range pages {
		requests += page.Requests
	}
	if int(requests) != len(server.Requests()) || int(requests) != len(pages)+3 {
		t.Errorf("pages count %d requests, the provider %d, for %d pages and 3 failures", requests, len(server.Requests()), len(pages))
	}
}

// TestAWrittenOutPipelineFollowsTheProvidersPages is the same API by its literal address.
func TestAWrittenOutPipelineFollowsTheProvidersPages(t *testing.T) {
	days := openai.Days(civil.Date{Year: 2026, Month: time.August, Day: 19}, 4)
	_, base := openai.RunT(t, openai.Config{Days: days, Orgs: []openai.Org{{Name: "acme", AdminKey: canary}}})
	source.UseOriginOverrides(map[string]string{"https://api.openai.com": base})
	pages := job{processor: "generic.api_extractor", config: map[string]any{
		"url":  "https://api.openai.com/v1/organization/usage/completions",
		"auth": map[string]any{"type": "bearer", "provider": "OPENAI"},
		"params": map[string]any{
			"start_time": days[0].In(time.UTC).Unix(), "end_time": days[3].AddDays(1).In(time.UTC).Unix(), "group_by": []string{"model", "batch"},
		},
		"pagination": map[string]any{"type": "cursor", "param": "page", "response_path": "next_page", "has_more": "has_more", "limit": 1},
	}}.run(t)
	if len(pages) != 4 {
		t.Fatalf("%d pages, want one a day: %+v", len(pages), pages[len(pages)-1].Failure)
	}
	for i, page := range pages {
		raw, _ := page.Rows[0].Cells[2].AsText()
		var bucket struct {
			Start   int64             `json:"start_time"`
			Results []json.RawMessage `json:"results"`
		}
		if err := json.Unmarshal([]byte(raw), &bucket); err != nil || bucket.Start != days[i].In(time.UTC).Unix() || len(bucket.Results) == 0 {
			t.Errorf("page %d: %v %s", i, err, raw)
		}
	}
}

type key struct{ day, kind, model string }

// measures are input, output, cached and cache-write tokens, and requests.
type measures [5]int64

func sums(t *testing.T, pages []row.Page) map[key]measures {
	t.Helper()
	schema := shippedSchema(t, "openai/cost/openai_usage_daily_raw")
	at := func(r row.Row, name string) row.Cell { return r.Cells[schema.Index(name)] }
	out := map[key]measures{}
	for _, page := range pages {
		if page.Failure != nil || len(page.Rejects) > 0 {
			t.Fatalf("%s %s: failure %+v, rejects %+v", page.Unit, page.Partition, page.Failure, page.Rejects)
		}
		for _, r := range page.Rows {
			k := key{at(r, "usage_date").Text(), at(r, "usage_type").Text(), at(r, "model").Text()}
			sum := out[k]
			for i, name := range []string{"context_tokens", "generated_tokens", "input_cached_tokens", "input_cache_write_tokens", "requests"} {
				n, _ := at(r, name).AsInt64()
				sum[i] += n
			}
			out[k] = sum
		}
	}
	return out
}
