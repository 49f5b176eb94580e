package openai_test

import (
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/openai"
)

const (
	acmeAdmin    = "sk-admin-acme"
	acmeStandard = "sk-acme"
	globexAdmin  = "sk-admin-globex"

	completionsPath = "/organization/usage/completions"
	embeddingsPath  = "/organization/usage/embeddings"
	costsPath       = "/organization/costs"
)

var (
	firstDay = civil.Date{Year: 2026, Month: time.August, Day: 19}
	lastDay  = civil.Date{Year: 2026, Month: time.August, Day: 23}
)

func twoOrgs() openai.Config {
	return openai.Config{Seed: 7, Orgs: []openai.Org{
		{Name: "acme", AdminKey: acmeAdmin, StandardKey: acmeStandard, Share: 3},
		{Name: "globex", AdminKey: globexAdmin},
	}}
}

type client struct {
	t    *testing.T
	base string
	key  string
}

func start(t *testing.T) (*openai.Server, client) {
	t.Helper()
	server, base := openai.RunT(t, twoOrgs())
	return server, client{t, base, acmeAdmin}
}

func (c client) send(path, query string) (*http.Response, []byte, error) {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodGet, c.base+path+"?"+query, nil)
	if err != nil {
		return nil, nil, err
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

type failure struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

func (c client) fails(path, query string, status int) failure {
	c.t.Helper()
	response, body, err := c.send(path, query)
	if err != nil {
		c.t.Fatal(err)
	}
	if response.StatusCode != status {
		c.t.Fatalf("GET %s?%s: got status %d, want %d: %s", path, query, response.StatusCode, status, body)
	}
	var answer struct{ Error *failure }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Error == nil || answer.Error.Message == "" || answer.Error.Type == "" {
		c.t.Fatalf("GET %s?%s: not the provider's error body: %s", path, query, body)
	}
	return *answer.Error
}

type result struct {
	Object                string
	InputTokens           int64   `json:"input_tokens"`
	InputCachedTokens     int64   `json:"input_cached_tokens"`
	InputCacheWriteTokens int64   `json:"input_cache_write_tokens"`
	InputUncachedTokens   int64   `json:"input_uncached_tokens"`
	OutputTokens          int64   `json:"output_tokens"`
	NumModelRequests      int64   `json:"num_model_requests"`
	ProjectID             *string `json:"project_id"`
	UserID                *string `json:"user_id"`
	APIKeyID              *string `json:"api_key_id"`
	Model                 *string
	Batch                 *bool
	ServiceTier           *string `json:"service_tier"`
	LineItem              *string `json:"line_item"`
	Quantity              *int64
	QuantityUnit          *string `json:"quantity_unit"`
	Amount                struct {
		Value    json.Number
		Currency string
	}
}

type bucket struct {
	Object    string
	StartTime int64 `json:"start_time"`
	EndTime   int64 `json:"end_time"`
	Results   []result
}

type page struct {
	Object   string
	Data     []bucket
	HasMore  bool    `json:"has_more"`
	NextPage *string `json:"next_page"`
}

func (c client) page(path, query string) page {
	c.t.Helper()
	response, body, err := c.send(path, query)
	if err != nil {
		c.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s?%s: status %d: %s", path, query, response.StatusCode, body)
	}
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// all follows the cursors and returns every bucket.
func (c client) all(path, query string) []bucket {
	c.t.Helper()
	var buckets []bucket
	next := ""
	for range 10_000 {
		p := c.page(path, query+next)
		buckets = append(buckets, p.Data...)
		if p.HasMore != (p.NextPage != nil) {
			c.t.Fatalf("has_more is %v beside next_page %v", p.HasMore, p.NextPage)
		}
		if !p.HasMore {
			return buckets
		}
		next = "&page=" + url.QueryEscape(*p.NextPage)
	}
	c.t.Fatal("the pages never end")
	return nil
}

// days is the query for whole days, the last one included.
func days(first, last civil.Date) string {
	return "start_time=" + unix(first) + "&end_time=" + unix(last.AddDays(1))
}

func unix(day civil.Date) string { return strconv.FormatInt(day.In(time.UTC).Unix(), 10) }

func rat(t *testing.T, text string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is not a decimal", text)
	}
	return r
}
