package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/providers/openai"
)

// call is a request as a program without our client makes it.
type call struct {
	method, path, key, body string
}

// problem is a refusal without what changes from request to request.
type problem struct {
	Status   int    `json:"status"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	Title    string `json:"title"`
	Instance string `json:"-"`
}

func (s *service) refused(t *testing.T, c call) problem {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), c.method, s.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.key != "" {
		request.Header.Set("X-API-Key", c.key)
	}
	if c.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("%s %s: %s, content type %s: %s", c.method, c.path, response.Status, kind, b)
	}
	var p problem
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if p.Status != response.StatusCode || p.Title != http.StatusText(p.Status) || p.Detail == "" || p.Code == "" {
		t.Errorf("%s %s: %s with %s", c.method, c.path, response.Status, b)
	}
	if response.Header.Get("X-Request-ID") == "" {
		t.Errorf("%s %s: the answer has no request id", c.method, c.path)
	}
	if (p.Status == http.StatusUnauthorized) != (response.Header.Get("WWW-Authenticate") != "") {
		t.Errorf("%s %s: %s with WWW-Authenticate %q", c.method, c.path, response.Status, response.Header.Get("WWW-Authenticate"))
	}
	return p
}

func TestTheServiceRefusesWhatItShould(t *testing.T) {
	t.Parallel()
	both := orgs("acme", "globex")
	w := newWorld(t, both...)
	w.setCredentials(both...)
	s := w.serve("acme", "globex")
	theirs := s.start("globex")
	s.completed("globex", theirs.ID)

	const post, list = "/api/v1/pipelines/run/acme/openai/cost/usage_cost", "/api/v1/pipelines/runs"
	key := s.keys["acme"]
	for name, c := range map[string]struct {
		call   call
		status int
		code   string
		detail string
	}{
		"no key":                {call{"GET", list, "", ""}, 401, "INVALID_API_KEY", "the header X-API-Key is missing"},
		"unknown key":           {call{"GET", list, "acme_api_guess", ""}, 401, "INVALID_API_KEY", "Invalid or inactive API key"},
		"key to run":            {call{"POST", post, "acme_api_guess", "{}"}, 401, "INVALID_API_KEY", "Invalid or inactive API key"},
		"key with a blank":      {call{"GET", list, key + "x", ""}, 401, "INVALID_API_KEY", "Invalid or inactive API key"},
		"another's path":        {call{"POST", strings.Replace(post, "acme", "globex", 1), key, "{}"}, 403, "ORG_MISMATCH", "the API key belongs to organisation acme, not to globex"},
		"unknown organisation":  {call{"POST", strings.Replace(post, "acme", "nobody", 1), key, "{}"}, 403, "ORG_MISMATCH", "the API key belongs to organisation acme, not to nobody"},
		"unknown field":         {call{"POST", post, key, `{"dates": "2026-08-19"}`}, 422, "INVALID_PAYLOAD", "validation failed"},
		"wrong type":            {call{"POST", post, key, `{"date": 20260819}`}, 422, "INVALID_PAYLOAD", "validation failed"},
		"no such day":           {call{"POST", post, key, `{"date": "2026-02-30"}`}, 422, "INVALID_PARAMETER", "date is not a day"},
		"day and range":         {call{"POST", post, key, `{"date": "2026-08-19", "start_date": "2026-08-19"}`}, 422, "INVALID_PIPELINE", "usage_cost.yml cannot run"},
		"range backwards":       {call{"POST", post, key, `{"start_date": "2026-08-20", "end_date": "2026-08-19"}`}, 422, "INVALID_PIPELINE", "usage_cost.yml cannot run"},
		"no JSON":               {call{"POST", post, key, `{"date": `}, 400, "INVALID_REQUEST", ""},
		"unknown pipeline":      {call{"POST", strings.Replace(post, "usage_cost", "nothing", 1), key, "{}"}, 404, "PIPELINE_NOT_FOUND", "there is no pipeline openai/cost/nothing"},
		"unknown provider":      {call{"POST", strings.Replace(post, "openai", "nobody", 1), key, "{}"}, 404, "PIPELINE_NOT_FOUND", "there is no pipeline nobody/cost/usage_cost"},
		"escaped slash":         {call{"POST", "/api/v1/pipelines/run/acme/openai/cost/..%2f..%2fsystem", key, "{}"}, 400, "INVALID_PATH", "a part of the path is empty, a dot, or holds a slash, a percent sign"},
		"escaped dots":          {call{"POST", "/api/v1/pipelines/run/acme/openai/%2e%2e/usage_cost", key, "{}"}, 400, "INVALID_PATH", "a part of the path is empty, a dot, or holds a slash, a percent sign"},
		"capitals":              {call{"POST", "/api/v1/pipelines/run/acme/OpenAI/cost/usage_cost", key, "{}"}, 400, "INVALID_PATH", "lower-case letters"},
		"no resource":           {call{"GET", "/api/v1/nothing", key, ""}, 404, "RESOURCE_NOT_FOUND", "no such resource"},
		"no method":             {call{"DELETE", list, key, ""}, 405, "METHOD_NOT_ALLOWED", "DELETE is not allowed here"},
		"too many runs to list": {call{"GET", list + "?limit=1000", key, ""}, 422, "INVALID_PAYLOAD", "validation failed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.refused(t, c.call)
			if got.Status != c.status || got.Code != c.code || !strings.Contains(got.Detail, c.detail) {
				t.Errorf("answered %+v, want %d %s with %q", got, c.status, c.code, c.detail)
			}
		})
	}

	// A run of another organisation looks like none.
	missing := "00000000-0000-4000-8000-000000000000"
	of, none := s.refused(t, call{"GET", list + "/" + theirs.ID, key, ""}), s.refused(t, call{"GET", list + "/" + missing, key, ""})
	of.Detail = strings.ReplaceAll(of.Detail, theirs.ID, missing)
	if diff := cmp.Diff(none, of); diff != "" || of.Status != 404 || of.Code != "RUN_NOT_FOUND" {
		t.Errorf("another's run differs from a missing one: %s", diff)
	}
	runs, err := s.as("acme").List(context.Background(), client.Filter{})
	if err != nil || len(runs) != 0 {
		t.Errorf("acme sees %v, %v", runs, err)
	}
	if n := w.rows("acme", "SELECT COUNT(*) AS n FROM organizations.org_meta_run_events WHERE org_slug = 'acme'")[0]["n"]; n != "0" {
		t.Errorf("refused requests left %s events", n)
	}
}

func TestTheServiceTellsHowItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	s := w.serve("acme")
	ctx, nobody := context.Background(), s.as("")
	health, err := nobody.Health(ctx)
	if err != nil || health.Status != "healthy" || health.Service != "convergence-data-pipeline" || health.Version == "" || health.Environment != "development" {
		t.Errorf("/health: %+v, %v", health, err)
	}
	live, err := nobody.Live(ctx)
	if err != nil || live.Status != "alive" {
		t.Errorf("/health/live: %+v, %v", live, err)
	}
	ready, err := nobody.Ready(ctx)
	if err != nil || ready.Status != "ready" || !cmp.Equal(ready.Checks, map[string]bool{"shutdown": true, "bigquery": true, "data_directory": true}) {
		t.Errorf("/health/ready: %+v, %v", ready, err)
	}
	if text := s.Text(t, s.keys["acme"], "/"); !strings.Contains(text, "Welcome to convergence-data-pipeline") || !strings.Contains(text, "/openapi.json") {
		t.Errorf("/: %s", text)
	}
	var document struct {
		Paths map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(s.Text(t, s.keys["acme"], "/openapi.json")), &document); err != nil || document.Paths["/api/v1/pipelines/runs/{id}"] == nil {
		t.Errorf("/openapi.json: %v with %d paths", err, len(document.Paths))
	}
	// Without its warehouse the service lives but is not ready until a new one is there.
	w.stopWarehouse()
	lab.Eventually(w.t, "the service has a warehouse again", func() bool {
		ready, err := nobody.Ready(ctx)
		return err == nil && ready.Status == "ready"
	})
}

func TestOnlyLiveOrganisationsAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openai.Org{Name: "paying", AdminKey: "sk-admin-1"})
	names := []string{"paying", "last_day", "lapsed", "ended", "cancelled", "suspended", "expired_key", "revoked_key", "reader"}
	w.serve(names...).Stop()
	for _, statement := range []string{
		"UPDATE organizations.org_subscriptions SET status = 'ACTIVE' WHERE org_slug = 'paying'",
		"UPDATE organizations.org_subscriptions SET trial_end_date = CURRENT_DATE() WHERE org_slug = 'last_day'",
		"UPDATE organizations.org_subscriptions SET trial_end_date = DATE_SUB(CURRENT_DATE(), INTERVAL 1 DAY) WHERE org_slug = 'lapsed'",
		"UPDATE organizations.org_subscriptions SET status = 'ACTIVE', subscription_end_date = DATE '2020-01-31' WHERE org_slug = 'ended'",
		"UPDATE organizations.org_subscriptions SET status = 'CANCELLED' WHERE org_slug = 'cancelled'",
		"UPDATE organizations.org_profiles SET status = 'SUSPENDED' WHERE org_slug = 'suspended'",
		"UPDATE organizations.org_api_keys SET expires_at = TIMESTAMP '2020-01-31 00:00:00+00' WHERE org_slug = 'expired_key'",
		"UPDATE organizations.org_api_keys SET is_active = FALSE WHERE org_slug = 'revoked_key'",
		"UPDATE organizations.org_api_keys SET scopes = ['pipelines:read'] WHERE org_slug = 'reader'",
	} {
		w.ok("sql", statement)
	}
	s := w.serve(names...) // a fresh process: the old one would trust its keys for a minute
	for org, want := range map[string]problem{
		"paying":      {},
		"last_day":    {},
		"reader":      {},
		"lapsed":      {Status: 403, Code: "SUBSCRIPTION_INACTIVE", Detail: "organisation lapsed has no active subscription or trial"},
		"ended":       {Status: 403, Code: "SUBSCRIPTION_INACTIVE", Detail: "organisation ended has no active subscription or trial"},
		"cancelled":   {Status: 403, Code: "SUBSCRIPTION_INACTIVE", Detail: "organisation cancelled has no active subscription or trial"},
		"suspended":   {Status: 403, Code: "ORG_INACTIVE", Detail: "organisation suspended is not active"},
		"expired_key": {Status: 401, Code: "API_KEY_EXPIRED", Detail: "API key has expired"},
		"revoked_key": {Status: 401, Code: "INVALID_API_KEY", Detail: "Invalid or inactive API key"},
	} {
		_, err := s.as(org).List(context.Background(), client.Filter{})
		var refusal *client.Error
		switch {
		case want.Status == 0 && err != nil:
			t.Errorf("%s: %v", org, err)
		case want.Status == 0:
		case !errors.As(err, &refusal) || refusal.Status != want.Status || refusal.Code != want.Code || refusal.Detail != want.Detail:
			t.Errorf("%s: %v, want %+v", org, err, want)
		}
	}
	_, err := s.as("reader").Run(context.Background(), "reader", shipped, bothDays)
	var refusal *client.Error
	if !errors.As(err, &refusal) || refusal.Status != 403 || refusal.Code != "FORBIDDEN" {
		t.Errorf("a key that may only read started a run: %v", err)
	}
}
