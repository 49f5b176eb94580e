package anthropic_test

import (
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/anthropic"
)

const (
	adminKey    = "sk-ant-admin01-acme"
	standardKey = "sk-ant-api03-acme"
)

func start(t *testing.T) (*anthropic.Server, string) {
	return anthropic.RunT(t, anthropic.Config{Seed: 7, Orgs: []anthropic.Org{
		{Name: "acme", AdminKey: adminKey, StandardKey: standardKey, Share: 2}, {Name: "rival", AdminKey: "sk-ant-admin01-rival"},
	}})
}

func get(t *testing.T, address, key string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-api-key", key)
	req.Header.Set("anthropic-version", "2023-06-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

type result struct {
	Uncached      int64 `json:"uncached_input_tokens"`
	CacheCreation struct {
		OneHour     int64 `json:"ephemeral_1h_input_tokens"`
		FiveMinutes int64 `json:"ephemeral_5m_input_tokens"`
	} `json:"cache_creation"`
	CacheRead     int64 `json:"cache_read_input_tokens"`
	Output        int64 `json:"output_tokens"`
	ServerToolUse struct {
		WebSearches int64 `json:"web_search_requests"`
	} `json:"server_tool_use"`
	Model       *string `json:"model"`
	WorkspaceID *string `json:"workspace_id"`
	ServiceTier *string `json:"service_tier"`
	Amount      string  `json:"amount"`
	TokenType   *string `json:"token_type"`
}

type bucket struct {
	StartingAt string   `json:"starting_at"`
	Results    []result `json:"results"`
}

// all reads every page of a report.
func all(t *testing.T, base, report string, query url.Values) []bucket {
	t.Helper()
	var buckets []bucket
	for {
		status, body := get(t, base+"/organizations/"+report+"?"+query.Encode(), adminKey)
		if status != http.StatusOK {
			t.Fatalf("%d: %s", status, body)
		}
		var page struct {
			Data     []bucket
			HasMore  bool    `json:"has_more"`
			NextPage *string `json:"next_page"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		buckets = append(buckets, page.Data...)
		if !page.HasMore {
			return buckets
		}
		query.Set("page", *page.NextPage)
	}
}

var day = civil.Date{Year: 2026, Month: time.August, Day: 20}

func TestUsageReportAddsUpToTheRequests(t *testing.T) {
	s, base := start(t)
	requests, err := s.On("acme", day)
	if err != nil || len(requests) < 1000 {
		t.Fatalf("%d requests, %v", len(requests), err)
	}
	var want, got [6]int64
	for _, r := range requests {
		for i, n := range r.Tokens {
			want[i] += n
		}
		want[5] += r.WebSearches
	}
	for _, width := range []string{"1d", "1h"} {
		got = [6]int64{}
		buckets := all(t, base, "usage_report/messages", url.Values{
			"starting_at": {"2026-08-20T11:00:00Z"}, "ending_at": {"2026-08-21T00:00:00Z"}, "bucket_width": {width}, "limit": {"5"},
			"group_by[]": {"model", "workspace_id", "service_tier", "api_key_id"},
		})
		if width == "1d" && (len(buckets) != 1 || buckets[0].StartingAt != "2026-08-20T00:00:00Z") {
			t.Fatalf("the start is not snapped to its bucket: %d buckets", len(buckets))
		}
		for _, b := range buckets {
			for _, r := range b.Results {
				for i, n := range []int64{r.Uncached, r.CacheCreation.FiveMinutes, r.CacheCreation.OneHour, r.CacheRead, r.Output, r.ServerToolUse.WebSearches} {
					got[i] += n
				}
			}
		}
		if width == "1d" && got != want {
			t.Errorf("%s buckets add up to %v, the requests to %v", width, got, want)
		}
		if width == "1h" && len(buckets) != 13 {
			t.Errorf("%d hours from 11:00 on, want 13", len(buckets))
		}
	}
	for i, n := range want {
		if n == 0 {
			t.Errorf("the requests have nothing of kind %d", i)
		}
	}
}

func TestCostReportIsTheBillInFractionalCents(t *testing.T) {
	s, base := start(t)
	want, err := s.Billed("acme", day)
	if err != nil || want.Sign() <= 0 {
		t.Fatalf("billed %v, %v", want, err)
	}
	for _, groups := range [][]string{nil, {"description"}, {"description", "workspace_id"}} {
		buckets := all(t, base, "cost_report", url.Values{
			"starting_at": {"2026-08-18T00:00:00Z"}, "ending_at": {"2026-08-22T00:00:00Z"}, "limit": {"3"}, "group_by[]": groups,
		})
		if len(buckets) != 4 || buckets[0].Results == nil || len(buckets[0].Results) != 0 {
			t.Fatalf("%d buckets; a day without cost must be there and empty", len(buckets))
		}
		sum := new(big.Rat)
		for _, r := range buckets[2].Results {
			cents, ok := new(big.Rat).SetString(r.Amount)
			if !ok || !strings.Contains(r.Amount, ".") && groups == nil {
				t.Fatalf("amount %q is not a decimal of cents", r.Amount)
			}
			if r.ServiceTier != nil && *r.ServiceTier == anthropic.TierPriority {
				t.Error("the priority tier is in the cost report")
			}
			sum.Add(sum, cents)
		}
		if sum.Quo(sum, big.NewRat(100, 1)).Cmp(want) != 0 {
			t.Errorf("grouped by %v the report adds up to %s, the bill is %s", groups, sum.FloatString(9), want.FloatString(9))
		}
	}
}

func TestValidationEndpointsTellKeysApart(t *testing.T) {
	_, base := start(t)
	for _, c := range []struct {
		path, key string
		status    int
		want      string
	}{
		{"/organizations/me", adminKey, 200, `"name":"acme"`},
		{"/organizations/me", standardKey, 403, "permission_error"},
		{"/organizations/me", "sk-ant-admin01-nobody", 401, "authentication_error"},
		{"/models", standardKey, 200, "claude-opus-5"},
		{"/models", adminKey, 403, "permission_error"},
		{"/organizations/workspaces", adminKey, 200, "wrkspc_"},
		{"/organizations/api_keys?limit=2", adminKey, 200, `"has_more":true`},
		{"/nothing", adminKey, 404, "not_found_error"},
	} {
		status, body := get(t, base+c.path, c.key)
		if status != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, status, body, c.status, c.want)
		}
	}
}

func TestWrongQueriesAreRefused(t *testing.T) {
	_, base := start(t)
	for query, want := range map[string]string{
		"":                                     "starting_at",
		"starting_at=2026-08-20":               "starting_at",
		"starting_at=2026-08-20T00:00:00Z&x=1": "x: Extra inputs",
		"starting_at=2026-08-20T00:00:00Z&group_by=model":                 "group_by: Extra inputs",
		"starting_at=2026-08-20T00:00:00Z&group_by[]=colour":              "group_by",
		"starting_at=2026-08-20T00:00:00Z&group_by[]=speed":               "group_by",
		"starting_at=2026-08-20T00:00:00Z&limit=32":                       "from 1 to 31",
		"starting_at=2026-08-20T00:00:00Z&bucket_width=1w":                "bucket_width",
		"starting_at=2026-08-20T00:00:00Z&page=page_bm8=":                 "page",
		"starting_at=2026-08-20T00:00:00Z&ending_at=2026-08-19T00:00:00Z": "ending_at",
	} {
		status, body := get(t, base+"/organizations/usage_report/messages?"+query, adminKey)
		if status != http.StatusBadRequest || !strings.Contains(string(body), want) || !strings.Contains(string(body), `"type":"error"`) {
			t.Errorf("%s: %d %s, want 400 with %q", query, status, body, want)
		}
	}
}

func TestFaultsAndTheLogHoldNoSecret(t *testing.T) {
	s, base := start(t)
	wait := "3"
	s.Fail(anthropic.Rule{PathPrefix: "/v1/organizations/me", Status: 529, RetryAfter: &wait})
	if status, body := get(t, base+"/organizations/me?key="+adminKey, adminKey); status != 529 || !strings.Contains(string(body), "overloaded_error") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get(t, base+"/organizations/me", adminKey); status != 200 {
		t.Errorf("the rule hit twice: %d", status)
	}
	for _, call := range s.Requests() {
		if strings.Contains(call.Query, adminKey) {
			t.Errorf("the log holds the key: %+v", call)
		}
	}
}
