package pricing_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cloudact/convergence/transforms/pricing"
)

const shipped = "../../configs/pricing"

func shippedFile(t testing.TB, name string) pricing.File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shipped, name))
	if err != nil {
		t.Fatal(err)
	}
	return pricing.File{Name: name, Data: data}
}

func shippedTable(t testing.TB) *pricing.Table {
	t.Helper()
	table, err := pricing.Parse(shippedFile(t, "openai_tiers.json"), shippedFile(t, "genai-prices.json"))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func day(t testing.TB, text string) civil.Date {
	t.Helper()
	d, err := civil.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestShippedFilesValidateAgainstTheirSchemas(t *testing.T) {
	for file, schema := range map[string]string{
		"genai-prices.json": "genai-prices.schema.json",
		"openai_tiers.json": "openai_tiers.schema.json",
	} {
		compiled, err := jsonschema.NewCompiler().Compile(filepath.Join(shipped, schema))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(shippedFile(t, file).Data)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(doc); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// known are prices as the providers publish them: input, cached input, cache write,
// output; "" where there is none.
var known = []struct {
	provider, model, date string
	tier                  pricing.Tier
	want                  [4]string
}{
	{"openai", "gpt-4o", "2025-10-01", pricing.Standard, [4]string{"2.5", "1.25", "", "10"}},
	{"openai", "gpt-4o-2024-05-13", "2025-10-01", pricing.Standard, [4]string{"5", "", "", "15"}},
	{"OPENAI", "gpt-4o-mini", "2025-10-01", pricing.Standard, [4]string{"0.15", "0.075", "", "0.6"}},
	{"openai", "gpt-4.1", "2025-10-01", pricing.Standard, [4]string{"2", "0.5", "", "8"}},
	{"openai", "gpt-4.1-mini", "2025-10-01", pricing.Standard, [4]string{"0.4", "0.1", "", "1.6"}},
	{"openai", "gpt-4.1-nano", "2025-10-01", pricing.Standard, [4]string{"0.1", "0.025", "", "0.4"}},
	{"openai", "gpt-5", "2025-10-01", pricing.Standard, [4]string{"1.25", "0.125", "", "10"}},
	{"openai", "gpt-5-mini", "2025-10-01", pricing.Standard, [4]string{"0.25", "0.025", "", "2"}},
	{"openai", "gpt-5-nano", "2025-10-01", pricing.Standard, [4]string{"0.05", "0.005", "", "0.4"}},
	{"openai", "gpt-5-pro", "2025-10-07", pricing.Standard, [4]string{"15", "", "", "120"}},
	{"openai", "o1", "2025-10-01", pricing.Standard, [4]string{"15", "7.5", "", "60"}},
	{"openai", "o3-mini", "2025-10-01", pricing.Standard, [4]string{"1.1", "0.55", "", "4.4"}},
	{"openai", "o4-mini", "2025-10-01", pricing.Standard, [4]string{"1.1", "0.275", "", "4.4"}},
	{"openai", "o3", "2025-06-09", pricing.Standard, [4]string{"10", "0.5", "", "40"}},
	{"openai", "o3", "2025-06-10", pricing.Standard, [4]string{"2", "0.5", "", "8"}},
	{"openai", "text-embedding-3-small", "2025-10-01", pricing.Standard, [4]string{"0.02", "", "", ""}},
	{"openai", "text-embedding-3-large", "2025-10-01", pricing.Standard, [4]string{"0.13", "", "", ""}},
	{"openai", "text-embedding-ada-002", "2025-10-01", pricing.Standard, [4]string{"0.1", "", "", ""}},
	{"openai", "gpt-5.6-sol", "2026-08-20", pricing.Standard, [4]string{"5", "0.5", "6.25", "30"}},
	{"openai", "gpt-5.6-sol", "2026-08-21", pricing.Standard, [4]string{"4", "0.4", "5", "20"}},
	{"openai", "gpt-5.6-sol", "2026-08-20", pricing.Batch, [4]string{"2.5", "0.25", "3.125", "15"}},
	{"openai", "gpt-5.6-sol", "2026-08-21", pricing.Batch, [4]string{"2", "0.2", "2.5", "10"}},
	{"openai", "gpt-5.6-sol", "2026-08-20", pricing.Flex, [4]string{"2.5", "0.25", "3.125", "15"}},
	{"openai", "gpt-5.6-sol", "2026-08-20", pricing.Priority, [4]string{"10", "1", "12.5", "60"}},
	{"openai", "gpt-5.6-sol", "2026-08-21", pricing.Priority, [4]string{"", "", "", ""}},
	{"openai", "gpt-4o-mini", "2025-10-01", pricing.Batch, [4]string{"0.075", "", "", "0.3"}},
	{"openai", "gpt-5-mini", "2025-10-01", pricing.Batch, [4]string{"0.125", "0.0125", "", "1"}},
	{"openai", "text-embedding-3-small", "2025-10-01", pricing.Batch, [4]string{"0.01", "", "", ""}},
	{"openai", "gpt-4o", "2025-10-01", pricing.Priority, [4]string{"4.25", "2.125", "", "17"}},
	{"openai", "gpt-5-mini", "2025-10-01", pricing.Priority, [4]string{"0.45", "0.045", "", "3.6"}},
	{"openai", "gpt-4.1-nano", "2025-10-01", pricing.Flex, [4]string{"", "", "", ""}},
	{"anthropic", "claude-3-haiku-20240307", "2024-12-01", pricing.Standard, [4]string{"0.25", "0.03", "0.3", "1.25"}},
	{"anthropic", "claude-3-5-haiku-20241022", "2025-01-01", pricing.Standard, [4]string{"0.8", "0.08", "1", "4"}},
	{"anthropic", "claude-3-opus-20240229", "2024-12-01", pricing.Standard, [4]string{"15", "1.5", "18.75", "75"}},
}

func TestShippedTableHasTheKnownPrices(t *testing.T) {
	table := shippedTable(t)
	leaves := [4]pricing.Leaf{pricing.Input, pricing.CachedInput, pricing.CacheWrite, pricing.Output}
	for _, k := range known {
		q, ok := table.Price(pricing.Query{Provider: k.provider, Model: k.model, Date: day(t, k.date), Tier: k.tier})
		if !ok {
			t.Errorf("%s: not found", k.model)
			continue
		}
		for i, leaf := range leaves {
			got := ""
			if p, ok := q.Price(leaf); ok {
				got = p.String()
			}
			if got != k.want[i] {
				t.Errorf("%s %s on %s, %s: got %q, want %q", k.model, k.tier, k.date, leaf, got, k.want[i])
			}
		}
	}
}

func TestMatchSaysHowTheModelWasFound(t *testing.T) {
	table := shippedTable(t)
	for _, c := range []struct {
		name, model string
		kind        pricing.MatchKind
	}{
		{"gpt-4o", "gpt-4o", pricing.Exact},
		{"gpt-4o-2024-08-06", "gpt-4o", pricing.Alias},
		{"gpt-5.6", "gpt-5.6-sol", pricing.Alias},
		{"gpt-5.6-sol-2026-07-01", "gpt-5.6-sol", pricing.Pattern},
		{"omni-moderation-latest", "moderation", pricing.Pattern},
		{"gpt-5-nano-2025-08-07", "gpt-5-nano", pricing.Pattern},
	} {
		m, ok := table.Match("openai", c.name)
		if !ok || m.Model != c.model || m.Kind != c.kind {
			t.Errorf("%s: got %s by %s (%t), want %s by %s", c.name, m.Model, m.Kind, ok, c.model, c.kind)
		}
	}
	for _, name := range []string{"", "gpt-9", "gpt-4o-mini-2099-01-01", "GPT-4O", "gpt-5.6-sol-2026-07-01x"} {
		if m, ok := table.Match("openai", name); ok {
			t.Errorf("%q must not match, got %s by %s", name, m.Model, m.Kind)
		}
	}
	if _, ok := table.Match("nobody", "gpt-4o"); ok {
		t.Error("a model of another provider must not match")
	}
}

func TestLongContextPricesApplyAboveTheCliffOnly(t *testing.T) {
	table := shippedTable(t)
	for input, want := range map[int64]string{0: "2.5", 271_999: "2.5", 272_000: "5"} {
		q, _ := table.Price(pricing.Query{Provider: "openai", Model: "gpt-5.4", Date: day(t, "2026-04-01"), Tier: pricing.Standard, RequestInput: input})
		if p, _ := q.Price(pricing.Input); p.String() != want || q.LongContextAfter != 271_999 {
			t.Errorf("input %d: %s per million after %d, want %s", input, p, q.LongContextAfter, want)
		}
	}
}

func TestVersionNamesTheFileAndTheFirstDay(t *testing.T) {
	table := shippedTable(t)
	for date, want := range map[string]string{
		"2026-08-20": "genai-prices 0.1.8 of 2026-09-23",
		"2026-08-21": "genai-prices 0.1.8 of 2026-09-23, from 2026-08-21",
	} {
		q, _ := table.Price(pricing.Query{Provider: "openai", Model: "gpt-5.6-sol", Date: day(t, date), Tier: pricing.Standard})
		if q.Version != want {
			t.Errorf("%s: got %q, want %q", date, q.Version, want)
		}
	}
}

func TestImageTokensTakeTheTextPriceAndAudioTokensNever(t *testing.T) {
	table := shippedTable(t)
	q, _ := table.Price(pricing.Query{Provider: "openai", Model: "gpt-4o", Date: day(t, "2025-10-01"), Tier: pricing.Standard})
	if p, ok := q.Price(pricing.InputImage); !ok || p.String() != "2.5" {
		t.Errorf("image input: got %s, %t", p, ok)
	}
	if p, ok := q.Price(pricing.InputAudio); ok {
		t.Errorf("audio input of a text model has price %s", p)
	}
	q, _ = table.Price(pricing.Query{Provider: "openai", Model: "gpt-4o-audio-preview", Date: day(t, "2025-10-01"), Tier: pricing.Standard})
	if p, ok := q.Price(pricing.InputAudio); !ok || p.String() != "40" {
		t.Errorf("audio input: got %s, %t", p, ok)
	}
	if !strings.Contains(q.Version, "genai-prices") || !strings.Contains(q.Version, "openai-tiers") {
		t.Errorf("version %q names not both files", q.Version)
	}
}

const tinyModels = `{"format":"genai-prices/1","name":"n","source":"https://example.com","version":"1","date":"2026-01-01",
"providers":[{"id":"p","name":"P","models":[{"id":"m","match":{"equals":"m"},"prices":{"input_mtok":1}}]}]}`

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, c := range map[string]struct{ replace, by, want string }{
		"unknown key":          {`"id":"m"`, `"id":"m","colour":1`, "colour"},
		"unknown price key":    {`"input_mtok":1`, `"inputs_mtok":1`, `unknown price key "inputs_mtok"`},
		"repeated key":         {`"id":"m"`, `"id":"m","id":"m"`, "duplicate"},
		"negative price":       {`:1}}`, `:-1}}`, "not between"},
		"too many decimals":    {`:1}}`, `:0.00000000000001}}`, "13 decimal places"},
		"exponent":             {`:1}}`, `:1e-3}}`, "invalid format"},
		"two tests":            {`{"equals":"m"}`, `{"equals":"m","contains":"m"}`, "2 tests"},
		"no test":              {`{"equals":"m"}`, `{}`, "0 tests"},
		"not RE2":              {`{"equals":"m"}`, `{"regex":"(?=m)"}`, "match"},
		"unknown format":       {`genai-prices/1`, `genai-prices/2`, "unknown format"},
		"time of day":          {`{"input_mtok":1}`, `[{"constraint":{"type":"time_of_date"},"prices":{"input_mtok":1}}]`, "not supported"},
		"trailing bytes":       {`}]}]}`, `}]}]} x`, "price file t"},
		"tiers that fall back": {`"input_mtok":1`, `"input_mtok":{"base":1,"tiers":[{"start":5,"price":2},{"start":5,"price":3}]}`, "must rise"},
	} {
		_, err := pricing.Parse(pricing.File{Name: "t", Data: []byte(strings.Replace(tinyModels, c.replace, c.by, 1))})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := pricing.Parse(pricing.File{Name: "t", Data: []byte(tinyModels)}); err != nil {
		t.Errorf("the unchanged file must parse: %v", err)
	}
	if _, err := pricing.Parse(); err == nil {
		t.Error("no files must be an error")
	}
}

func TestParseRefusesWrongTierEntries(t *testing.T) {
	const head = `{"format":"price-tiers/1","name":"n","source":"s","version":"1","date":"2026-01-01","provider":"p","entries":[`
	entry := `{"model":"m","tier":"batch","from":"2026-01-01","page":"https://example.com","prices":{"input_mtok":"0.5"}}`
	for name, c := range map[string]struct{ body, want string }{
		"unknown model": {strings.Replace(entry, `"m"`, `"x"`, 1), "no model file"},
		"unknown tier":  {strings.Replace(entry, `batch`, `gold`, 1), "unknown tier"},
		"same day":      {entry + "," + entry, "order of time"},
		"no page":       {strings.Replace(entry, `https://example.com`, ``, 1), "missing"},
		"price":         {strings.Replace(entry, `0.5`, `half`, 1), "half"},
		"ends first":    {strings.Replace(entry, `"page"`, `"to":"2026-01-01","page"`, 1), "not after"},
	} {
		_, err := pricing.Parse(pricing.File{Name: "t", Data: []byte(tinyModels)}, pricing.File{Name: "u", Data: []byte(head + c.body + "]}")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestTierIsReadFromBatchAndServiceTier(t *testing.T) {
	for _, c := range []struct {
		batch bool
		tier  string
		want  pricing.Tier
	}{
		{false, "", pricing.Standard},
		{false, "default", pricing.Standard},
		{false, "auto", pricing.Standard},
		{true, "default", pricing.Batch},
		{true, "", pricing.Batch},
		{false, "flex", pricing.Flex},
		{false, "priority", pricing.Priority},
		{false, "fast", pricing.Priority},
	} {
		if got, err := pricing.OpenAITier(c.batch, c.tier); err != nil || got != c.want {
			t.Errorf("batch %t, tier %q: got %s, %v", c.batch, c.tier, got, err)
		}
	}
	for _, tier := range []string{"scale", "unheard-of"} {
		if got, err := pricing.OpenAITier(false, tier); err == nil {
			t.Errorf("tier %q: got %s, want an error", tier, got)
		}
	}
}

func BenchmarkBill(b *testing.B) {
	q, _ := shippedTable(b).Price(pricing.Query{Provider: "openai", Model: "gpt-5-mini", Date: day(b, "2025-10-01"), Tier: pricing.Standard})
	usage := pricing.OpenAIUsage{Input: 120_000, Cached: 80_001, Output: 4_321}
	b.ReportAllocs()
	for b.Loop() {
		leaves, err := usage.Leaves()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := q.Bill(leaves); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrice(b *testing.B) {
	table := shippedTable(b)
	q := pricing.Query{Provider: "openai", Model: "text-embedding-3-small", Date: day(b, "2025-10-01"), Tier: pricing.Standard}
	for b.Loop() {
		if _, ok := table.Price(q); !ok {
			b.Fatal("not found")
		}
	}
}

func TestParseFSReadsThePriceFilesOfADirectory(t *testing.T) {
	table, err := pricing.ParseFS(os.DirFS(shipped))
	if err != nil {
		t.Fatal(err)
	}
	q, ok := table.Price(pricing.Query{Provider: "openai", Model: "gpt-4o", Date: dayOf(2025, 10, 1), Tier: pricing.Batch})
	if p, priced := q.Price(pricing.Output); !ok || !priced || p.String() != "5" {
		t.Errorf("got %s, %t, %t", p, ok, priced)
	}
	if _, err := pricing.ParseFS(os.DirFS(t.TempDir())); err == nil {
		t.Error("a directory without price files must be an error")
	}
}

func dayOf(year, month, d int) civil.Date {
	return civil.Date{Year: year, Month: time.Month(month), Day: d}
}
