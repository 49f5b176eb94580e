package client

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// one is the answer of a call without its value.
func one[T any](_ T, err error) error { return err }

// two is the same for a page.
func two[T any](_ []T, _ string, err error) error { return err }

func TestEveryCallAsksForItsRoute(t *testing.T) {
	ctx := context.Background()
	p := Pipeline{Provider: "openai", Domain: "cost", Name: "usage_cost"}
	cases := map[string]func(c *Client) error{
		"DELETE /api/v1/pipelines/runs/r1?discard=true": func(c *Client) error { return one(c.Cancel(ctx, "r1", true)) },
		"POST /api/v1/pipelines/runs/r1/retry":          func(c *Client) error { return one(c.Retry(ctx, "r1")) },
		"POST /api/v1/pipelines/run/acme-x":             func(c *Client) error { return one(c.RunByID(ctx, "acme-x", RunOptions{})) },
		"GET /api/v1/pipelines/openai/cost/usage_cost":  func(c *Client) error { return one(c.Pipeline(ctx, p)) },
		"GET /api/v1/pipelines/anthropic/-/usage_cost/graph?format=dot": func(c *Client) error {
			return one(c.Graph(ctx, Pipeline{Provider: "anthropic", Name: "usage_cost"}, "dot"))
		},
		"POST /api/v1/pipelines/validate":                         func(c *Client) error { return one(c.Validate(ctx, "x.yml", "a: b", true)) },
		"POST /api/v1/integrations/acme/openai/setup":             func(c *Client) error { return one(c.SetUp(ctx, "acme", "openai", Setup{Credential: "sk-0123456789"})) },
		"POST /api/v1/integrations/acme/openai/validate":          func(c *Client) error { return one(c.ValidateIntegration(ctx, "acme", "openai")) },
		"GET /api/v1/integrations/acme":                           func(c *Client) error { return one(c.Integrations(ctx, "acme")) },
		"GET /api/v1/integrations/acme/openai":                    func(c *Client) error { return one(c.Integration(ctx, "acme", "openai")) },
		"DELETE /api/v1/integrations/acme/openai":                 func(c *Client) error { return c.DeleteIntegration(ctx, "acme", "openai") },
		"GET /api/v1/integrations/acme/openai/pricing/gpt-4o":     func(c *Client) error { return one(c.Price(ctx, "acme", "openai", "gpt-4o")) },
		"POST /api/v1/integrations/acme/openai/pricing":           func(c *Client) error { return one(c.CreatePrice(ctx, "acme", "openai", NewPrice{})) },
		"PUT /api/v1/integrations/acme/openai/pricing/ft:gpt-4o":  func(c *Client) error { return one(c.UpdatePrice(ctx, "acme", "openai", "ft:gpt-4o", PriceChange{})) },
		"PATCH /api/v1/integrations/acme/openai/pricing":          func(c *Client) error { return one(c.UpsertPrices(ctx, "acme", "openai", nil)) },
		"DELETE /api/v1/integrations/acme/openai/pricing/x":       func(c *Client) error { return c.DeletePrice(ctx, "acme", "openai", "x") },
		"POST /api/v1/integrations/acme/openai/pricing/reset":     func(c *Client) error { return one(c.ResetPrices(ctx, "acme", "openai")) },
		"GET /api/v1/integrations/acme/openai/subscriptions/team": func(c *Client) error { return one(c.Subscription(ctx, "acme", "openai", "team")) },
		"POST /api/v1/integrations/acme/openai/subscriptions":     func(c *Client) error { return one(c.CreateSubscription(ctx, "acme", "openai", NewSubscription{})) },
		"PUT /api/v1/integrations/acme/openai/subscriptions/team": func(c *Client) error {
			return one(c.UpdateSubscription(ctx, "acme", "openai", "team", SubscriptionChange{}))
		},
		"DELETE /api/v1/integrations/acme/openai/subscriptions/team":           func(c *Client) error { return c.DeleteSubscription(ctx, "acme", "openai", "team") },
		"POST /api/v1/integrations/acme/openai/subscriptions/reset":            func(c *Client) error { return one(c.ResetSubscriptions(ctx, "acme", "openai")) },
		"GET /api/v1/scheduler/status":                                         func(c *Client) error { return one(c.QueueStatus(ctx)) },
		"POST /api/v1/scheduler/trigger?limit=7":                               func(c *Client) error { return one(c.Trigger(ctx, 7)) },
		"POST /api/v1/scheduler/process-queue":                                 func(c *Client) error { return one(c.ProcessQueue(ctx)) },
		"POST /api/v1/scheduler/reset-daily-quotas":                            func(c *Client) error { return one(c.ResetDailyQuotas(ctx)) },
		"POST /api/v1/scheduler/cleanup-orphaned-pipelines?timeout_minutes=60": func(c *Client) error { return one(c.CleanUp(ctx, time.Hour)) },
		"POST /api/v1/scheduler/org/acme/pipelines":                            func(c *Client) error { return one(c.PutSchedule(ctx, "acme", NewSchedule{})) },
		"DELETE /api/v1/scheduler/org/acme/pipelines/c1":                       func(c *Client) error { return c.DeleteSchedule(ctx, "acme", "c1") },
		"GET /api/v1/scheduler/queue?limit=5&state=QUEUED":                     func(c *Client) error { return two(c.Queue(ctx, "QUEUED", 5, "")) },
		"GET /api/v1/integrations/acme/openai/pricing?cursor=abc":              func(c *Client) error { return two(c.Prices(ctx, "acme", "openai", 0, "abc")) },
		"GET /api/v1/integrations/acme/openai/subscriptions":                   func(c *Client) error { return two(c.Subscriptions(ctx, "acme", "openai", 0, "")) },
	}
	for want, call := range cases {
		c, requests := answering(t, answer(200, "application/json", `{}`))
		if err := call(c); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if got := (*requests)[0]; got.Method+" "+got.URI != want {
			t.Errorf("asked %s %s, want %s", got.Method, got.URI, want)
		}
	}
}

func TestPagesNameTheNextOne(t *testing.T) {
	c, requests := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "" {
			w.Header().Set("Link", `</api/v1/pipelines?cursor=YWJj&limit=1>; rel="next"`)
		}
		_, _ = io.WriteString(w, `[{"id":"openai/cost/usage_cost"}]`)
	})
	_, next, err := c.Pipelines(context.Background(), "openai", 1, "")
	if err != nil || next != "YWJj" {
		t.Fatalf("next is %q, %v", next, err)
	}
	if _, next, err = c.Pipelines(context.Background(), "openai", 1, next); err != nil || next != "" {
		t.Errorf("after the last page comes %q, %v", next, err)
	}
	if uri := (*requests)[1].URI; uri != "/api/v1/pipelines?cursor=YWJj&limit=1&provider=openai" {
		t.Errorf("asked %s", uri)
	}
}

func TestFollowShowsEventsAndLeavesSignsOfLifeOut(t *testing.T) {
	c, _ := answering(t, answer(200, "text/event-stream",
		"id: a\nevent: run\ndata: {\"id\":\"a\",\"kind\":\"run\",\"state\":\"RUNNING\"}\n\n: alive\n\nid: b\nevent: run\ndata: {\"id\":\"b\",\"kind\":\"run\",\"state\":\"COMPLETED\"}\n\n"))
	var states []Status
	err := c.Follow(context.Background(), "r1", "", func(e Event) bool { states = append(states, e.State); return true })
	if err != nil || !cmp.Equal(states, []Status{Running, Completed}) {
		t.Errorf("%v %v", states, err)
	}
}

func TestWaitDoesNotAskFasterThanItMay(t *testing.T) {
	c, requests := answering(t, answer(429, "application/problem+json", `{"title":"Too Many Requests"}`), answer(200, "application/json", `{"status":"COMPLETED"}`))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(ctx, "r1", nil); err == nil || len(*requests) != 1 {
		t.Errorf("it asked %d times within the delay, and says %v", len(*requests), err)
	}
}

func TestALogIsStreamed(t *testing.T) {
	c, requests := answering(t, answer(200, "text/plain", "one\ntwo\n"))
	log, err := c.Log(context.Background(), "r1", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	b, err := io.ReadAll(log)
	if err != nil || string(b) != "one\ntwo\n" || !strings.HasSuffix((*requests)[0].URI, "/logs?tail=2") {
		t.Errorf("%q %v %v", b, err, *requests)
	}
}
