package openai_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/openai"
)

func TestRulesHitTheCallsTheyName(t *testing.T) {
	server, c := start(t)
	query := days(firstDay, lastDay)
	seconds, date := "2", "Wed, 19 Aug 2026 10:00:00 GMT"
	for _, rule := range []openai.Rule{
		{PathPrefix: "/v1/organization/costs", Nth: 2, Times: 2, Status: http.StatusTooManyRequests, RetryAfter: &seconds},
		{PathPrefix: "/v1/organization/costs", Nth: 4, Status: http.StatusServiceUnavailable, RetryAfter: &date},
		{PathPrefix: "/v1/organization/costs", Nth: 5, Status: http.StatusInternalServerError},
	} {
		server.Fail(rule)
	}
	for i, want := range []struct {
		status int
		after  string
	}{{200, ""}, {429, seconds}, {429, seconds}, {503, date}, {500, ""}, {200, ""}} {
		response, body, err := c.send(costsPath, query)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want.status || response.Header.Get("Retry-After") != want.after {
			t.Errorf("call %d: status %d, Retry-After %q: %s", i+1, response.StatusCode, response.Header.Get("Retry-After"), body)
		}
		if want.status != 200 && !strings.Contains(string(body), `"error":{"message":`) {
			t.Errorf("call %d: not the provider's error body: %s", i+1, body)
		}
	}
	c.page(completionsPath, query)
}

func TestATruncatedBodyEndsEarly(t *testing.T) {
	server, c := start(t)
	server.Fail(openai.Rule{PathPrefix: "/v1/organization/usage", Truncate: true})
	query := days(firstDay, lastDay) + grouped
	if _, body, err := c.send(completionsPath, query); err == nil || len(body) == 0 {
		t.Errorf("read %d bytes, error %v", len(body), err)
	}
	c.page(completionsPath, query)
}

func TestCallsAreLoggedWithoutSecrets(t *testing.T) {
	server, c := start(t)
	c.page(completionsPath, days(firstDay, firstDay))
	c.fails(costsPath, "start_time=1&api_key=sk-secret", http.StatusBadRequest)
	server.Fail(openai.Rule{Status: http.StatusTooManyRequests, Times: -1})
	c.fails(costsPath, "start_time=1", http.StatusTooManyRequests)
	server.ClearFaults()
	c.page(costsPath, "start_time=1")
	calls := server.Requests()
	want := []openai.Call{
		{Method: "GET", Path: "/v1" + completionsPath, Query: "end_time=" + unix(firstDay.AddDays(1)) + "&start_time=" + unix(firstDay), Status: 200},
		{Method: "GET", Path: "/v1" + costsPath, Query: "api_key=hidden&start_time=1", Status: 400},
		{Method: "GET", Path: "/v1" + costsPath, Query: "start_time=1", Status: 429, Fault: true},
		{Method: "GET", Path: "/v1" + costsPath, Query: "start_time=1", Status: 200},
	}
	if mustJSON(t, calls) != mustJSON(t, want) {
		t.Errorf("got %+v", calls)
	}
}

func TestARestatedDayIsServedAnew(t *testing.T) {
	server, c := start(t)
	before, err := server.Totals("acme")
	if err != nil {
		t.Fatal(err)
	}
	query := days(firstDay, lastDay)
	old := c.page(completionsPath, query).Data
	dropped := int64(0)
	seen, err := server.Restate("acme", firstDay, func(r *openai.Request) bool {
		if r.UsageType != openai.Completions {
			return true
		}
		r.OutputTokens += 10
		if r.Batch {
			dropped++
		}
		return !r.Batch
	})
	if err != nil || seen == 0 || dropped == 0 {
		t.Fatalf("saw %d, dropped %d, error %v", seen, dropped, err)
	}
	anew := c.page(completionsPath, query).Data
	if got, want := anew[0].Results[0].NumModelRequests, old[0].Results[0].NumModelRequests-dropped; got != want {
		t.Errorf("the restated day has %d requests, want %d", got, want)
	}
	if mustJSON(t, anew[1:]) != mustJSON(t, old[1:]) {
		t.Error("other days changed")
	}
	after, err := server.Totals("acme")
	if err != nil {
		t.Fatal(err)
	}
	if after.Requests != before.Requests-dropped || after.Cost == before.Cost {
		t.Errorf("totals: %d requests for %s, before %d for %s", after.Requests, after.Cost, before.Requests, before.Cost)
	}
}

func TestARequestMayMoveToAnotherDay(t *testing.T) {
	server, c := start(t)
	query := days(firstDay, lastDay)
	old := c.page(completionsPath, query).Data
	moved := false
	if _, err := server.Restate("acme", firstDay, func(r *openai.Request) bool {
		if !moved && r.UsageType == openai.Completions {
			r.Time, moved = r.Time.AddDate(0, 0, 1), true
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	anew := c.page(completionsPath, query).Data
	for i, shift := range []int64{-1, 1, 0, 0, 0} {
		if got, want := anew[i].Results[0].NumModelRequests, old[i].Results[0].NumModelRequests+shift; got != want {
			t.Errorf("day %d: %d requests, want %d", i+1, got, want)
		}
	}
}

func TestAnImpossibleRestatementChangesNothing(t *testing.T) {
	server, _ := start(t)
	before, err := server.Totals("acme")
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*openai.Request) bool{
		"more cached than input": func(r *openai.Request) bool { r.CachedTokens = r.InputTokens + 1; return true },
		"a model without price":  func(r *openai.Request) bool { r.Model = "gpt-nothing"; return true },
	} {
		if _, err := server.Restate("acme", civil.Date{}, edit); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := server.Restate("nobody", civil.Date{}, func(*openai.Request) bool { return true }); err == nil {
		t.Error("an unknown organisation was restated")
	}
	after, err := server.Totals("acme")
	if err != nil {
		t.Fatal(err)
	}
	if mustJSON(t, after) != mustJSON(t, before) {
		t.Error("the record changed")
	}
}

func TestADelayedAnswerOutlastsAnImpatientClient(t *testing.T) {
	config := twoOrgs()
	config.PageDelay = time.Hour
	_, slowPages := openai.RunT(t, config)
	server, c := start(t)
	server.Fail(openai.Rule{PathPrefix: "/v1/organization/costs", Delay: time.Hour})
	for _, url := range []string{slowPages + completionsPath, c.base + costsPath} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?"+days(firstDay, lastDay), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+acmeAdmin)
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("GET %s: got %v", url, err)
		}
		cancel()
	}
	c.page(costsPath, days(firstDay, lastDay))
}

func TestReadersAndRestatementsMayOverlap(t *testing.T) {
	server, c := start(t)
	query := days(firstDay, lastDay)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 5 {
				response, _, err := c.send(completionsPath, query)
				if err != nil {
					t.Error(err)
					return
				}
				if response.StatusCode != http.StatusOK {
					t.Errorf("got status %d", response.StatusCode)
				}
			}
		})
	}
	for range 5 {
		if _, err := server.Restate("acme", lastDay, func(r *openai.Request) bool { r.InputTokens++; return true }); err != nil {
			t.Error(err)
		}
	}
	readers.Wait()
	if got := len(server.Requests()); got != 20 {
		t.Errorf("%d calls are on record", got)
	}
}
