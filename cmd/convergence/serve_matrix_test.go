package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/civil"
	"github.com/go-chi/chi/v5"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/store"
	"github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/kms"
	"github.com/cloudact/convergence/testing/providers/openai"
)

// TestMain makes this test binary the job of a run, or the embedded cloud, when it is
// started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "job" || os.Args[1] == "local") {
		os.Exit(execute(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const (
	testRoot = "ca_root_0123456789012345678901234567890123456789"
	secret   = "sk-admin-matrix-canary-0123456789"
)

// testService is the service as serve wires it, over the embedded cloud, with two
// organisations that may do everything and some that may not.
type testService struct {
	t       *testing.T
	handler http.Handler
	url     string
	audit   *[]api.AuditEntry
	paths   map[string]map[string]operation
	runs    map[string]string // a run of each organisation
}

func newTestService(t *testing.T) *testService {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kms.Open(t.TempDir() + "/kms.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.EnsureKey(credentials.DefaultKeyName("test-project")); err != nil {
		t.Fatal(err)
	}
	var orgs []openai.Org
	for _, org := range []string{"acme", "globex"} {
		orgs = append(orgs, openai.Org{Name: org, AdminKey: secret + "-" + org})
	}
	provider, err := openai.New(openai.Config{Seed: 1, Days: openai.Days(civil.Date{Year: 2026, Month: 11, Day: 19}, 2), Orgs: orgs})
	if err != nil {
		t.Fatal(err)
	}
	simulator := httptest.NewServer(provider.Handler())
	t.Cleanup(simulator.Close)
	env, err := wiring.Read([]string{
		"GCP_PROJECT_ID=test-project", "CONVERGENCE_BIGQUERY_ENDPOINT=" + bigquery.RunT(t), "CONVERGENCE_KMS_ENDPOINT=" + kms.RunT(t, keys),
		"CA_ROOT_API_KEY=" + testRoot, "RATE_LIMIT_ENABLED=false", "OPENAI_API_BASE_URL=" + simulator.URL + "/v1", "PATH=" + os.Getenv("PATH"),
	})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	clients, err := env.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = clients.Close() })
	a := &app{env: env, out: io.Discard, err: io.Discard, dataDir: t.TempDir()}
	w := &warehouse{Clients: clients, env: env}
	s, err := openStore(t.Context(), w, catalog)
	if err != nil {
		t.Fatal(err)
	}
	seedMatrix(t, w, s)
	p, err := a.assemble(w, s, catalog, []string{exe, "job"}, slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	out := &testService{t: t, audit: &[]api.AuditEntry{}, runs: map[string]string{}}
	out.handler = api.New(p.config())
	server := httptest.NewServer(out.handler)
	t.Cleanup(server.Close)
	out.url = server.URL
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan struct{})
	go func() { defer close(worked); p.work(ctx) }()
	t.Cleanup(func() { stop(); <-worked })
	for _, org := range []string{"acme", "globex"} {
		status, _, text := out.ask("POST", "/api/v1/integrations/"+org+"/openai/setup", org+"-key", `{"api_key":"`+secret+"-"+org+`"}`)
		if status != 200 || !strings.Contains(text, `"validation_status":"VALID"`) {
			t.Fatalf("set up %s: %d %s", org, status, text)
		}
	}
	return out
}

// testLog shows what a service logs while its test runs.
type testLog struct {
	t  *testing.T
	mu sync.Mutex
}

// Write implements io.Writer.
func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// seedMatrix adds organisations in every condition; "acme-key" is acme's key.
func seedMatrix(t *testing.T, w *warehouse, s *store.Store) {
	t.Helper()
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	for _, org := range []string{"acme", "globex", "suspended", "lapsed"} {
		o := store.DevelopmentOrg{Slug: org, Company: org, AdminEmail: "a@b.example", KeyHash: hash(org + "-key"), Env: w.env.Suffix()}
		if err := s.SeedDevelopment(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	central := "`" + wiring.CentralDataset + "."
	for _, sql := range []string{
		"UPDATE " + central + "org_profiles` SET status = 'SUSPENDED' WHERE org_slug = 'suspended'",
		"UPDATE " + central + "org_subscriptions` SET trial_end_date = DATE '2020-01-01' WHERE org_slug = 'lapsed'",
		"INSERT INTO " + central + "org_api_keys` (org_api_key_id, org_slug, org_api_key_hash, scopes, is_active, expires_at, created_at) VALUES " +
			"('k1', 'acme', '" + hash("expired-key") + "', ['*'], TRUE, TIMESTAMP '2020-01-01 00:00:00+00', CURRENT_TIMESTAMP())," +
			"('k2', 'acme', '" + hash("scopeless-key") + "', ['users:read'], TRUE, NULL, CURRENT_TIMESTAMP())",
	} {
		job, err := w.BigQuery.Query(sql).Run(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if status, err := job.Wait(t.Context()); err != nil || status.Err() != nil {
			t.Fatalf("%s: %v %v", sql, err, status)
		}
	}
}

// ask sends one request; "root" as the key is the root key.
func (s *testService) ask(method, path, key, body string) (status int, header http.Header, text string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	switch key {
	case "":
	case "root":
		r.Header.Set("X-CA-Root-Key", testRoot)
	case "wrong root":
		r.Header.Set("X-CA-Root-Key", testRoot+"x")
	default:
		r.Header.Set("X-API-Key", key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(b)
}

// operation is what the OpenAPI document says of a route.
type operation struct {
	ID        string `json:"operationId"`
	Security  []map[string][]string
	Responses map[string]json.RawMessage
	Scope     string `json:"x-scope"`
}

func (s *testService) document() map[string]map[string]operation {
	s.t.Helper()
	status, _, text := s.ask("GET", "/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || status != 200 {
		s.t.Fatalf("%d %v", status, err)
	}
	return doc.Paths
}

func TestEveryRouteAnswersEveryCallerAsDocumented(t *testing.T) {
	s := newTestService(t)
	doc := s.document()
	s.paths = doc
	seen := map[string]bool{}
	err := chi.Walk(s.handler.(chi.Routes), func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if path == "/docs" || strings.HasPrefix(path, "/openapi") {
			return nil
		}
		op, ok := doc[path][strings.ToLower(method)]
		if !ok {
			t.Errorf("the OpenAPI document lacks %s %s", method, path)
			return nil
		}
		r, ok := matrix[op.ID]
		if !ok {
			t.Errorf("the matrix has no row for %s %s (%s)", method, path, op.ID)
			return nil
		}
		seen[op.ID] = true
		t.Run(op.ID, func(t *testing.T) { s.row(t, method, path, op, r) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range matrix {
		if !seen[id] {
			t.Errorf("the matrix has a row for %s, which is no route", id)
		}
	}
	for path, operations := range doc {
		for method := range operations {
			if !seen[operations[method].ID] {
				t.Errorf("the OpenAPI document has %s %s, which is no route", method, path)
			}
		}
	}
}

// row asks one route as everybody.
func (s *testService) row(t *testing.T, method, pattern string, op operation, r matrixRow) {
	t.Helper()
	own, root := false, false
	for _, security := range op.Security {
		_, org := security["orgKey"]
		_, isRoot := security["rootKey"]
		own, root = own || org, root || isRoot
	}
	path := r.path
	if strings.Contains(path, "{run}") {
		path = strings.ReplaceAll(path, "{run}", s.runOf("acme"))
	}
	check := func(what, method, path, key, body string, want ...int) string {
		t.Helper()
		status, header, text := s.ask(method, path, key, body)
		if !slices.Contains(want, status) {
			t.Errorf("%s: %s %s answers %d, want %v: %s", what, method, path, status, want, text)
		}
		if _, ok := op.Responses[http.StatusText(status)]; !ok && status != 405 && status != 404 {
			if _, ok := op.Responses[itoa(status)]; !ok {
				t.Errorf("%s: the document does not have the answer %d of %s", what, status, op.ID)
			}
		}
		if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: an error is %s", what, header.Get("Content-Type"))
		}
		if strings.Contains(text, secret) || strings.Contains(text, testRoot) {
			t.Errorf("%s: the answer holds a secret: %s", what, text)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Request-ID") == "" {
			t.Errorf("%s: the answer lacks headers: %v", what, header)
		}
		return text
	}
	ownKey := ""
	switch {
	case own:
		ownKey = "acme-key"
	case root:
		ownKey = "root"
	}
	text := check("own", method, path, ownKey, r.body, r.status)
	if own && root {
		check("root key", method, path, "root", r.body, r.status)
	}
	if r.status == 200 && strings.Contains(text, "globex") {
		t.Errorf("%s tells acme of globex: %s", path, text)
	}
	if own || root {
		check("no key", method, path, "", r.body, 401)
	}
	if own {
		check("unknown key", method, path, "nobody", r.body, 401)
		check("expired key", method, path, "expired-key", r.body, 401)
		check("suspended organisation", method, path, "suspended-key", r.body, 403)
		check("lapsed trial", method, path, "lapsed-key", r.body, 403)
		if op.Scope != "" {
			check("wrong scope", method, path, "scopeless-key", r.body, 403)
		}
		s.others(t, check, method, pattern, path, r)
	}
	if root && !own {
		check("organisation's key", method, path, "acme-key", r.body, 401)
	}
	if root {
		check("wrong root key", method, path, "wrong root", r.body, 403)
	}
	if !own && !root {
		return
	}
	for from, to := range map[string]string{"acme": "AC.ME", "/openai": "/-openai", "{run}": "a%2fb"} {
		if mangled := strings.Replace(r.path, from, to, 1); mangled != r.path {
			check("malformed "+to, method, strings.ReplaceAll(mangled, "{run}", "x"), ownKey, r.body, 400)
		}
	}
	check("escaped traversal", method, strings.Replace(path, "/api/v1/", "/api/v1/%2e%2e/", 1), ownKey, r.body, 400)
	if method != http.MethodGet {
		check("oversize body", method, path, ownKey, `{"x":"`+strings.Repeat("x", 2<<20)+`"}`, 413)
	}
	wrong := "PATCH"
	for _, candidate := range []string{"PATCH", "PUT", "DELETE", "POST"} {
		if _, ok := s.paths[pattern][strings.ToLower(candidate)]; !ok {
			wrong = candidate
			break
		}
	}
	status, header, _ := s.ask(wrong, path, ownKey, r.body)
	if status != 405 || header.Get("Allow") == "" {
		t.Errorf("wrong method: %s %s answers %d", wrong, path, status)
	}
}

// others asks as another organisation: by its own key on acme's path, and on paths that
// name nobody. No answer may hold a word of acme's.
func (s *testService) others(t *testing.T, check func(what, method, path, key, body string, want ...int) string, method, pattern, path string, r matrixRow) {
	t.Helper()
	if strings.Contains(pattern, "{org}") {
		check("other organisation", method, path, "globex-key", r.body, 403)
		return
	}
	want := r.other
	if want == 0 {
		want = r.status
	}
	text := check("other organisation", method, path, "globex-key", r.body, want)
	acme := strings.Contains(text, `"org_slug":"acme"`) || strings.Contains(text, s.runs["acme"]) && s.runs["acme"] != "" && !strings.Contains(path, s.runs["acme"])
	if acme {
		t.Errorf("%s tells globex of acme: %s", path, text)
	}
	if id := s.runs["acme"]; want == 404 && id != "" && strings.Contains(path, id) {
		missing := check("missing", method, strings.ReplaceAll(path, id, "nothing"), "globex-key", r.body, 404)
		if sameProblem(text, id) != sameProblem(missing, "nothing") {
			t.Errorf("another organisation's thing is told from a missing one: %s and %s", text, missing)
		}
	}
}

// sameProblem is a problem without what every answer has of its own.
func sameProblem(text, id string) string {
	var p api.Problem
	_ = json.Unmarshal([]byte(text), &p)
	return strings.ReplaceAll(p.Title+p.Detail+string(p.Code), id, "ID")
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// runOf starts a run of an organisation once and returns its id.
func (s *testService) runOf(org string) string {
	s.t.Helper()
	if s.runs[org] == "" {
		status, _, text := s.ask("POST", "/api/v1/pipelines/run/"+org+"/openai/cost/usage_cost", org+"-key", `{"date":"2026-11-19"}`)
		var started struct {
			ID string `json:"pipeline_logging_id"`
		}
		if err := json.Unmarshal([]byte(text), &started); err != nil || status != 200 {
			s.t.Fatalf("start a run: %d %s", status, text)
		}
		s.runs[org] = started.ID
		s.follow(org, started.ID)
	}
	return s.runs[org]
}

// follow reads the events of a run to its end.
func (s *testService) follow(org, id string) {
	s.t.Helper()
	status, header, text := s.ask("GET", "/api/v1/pipelines/runs/"+id+"/events", org+"-key", "")
	if status != 200 || header.Get("Content-Type") != "text/event-stream" || !strings.Contains(text, `"state":"COMPLETED"`) || !strings.HasPrefix(text, "id: ") {
		s.t.Fatalf("the events of run %s: %d %s", id, status, text)
	}
}
