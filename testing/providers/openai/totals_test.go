package openai_test

import (
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/openai"
)

const grouped = "&group_by=project_id&group_by=api_key_id&group_by=model&group_by=batch&group_by=service_tier"

// traceSums adds up the data files without the package under test.
func traceSums(t *testing.T) (rows, context, generated int64) {
	t.Helper()
	for _, name := range []string{"code", "conv"} {
		text, err := os.ReadFile("../trace/testdata/AzureLLMInferenceTrace_" + name + ".csv")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			fields := strings.Split(strings.TrimSpace(row), ",")
			in, errIn := strconv.ParseInt(fields[1], 10, 64)
			out, errOut := strconv.ParseInt(fields[2], 10, 64)
			if errIn != nil || errOut != nil {
				t.Fatalf("row %q", row)
			}
			rows, context, generated = rows+1, context+in, generated+out
		}
	}
	return rows, context, generated
}

func TestEveryTraceRowIsServedOnce(t *testing.T) {
	server, c := start(t)
	rows, context, generated := traceSums(t)
	if rows != 28_185 {
		t.Fatalf("the traces have %d rows", rows)
	}
	seen := map[int]int{}
	var requests, input, output, unserved int64
	for org, key := range map[string]string{"acme": acmeAdmin, "globex": globexAdmin} {
		if _, err := server.Restate(org, civil.Date{}, func(r *openai.Request) bool { seen[r.Row]++; return true }); err != nil {
			t.Fatal(err)
		}
		totals, err := server.Totals(org)
		if err != nil {
			t.Fatal(err)
		}
		unserved += totals.UnservedTokens
		c.key = key
		for _, path := range []string{completionsPath, embeddingsPath} {
			for _, b := range c.all(path, days(firstDay, lastDay)+"&limit=2") {
				for _, r := range b.Results {
					requests += r.NumModelRequests
					input += r.InputTokens
					output += r.OutputTokens
				}
			}
		}
	}
	if requests != rows || input != context || output+unserved != generated {
		t.Errorf("served %d requests, %d input, %d output and %d unserved tokens; the traces have %d, %d, %d", requests, input, output, unserved, rows, context, generated)
	}
	for row := range int(rows) {
		if seen[row] != 1 {
			t.Fatalf("row %d was used %d times", row, seen[row])
		}
	}
}

func TestTheMixHoldsWhatBillingMustTellApart(t *testing.T) {
	_, c := start(t)
	count := map[string]int64{}
	for _, b := range c.all(completionsPath, days(firstDay, lastDay)+grouped) {
		for _, r := range b.Results {
			if r.InputCachedTokens+r.InputCacheWriteTokens+r.InputUncachedTokens != r.InputTokens || r.InputUncachedTokens < 0 {
				t.Errorf("the kinds of input do not add up: %+v", r)
			}
			count[*r.ServiceTier] += r.NumModelRequests
			count["cached"] += r.InputCachedTokens
			count["cache write of "+*r.Model] += r.InputCacheWriteTokens
			if *r.Batch {
				count["batch"] += r.NumModelRequests
			}
			if *r.Model == openai.UnpricedModel {
				count["unpriced"] += r.NumModelRequests
			}
		}
	}
	for _, name := range []string{"default", "flex", "priority", "batch", "unpriced", "cached", "cache write of gpt-5.6-sol"} {
		if count[name] == 0 {
			t.Errorf("no %s in the mix: %v", name, count)
		}
	}
	if count["default"] < 3*(count["flex"]+count["priority"]) || count["cache write of gpt-5-2025-08-07"] != 0 {
		t.Errorf("an unlikely mix: %v", count)
	}
}

// listPrices are dollars per million tokens, written down here a second time.
type listPrices struct{ input, cached, write, output string }

func TestCostsAreUsageTimesTheListPrice(t *testing.T) {
	_, c := start(t)
	for _, tt := range []struct {
		model, tier string
		batch       bool
		day         civil.Date
		listPrices
	}{
		{"gpt-4o-2024-08-06", "default", false, firstDay, listPrices{"2.5", "1.25", "0", "10"}},
		{"gpt-4o-mini-2024-07-18", "default", true, firstDay, listPrices{"0.075", "0", "0", "0.3"}},
		{"gpt-5.6-sol", "default", true, firstDay, listPrices{"2.5", "0.25", "3.125", "15"}},
		{"gpt-5.6-sol", "flex", false, lastDay, listPrices{"2", "0.2", "2.5", "10"}},
		{"gpt-5-2025-08-07", "flex", false, lastDay, listPrices{"0.625", "0.0625", "0", "5"}},
		{"gpt-4.1-2025-04-14", "priority", false, lastDay, listPrices{"3.5", "0.875", "0", "14"}},
		{"gpt-5.6-sol", "default", false, civil.Date{Year: 2026, Month: 8, Day: 20}, listPrices{"5", "0.5", "6.25", "30"}},
		{"gpt-5.6-sol", "default", false, civil.Date{Year: 2026, Month: 8, Day: 21}, listPrices{"4", "0.4", "5", "20"}},
	} {
		suffix := map[string]string{"default": "", "flex": ", flex", "priority": ", priority"}[tt.tier]
		if tt.batch {
			suffix = ", batch"
		}
		var used result
		for _, r := range c.page(completionsPath, days(tt.day, tt.day)+grouped+"&models="+tt.model).Data[0].Results {
			if *r.Batch == tt.batch && *r.ServiceTier == tt.tier {
				used.InputUncachedTokens += r.InputUncachedTokens
				used.InputCachedTokens += r.InputCachedTokens
				used.InputCacheWriteTokens += r.InputCacheWriteTokens
				used.OutputTokens += r.OutputTokens
			}
		}
		lines := map[string]result{}
		for _, r := range c.page(costsPath, days(tt.day, tt.day)+"&group_by=line_item").Data[0].Results {
			lines[*r.LineItem] = r
		}
		for _, part := range []struct {
			name   string
			price  string
			tokens int64
		}{
			{"input", tt.input, used.InputUncachedTokens},
			{"cached input", tt.cached, used.InputCachedTokens},
			{"cache write", tt.write, used.InputCacheWriteTokens},
			{"output", tt.output, used.OutputTokens},
		} {
			item := tt.model + ", " + part.name + suffix
			line, billed := lines[item]
			if billed != (part.tokens > 0) {
				t.Errorf("%s %q: billed %v for %d tokens", tt.day, item, billed, part.tokens)
			}
			if !billed {
				continue
			}
			want := new(big.Rat).Mul(rat(t, part.price), big.NewRat(part.tokens, 1_000_000))
			if rat(t, line.Amount.Value.String()).Cmp(want) != 0 || *line.Quantity != part.tokens || *line.QuantityUnit != "tokens" || line.Amount.Currency != "usd" {
				t.Errorf("%s %q: billed %+v, want %s for %d tokens", tt.day, item, line, want.FloatString(12), part.tokens)
			}
		}
	}
}

func TestCostsAddUpToTheTotalsHoweverTheyAreGrouped(t *testing.T) {
	server, c := start(t)
	for org, key := range map[string]string{"acme": acmeAdmin, "globex": globexAdmin} {
		c.key = key
		totals, err := server.Totals(org)
		if err != nil {
			t.Fatal(err)
		}
		byDay := new(big.Rat)
		for _, d := range totals.Days {
			byDay.Add(byDay, rat(t, d.Cost))
		}
		want := rat(t, totals.Cost)
		if byDay.Cmp(want) != 0 || want.Sign() <= 0 {
			t.Errorf("%s: the days cost %s, the total is %s", org, byDay.FloatString(12), totals.Cost)
		}
		for _, by := range []string{"", "&group_by=line_item", "&group_by=project_id&group_by=api_key_id", "&group_by=project_id&group_by=line_item&group_by=api_key_id"} {
			got := new(big.Rat)
			for _, b := range c.all(costsPath, days(firstDay, lastDay)+"&limit=3"+by) {
				for _, r := range b.Results {
					got.Add(got, rat(t, r.Amount.Value.String()))
					if (r.LineItem != nil) != strings.Contains(by, "line_item") || (r.Quantity != nil) != (r.LineItem != nil) {
						t.Errorf("%q: line item %v, quantity %v", by, r.LineItem, r.Quantity)
					}
				}
			}
			if got.Cmp(want) != 0 {
				t.Errorf("%s %q: billed %s, want %s", org, by, got.FloatString(12), totals.Cost)
			}
		}
	}
}

func TestLeavesBoundTheErrorOfRoundedCosts(t *testing.T) {
	server, c := start(t)
	totals, err := server.Totals("acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, users := range []bool{false, true} {
		query := days(firstDay, lastDay) + grouped
		if users {
			query += "&group_by=user_id"
		}
		leaves := map[string]int{}
		for _, path := range []string{completionsPath, embeddingsPath} {
			q := query
			if path == embeddingsPath {
				q = strings.NewReplacer("&group_by=batch", "", "&group_by=service_tier", "").Replace(query)
			}
			for _, b := range c.all(path, q) {
				day := civil.DateOf(time.Unix(b.StartTime, 0).UTC()).String()
				for _, r := range b.Results {
					if path == embeddingsPath {
						r.InputUncachedTokens = r.InputTokens
					}
					for _, n := range []int64{r.InputUncachedTokens, r.InputCachedTokens, r.InputCacheWriteTokens, r.OutputTokens} {
						if n > 0 {
							leaves[day+" "+*r.Model]++
						}
					}
				}
			}
		}
		for _, d := range totals.Days {
			got := d.Leaves
			if users {
				got = d.UserLeaves
			}
			if want := leaves[d.Day.String()+" "+d.Model]; got != want || want == 0 {
				t.Errorf("%s %s, users %v: %d leaves, the usage has %d", d.Day, d.Model, users, got, want)
			}
		}
	}
}

func TestTheSeedDecidesEverything(t *testing.T) {
	answer := func(seed uint64) string {
		config := twoOrgs()
		config.Seed = seed
		server, base := openai.RunT(t, config)
		totals, err := server.Totals("acme")
		if err != nil {
			t.Fatal(err)
		}
		c := client{t, base, acmeAdmin}
		return mustJSON(t, []any{totals, c.all(completionsPath, days(firstDay, lastDay)+grouped), c.all(costsPath, days(firstDay, lastDay))})
	}
	first := answer(7)
	if answer(7) != first {
		t.Error("the same seed answered differently")
	}
	if answer(8) == first {
		t.Error("another seed answered alike")
	}
}

func TestNothingIsSeenBeforeItHappened(t *testing.T) {
	config := twoOrgs()
	now := firstDay.In(time.UTC).Add(18*time.Hour + 30*time.Minute)
	config.Clock = func() time.Time { return now }
	_, base := openai.RunT(t, config)
	c := client{t, base, acmeAdmin}
	count := func() (n int64) {
		for _, b := range c.all(completionsPath, "start_time="+unix(firstDay)) {
			for _, r := range b.Results {
				n += r.NumModelRequests
			}
		}
		return n
	}
	early := count()
	now = now.Add(24 * time.Hour)
	if late := count(); early == 0 || late <= early {
		t.Errorf("saw %d requests on the first evening and %d a day later", early, late)
	}
}
