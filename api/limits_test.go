package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/launcher"
)

// directory is the keys of a few organisations in memory, as an index of a store has them.
type directory struct {
	keys  map[string]launcher.Principal
	calls atomic.Int64
}

func (d *directory) Lookup(_ context.Context, hash string) (launcher.Principal, bool, error) {
	d.calls.Add(1)
	p, ok := d.keys[hash]
	return p, ok, nil
}

// front is an API whose routes need no warehouse: what is asked of it is decided before a
// handler is reached, or by one that says what runs there are: none.
type front struct {
	t       testing.TB
	handler http.Handler
	keys    *directory
	mu      sync.Mutex
	audit   []api.AuditEntry
	now     atomic.Int64
}

// noRuns is a launcher that has no runs.
type noRuns struct{}

func (noRuns) Launch(context.Context, launcher.Request) (launcher.Run, bool, error) {
	return launcher.Run{}, false, &launcher.Error{Code: launcher.CodeDailyQuota, Message: "used up", RetryAfter: 90 * time.Second}
}

func (noRuns) Run(_ context.Context, _, id string) (launcher.Run, error) {
	return launcher.Run{}, &launcher.Error{Code: launcher.CodeRunNotFound, Message: "no run " + id}
}

func (noRuns) List(context.Context, string, launcher.Filter) ([]launcher.Run, error) { return nil, nil }

// Record implements api.Audit.
func (f *front) Record(_ context.Context, e api.AuditEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audit = append(f.audit, e)
}

func newFront(t testing.TB, change func(*api.Config)) *front {
	t.Helper()
	f := &front{t: t, keys: &directory{keys: map[string]launcher.Principal{}}}
	f.now.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	for _, org := range []string{"acme", "globex"} {
		f.keys.keys[hash(org+"-key")] = launcher.Principal{Org: org, KeyID: "id-of-" + org, OrgStatus: "ACTIVE", SubscriptionStatus: "ACTIVE"}
	}
	cfg := api.Config{
		Runs: noRuns{}, Keys: f.keys, Ready: func(context.Context) error { return nil }, Stopping: func() bool { return false }, Version: "v1", Environment: "production",
		Now: func() time.Time { return time.Unix(0, f.now.Load()).UTC() }, Log: slog.New(slog.DiscardHandler), Metrics: api.NewMetrics(), Audit: f,
		RootKey: "the-root-key-of-this-test-has-40-letters", CORS: api.CORS{Origins: []string{"https://app.example"}, Methods: []string{"GET"}, Headers: []string{"X-API-Key"}},
	}
	if change != nil {
		change(&cfg)
	}
	f.handler = api.New(cfg)
	return f
}

// ask sends a request from an address; header is name: value pairs.
func (f *front) ask(method, path, address string, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, nil)
	r.RemoteAddr = address + ":1234"
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

func TestLimitsOfAnOrganisationAreItsOwn(t *testing.T) {
	f := newFront(t, func(c *api.Config) { c.Limits = api.Limits{Address: 1000, Global: 1000, Org: 6, Run: 2} })
	for i := range 6 {
		w := f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: acme-key")
		if w.Code != 200 || w.Header().Get("X-RateLimit-Limit") != "6" || w.Header().Get("X-RateLimit-Remaining") != strconv.Itoa(5-i) {
			t.Fatalf("call %d: %d %v", i, w.Code, w.Header())
		}
	}
	w := f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: acme-key")
	if w.Code != 429 || w.Header().Get("Retry-After") != "10" || w.Header().Get("X-RateLimit-Reset") != "60" || !strings.Contains(w.Body.String(), `"code":"RATE_LIMIT_EXCEEDED"`) {
		t.Errorf("above the limit: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: globex-key"); w.Code != 200 {
		t.Errorf("another organisation: %d", w.Code)
	}
	f.now.Add(int64(10 * time.Second))
	if w := f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: acme-key"); w.Code != 200 {
		t.Errorf("after the delay: %d", w.Code)
	}
	globexRun := strings.Replace(runPath, "acme", "globex", 1)
	for i, want := range []int{429, 429} { // the quota's own refusals take from the bucket, too
		if w := f.ask("POST", globexRun, "192.0.2.1", "X-API-Key: globex-key"); w.Code != want || w.Header().Get("Retry-After") != "90" {
			t.Errorf("run %d: %d %v", i, w.Code, w.Header())
		}
	}
	if w := f.ask("POST", globexRun, "192.0.2.1", "X-API-Key: globex-key"); w.Code != 429 || w.Header().Get("Retry-After") != "30" {
		t.Errorf("runs above the limit: %d %v", w.Code, w.Header())
	}
}

func TestAnAddressIsLimitedBeforeItsKeyIsLookedAt(t *testing.T) {
	f := newFront(t, func(c *api.Config) { c.Limits = api.Limits{Address: 3, Global: 1000, Org: 1000, Run: 1000} })
	for _, want := range []int{401, 401, 401, 429, 429} {
		if w := f.ask("GET", runsPath, "192.0.2.9", "X-API-Key: guess"); w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
	if f.keys.calls.Load() != 3 {
		t.Errorf("%d keys were looked up", f.keys.calls.Load())
	}
	for _, address := range []string{"[2001:db8::1]", "[2001:db8::2]", "[2001:db8::3]"} {
		f.ask("GET", runsPath, address)
	}
	if w := f.ask("GET", runsPath, "[2001:db8::4]"); w.Code != 429 {
		t.Errorf("a site has an address for every call: %d", w.Code)
	}
	if w := f.ask("GET", runsPath, "192.0.2.10", "X-API-Key: acme-key", "X-Forwarded-For: 192.0.2.9"); w.Code != 200 {
		t.Errorf("anybody may speak for a proxy: %d", w.Code)
	}
	if w := f.ask("GET", "/health/live", "192.0.2.9"); w.Code != 200 {
		t.Errorf("a probe is limited: %d", w.Code)
	}
}

func TestOnlyNamedOriginsMayReadAnswers(t *testing.T) {
	f := newFront(t, nil)
	for origin, want := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": "", "null": ""} {
		w := f.ask("GET", runsPath, "192.0.2.1", "Origin: "+origin, "X-API-Key: acme-key")
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s may read: %q", origin, got)
		}
	}
	w := f.ask("OPTIONS", runsPath, "192.0.2.1", "Origin: https://app.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: X-API-Key")
	if w.Code/100 != 2 || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	w = f.ask("GET", "/health", "192.0.2.1")
	if w.Header().Get("Strict-Transport-Security") == "" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers are %v", w.Header())
	}
}

func TestDenialsAndMutationsAreAudited(t *testing.T) {
	f := newFront(t, nil)
	f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: acme-key")
	f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: guess-of-a-key")
	f.ask("POST", runPath, "192.0.2.1", "X-API-Key: globex-key", "X-User-ID: some\tbody", "X-Request-ID: r-1")
	f.ask("POST", runPath, "192.0.2.1", "X-API-Key: acme-key")
	if len(f.audit) != 3 {
		t.Fatalf("%d entries: %+v", len(f.audit), f.audit)
	}
	unknown, foreign, refused := f.audit[0], f.audit[1], f.audit[2]
	if unknown.Status != "DENIED" || unknown.Org != "" || unknown.KeyID != "" || strings.Contains(unknown.Error, "guess") {
		t.Errorf("an unknown key: %+v", unknown)
	}
	if foreign.Status != "DENIED" || foreign.Org != "globex" || foreign.KeyID != "id-of-globex" || foreign.ResourceID != "openai/cost/usage_cost" || foreign.UserID != "somebody" || foreign.RequestID != "r-1" {
		t.Errorf("another organisation's pipeline: %+v", foreign)
	}
	if refused.Status != "FAILURE" || refused.Action != "EXECUTE" || refused.ResourceType != "PIPELINE" || !strings.Contains(refused.Error, "DAILY_QUOTA_EXCEEDED") || refused.Address != "192.0.2.1" {
		t.Errorf("a refused run: %+v", refused)
	}
}

func TestKeysThatCannotBeOnesAreRefusedAlike(t *testing.T) {
	f := newFront(t, nil)
	for name, header := range map[string][]string{
		"two": {"X-API-Key: acme-key", "X-API-Key: acme-key"}, "huge": {"X-API-Key: " + strings.Repeat("k", 513)}, "spaces": {"X-API-Key: acme-key x"},
	} {
		if w := f.ask("GET", runsPath, "192.0.2.1", header...); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "ApiKey" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	if w := f.ask("GET", runsPath, "192.0.2.1", "X-API-Key: acme-key", "Content-Encoding: gzip"); w.Code != 415 {
		t.Errorf("an encoded body: %d", w.Code)
	}
}

func TestMetricsNameRoutesNotPaths(t *testing.T) {
	f := newFront(t, nil)
	f.ask("GET", runsPath+"/some-run", "192.0.2.1", "X-API-Key: acme-key")
	f.ask("GET", "/api/v1/made/up", "192.0.2.1")
	w := f.ask("GET", "/metrics", "192.0.2.1")
	body, _ := io.ReadAll(w.Body)
	for _, want := range []string{
		`http_requests_total{method="GET",route="/api/v1/pipelines/runs/{id}",status="404"} 1`, `http_requests_total{method="GET",route="unmatched",status="404"} 1`, "go_goroutines",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(string(body), "some-run") {
		t.Error("the metrics hold a path")
	}
}

func TestMetricsOfRunsAreBounded(t *testing.T) {
	m := api.NewMetrics()
	for i := range 500 {
		m.RunEnded("org"+strconv.Itoa(i), "p"+strconv.Itoa(i), "COMPLETED", time.Second)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	series := strings.Count(w.Body.String(), "\npipeline_executions_total{")
	if series != 201 || !strings.Contains(w.Body.String(), `pipeline_executions_total{org_slug="other",pipeline_id="other",status="COMPLETED"} 300`) {
		t.Errorf("%d series", series)
	}
}

func TestMetricsOfOrganisationsAreNotForEverybody(t *testing.T) {
	m := api.NewMetrics()
	f := newFront(t, func(c *api.Config) { c.Metrics = m })
	m.RunEnded("acme", "acme-openai-cost-usage_cost", "COMPLETED", time.Second)
	m.Active("acme", 3)
	m.Quota("acme", "daily", 1, 10)
	if body := f.ask("GET", "/metrics", "192.0.2.1").Body.String(); strings.Contains(body, "acme") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("the public metrics are\n%s", body)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`pipeline_executions_total{org_slug="acme"`, `pipeline_duration_seconds_count{org_slug="acme"`, `active_pipelines{org_slug="acme"} 3`, `quota_utilization{org_slug="acme",quota_type="daily"} 0.1`, "go_goroutines",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the operators' metrics lack %s", want)
		}
	}
}

// published keeps what was asked of it.
type published struct{ got []api.BatchRequest }

// Publish implements api.Batch.
func (p *published) Publish(_ context.Context, b api.BatchRequest) (api.BatchAnswer, error) {
	p.got = append(p.got, b)
	return api.BatchAnswer{Status: "published", PipelineID: b.PipelineID, Published: len(b.Orgs), Orgs: len(b.Orgs), MessageIDs: []string{}}, nil
}

func TestOnlyTheRootKeyPublishesBatches(t *testing.T) {
	p := &published{}
	f := newFront(t, func(c *api.Config) { c.Batch = p })
	post := func(body string, header ...string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/pipelines/batch/publish", strings.NewReader(body))
		r.RemoteAddr = "192.0.2.1:1"
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w.Code
	}
	good := `{"org_slugs":["acme","globex"],"pipeline_id":"openai/cost/usage_cost"}`
	root := []string{"X-CA-Root-Key", "the-root-key-of-this-test-has-40-letters"}
	for status, got := range map[int]int{
		401: post(good), 403: post(good, "X-CA-Root-Key", "guess"), 422: post(`{"org_slugs":["../x"],"pipeline_id":"p"}`, root...), 200: post(good, root...),
	} {
		if status != got {
			t.Errorf("answers %d, want %d", got, status)
		}
	}
	if len(p.got) != 1 || len(p.got[0].Orgs) != 2 || !p.got[0].Randomize || p.got[0].MaxJitter != 3600 {
		t.Errorf("published %+v", p.got)
	}
}

func TestAServiceWhoseRunsCannotKeepFilesIsNotReady(t *testing.T) {
	var full error
	f := newFront(t, func(c *api.Config) { c.Storage = func() error { return full } })
	for _, c := range []struct {
		full   error
		status int
		says   string
	}{{nil, 200, `"data_directory":true`}, {errors.New("no space left on device"), 503, `"data_directory":false`}, {nil, 200, `"status":"ready"`}} {
		full = c.full
		w := f.ask("GET", "/health/ready", "192.0.2.1")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "device") {
			t.Errorf("with %v: %d %s", c.full, w.Code, w.Body)
		}
		if w := f.ask("GET", "/health/live", "192.0.2.1"); w.Code != 200 {
			t.Errorf("with %v the process is to be ended: %d", c.full, w.Code)
		}
	}
}
