package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/cloudact/convergence/api"
)

const (
	runPath  = "/api/v1/pipelines/run/acme/openai/cost/usage_cost"
	runsPath = "/api/v1/pipelines/runs"
)

type problem struct {
	Type, Title, Detail, Instance, Code string
	Status                              int
	RequestID                           string `json:"request_id"`
	Errors                              []struct{ Loc, Msg string }
}

func TestEveryRefusalIsAProblemWithItsCode(t *testing.T) {
	s := newService(t)
	cases := []struct {
		name, method, path, key, body string
		status                        int
		code                          string
	}{
		{"no key", "GET", runsPath, "", "", 401, "INVALID_API_KEY"},
		{"unknown key", "GET", runsPath, "nobody", "", 401, "INVALID_API_KEY"},
		{"inactive key", "GET", runsPath, "inactive-key", "", 401, "INVALID_API_KEY"},
		{"expired key", "GET", runsPath, "expired-key", "", 401, "API_KEY_EXPIRED"},
		{"suspended org", "GET", runsPath, "suspended-key", "", 403, "ORG_INACTIVE"},
		{"lapsed trial", "GET", runsPath, "lapsed-key", "", 403, "SUBSCRIPTION_INACTIVE"},
		{"ended subscription", "POST", runPath, "ended-key", "", 403, "SUBSCRIPTION_INACTIVE"},
		{"read scope cannot run", "POST", runPath, "read-key", "", 403, "FORBIDDEN"},
		{"other scope cannot run", "POST", runPath, "other-key", "", 403, "FORBIDDEN"},
		{"other scope cannot list", "GET", runsPath, "other-key", "", 403, "FORBIDDEN"},
		{"other scope cannot read", "GET", runsPath + "/x", "other-key", "", 403, "FORBIDDEN"},
		{"another org", "POST", runPath, "globex-key", "", 403, "ORG_MISMATCH"},
		{"org slug", "POST", strings.Replace(runPath, "acme", "ACME", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"provider", "POST", strings.Replace(runPath, "openai", "-openai", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"dots", "POST", strings.Replace(runPath, "cost/", "../", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"dot", "POST", runPath + ".yml", "acme-key", "", 400, "INVALID_PATH"},
		{"escaped dots", "POST", strings.Replace(runPath, "cost/", "%2e%2e/", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"escaped slash", "POST", strings.Replace(runPath, "cost/", "cost%2f", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"escaped letters of another org", "POST", strings.Replace(runPath, "acme", "%67lobex", 1), "acme-key", "", 403, "ORG_MISMATCH"},
		{"escaped percent sign", "POST", strings.Replace(runPath, "acme", "acme%25", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"empty part", "POST", strings.Replace(runPath, "cost/", "/", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"escaped twice", "POST", strings.Replace(runPath, "acme", "%2561cme", 1), "acme-key", "", 400, "INVALID_PATH"},
		{"escaped nul", "GET", runsPath + "/a%00b", "acme-key", "", 400, "INVALID_PATH"},
		{"missing pipeline", "POST", strings.Replace(runPath, "usage_cost", "nothing", 1), "acme-key", "", 404, "PIPELINE_NOT_FOUND"},
		{"missing pipeline without domain", "POST", "/api/v1/pipelines/run/acme/openai/nothing", "acme-key", "", 404, "PIPELINE_NOT_FOUND"},
		{"missing run", "GET", runsPath + "/nothing", "acme-key", "", 404, "RUN_NOT_FOUND"},
		{"long run id", "GET", runsPath + "/" + strings.Repeat("x", 100), "acme-key", "", 400, "INVALID_PATH"},
		{"unknown query parameter", "GET", runsPath + "?page=2", "acme-key", "", 422, "INVALID_PAYLOAD"},
		{"foreign cursor", "GET", runsPath + "?cursor=!!", "acme-key", "", 422, "INVALID_PARAMETER"},
		{"huge header", "GET", runsPath, strings.Repeat("k", 5000), "", 400, "INVALID_HEADERS"},
		{"huge key", "GET", runsPath, strings.Repeat("k", 600), "", 401, "INVALID_API_KEY"},
		{"unknown resource", "GET", "/api/v1/nothing", "acme-key", "", 404, "RESOURCE_NOT_FOUND"},
		{"wrong method", "DELETE", runPath, "acme-key", "", 405, "METHOD_NOT_ALLOWED"},
		{"wrong method of a list", "POST", runsPath, "acme-key", "", 405, "METHOD_NOT_ALLOWED"},
		{"wrong method of health", "POST", "/health", "", "", 405, "METHOD_NOT_ALLOWED"},
		{"no JSON", "POST", runPath, "acme-key", "{", 400, "INVALID_REQUEST"},
		{"unknown field", "POST", runPath, "acme-key", `{"dat":"2026-11-22"}`, 422, "INVALID_PAYLOAD"},
		{"wrong type", "POST", runPath, "acme-key", `{"date":20261122}`, 422, "INVALID_PAYLOAD"},
		{"no day", "POST", runPath, "acme-key", `{"date":"2026-02-30"}`, 422, "INVALID_PARAMETER"},
		{"days in the wrong order", "POST", runPath, "acme-key", `{"start_date":"2026-02-03","end_date":"2026-02-01"}`, 422, "INVALID_PIPELINE"},
		{"oversize body", "POST", runPath, "acme-key", `{"trigger_by":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "PAYLOAD_TOO_LARGE"},
		{"limit out of range", "GET", runsPath + "?limit=101", "acme-key", "", 422, "INVALID_PAYLOAD"},
		{"limit that is no number", "GET", runsPath + "?limit=x", "acme-key", "", 422, "INVALID_PAYLOAD"},
		{"limit without a value", "GET", runsPath + "?limit=", "acme-key", "", 422, "INVALID_PARAMETER"},
		{"unknown status", "GET", runsPath + "?status=DONE", "acme-key", "", 422, "INVALID_PARAMETER"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := s.ask(c.method, c.path, c.key, c.body)
			if a.status != c.status {
				t.Fatalf("status %d, want %d: %s", a.status, c.status, a.body)
			}
			checkProblem(t, a, c.code)
			if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Error("401 does not say how to authenticate")
			}
			if a.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 does not say what is allowed")
			}
		})
	}
	if a := s.ask("DELETE", runPath, "", ""); a.header.Get("Allow") != "POST" {
		t.Errorf("allowed are %q", a.header.Get("Allow"))
	}
}

func checkProblem(t *testing.T, a answer, code string) {
	t.Helper()
	var p problem
	a.into(t, &p)
	if p.Code != code || p.Status != a.status || p.Type != "about:blank" || p.Title != http.StatusText(a.status) || p.Detail == "" {
		t.Errorf("problem is %s", a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type is %q", ct)
	}
	if p.Instance == "" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-ID") {
		t.Errorf("instance %q, request %q, header %q", p.Instance, p.RequestID, a.header.Get("X-Request-ID"))
	}
	if code == "INVALID_PAYLOAD" || code == "INVALID_PARAMETER" || code == "INVALID_PIPELINE" {
		if len(p.Errors) == 0 || p.Errors[0].Loc == "" || p.Errors[0].Msg == "" {
			t.Errorf("the problem does not say where: %s", a.body)
		}
	}
	checkHeaders(t, a)
}

func checkHeaders(t *testing.T, a answer) {
	t.Helper()
	for name, value := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if a.header.Get(name) != value {
			t.Errorf("header %s is %q", name, a.header.Get(name))
		}
	}
}

func TestRunIsStartedAndShownToItsOrgOnly(t *testing.T) {
	s := newService(t)
	for _, path := range []string{runPath, "/api/v1/pipelines/run/acme/openai/usage_cost"} {
		a := s.ask("POST", path, "acme-key", `{"date":null,"start_date":"2026-11-22","trigger_by":"someone","force_refresh":true}`)
		var started struct {
			ID       string `json:"pipeline_logging_id"`
			Pipeline string `json:"pipeline_id"`
			Org      string `json:"org_slug"`
			Status   string
			Message  string
		}
		a.into(t, &started)
		if a.status != 200 || started.ID == "" || started.Org != "acme" || started.Status != "PENDING" && started.Status != "RUNNING" || started.Message == "" {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		if _, err := s.launcher.Wait(t.Context(), "acme", started.ID); err != nil {
			t.Fatal(err)
		}
		own := s.ask("GET", runsPath+"/"+started.ID, "read-key", "")
		var run struct {
			Status    string
			TriggerBy string  `json:"trigger_by"`
			RunDate   string  `json:"run_date"`
			End       *string `json:"end_time"`
			Duration  *int64  `json:"duration_ms"`
			Steps     []struct {
				Step, Status string
				Published    int64 `json:"rows_published"`
			}
		}
		own.into(t, &run)
		if own.status != 200 || run.Status != "COMPLETED" || run.TriggerBy != "someone" || run.RunDate != "2026-11-22" || run.End == nil || run.Duration == nil {
			t.Errorf("the run is %s", own.body)
		}
		if len(run.Steps) != 1 || run.Steps[0].Status != "COMPLETED" || run.Steps[0].Published != 7 {
			t.Errorf("its steps are %+v", run.Steps)
		}
		checkHeaders(t, own)
		others, missing := s.ask("GET", runsPath+"/"+started.ID, "globex-key", ""), s.ask("GET", runsPath+"/nothing", "globex-key", "")
		if others.status != 404 || shape(others, started.ID) != shape(missing, "nothing") {
			t.Errorf("another org's run is %s, a missing one %s", others.body, missing.body)
		}
	}
	for key, want := range map[string]int{"acme-key": 2, "globex-key": 0} {
		var runs []struct {
			Org string `json:"org_slug"`
		}
		a := s.ask("GET", runsPath+"?status=completed", key, "")
		a.into(t, &runs)
		if a.status != 200 || len(runs) != want || a.body[0] != '[' {
			t.Errorf("%s lists %s", key, a.body)
		}
	}
}

// shape is an answer without what every answer has of its own.
func shape(a answer, id string) string {
	var p problem
	_ = json.Unmarshal(a.body, &p)
	return strings.ReplaceAll(p.Detail+p.Code+p.Title+p.Type, id, "ID")
}

func TestRunWithoutABodyIsStarted(t *testing.T) {
	s := newService(t)
	if a := s.ask("POST", runPath, "acme-key", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestInternalsStayInTheLog(t *testing.T) {
	s := newService(t)
	if a := s.ask("GET", runsPath, "acme-key", ""); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.down.Store(true)
	list := s.ask("GET", runsPath, "acme-key", "")
	run := s.ask("GET", runsPath+"/x", "acme-key", "")
	for _, a := range []answer{list, run} {
		if a.status != 500 || strings.Contains(string(a.body), "dataset-internals") {
			t.Errorf("%d %s", a.status, a.body)
		}
		checkProblem(t, a, "INTERNAL")
		if !strings.Contains(s.log.String(), a.header.Get("X-Request-ID")) {
			t.Errorf("the log does not name request %s", a.header.Get("X-Request-ID"))
		}
	}
	if !strings.Contains(s.log.String(), "dataset-internals") {
		t.Error("the log does not hold the reason")
	}
	if strings.Contains(s.log.String(), "acme-key") {
		t.Error("the log holds a key")
	}
}

func TestHealthSaysWhatIsSo(t *testing.T) {
	s := newService(t)
	check := func(path string, status int, word string) {
		t.Helper()
		a := s.ask("GET", path, "", "")
		var body struct{ Status string }
		a.into(t, &body)
		if a.status != status || body.Status != word {
			t.Errorf("%s: %d %s, want %d %s", path, a.status, a.body, status, word)
		}
	}
	check("/health", 200, "healthy")
	check("/health/live", 200, "alive")
	check("/health/ready", 200, "ready")
	s.down.Store(true)
	check("/health/ready", 503, "not_ready")
	check("/health/live", 200, "alive")
	s.stopping.Store(true)
	check("/health/live", 503, "shutting_down")
	check("/health/ready", 503, "not_ready")
	check("/health", 200, "healthy")
	if a := s.ask("GET", "/", "", ""); a.status != 200 || !strings.Contains(string(a.body), "Welcome to convergence-data-pipeline") {
		t.Errorf("/: %d %s", a.status, a.body)
	}
}

func TestOpenAPIDocumentHoldsEveryRouteOfTheRouter(t *testing.T) {
	s := newService(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { s.ask("GET", "/openapi.json", "", "") })
	}
	wg.Wait()
	a := s.ask("GET", "/openapi.json", "", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Security []map[string][]string
		}
		Components struct {
			SecuritySchemes map[string]struct{ Type, Name, In string }
			Schemas         map[string]json.RawMessage
		}
	}
	a.into(t, &doc)
	if a.status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Components.SecuritySchemes["orgKey"].Name != "X-API-Key" {
		t.Fatalf("%d %.300s", a.status, a.body)
	}
	own := []string{"/openapi", "/docs", "/schemas"} // huma's, not ours
	routes := 0
	err := chi.Walk(s.handler.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if slices.ContainsFunc(own, func(p string) bool { return strings.HasPrefix(route, p) }) {
			return nil
		}
		routes++
		operation, ok := doc.Paths[route][strings.ToLower(method)]
		if !ok {
			t.Errorf("the document lacks %s %s", method, route)
		}
		if protected := strings.HasPrefix(route, "/api/"); protected != (len(operation.Security) > 0) {
			t.Errorf("%s %s has the security %v", method, route, operation.Security)
		}
		return nil
	})
	if err != nil || routes < 8 {
		t.Errorf("%d routes, %v", routes, err)
	}
	if _, ok := doc.Components.Schemas["Problem"]; !ok {
		t.Error("the document does not show the shape of errors")
	}
	if a := s.ask("GET", "/docs", "", ""); a.status != 200 || !strings.Contains(string(a.body), "/openapi") || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("/docs: %d %.200s", a.status, a.body)
	}
}

func TestRequestIDOfTheCallerIsKeptIfItIsPlain(t *testing.T) {
	s := newService(t)
	for id, kept := range map[string]bool{"abc-1.2_3": true, "": false, "two words": false, strings.Repeat("x", 65): false, "<script>": false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Request-ID", id)
		got := s.do(r).header.Get("X-Request-ID")
		if (got == id) != kept || got == "" {
			t.Errorf("request id %q becomes %q", id, got)
		}
	}
}

func TestUnknownKeysCostNoWarehouseCallEach(t *testing.T) {
	s := newService(t)
	s.ask("GET", runsPath, "acme-key", "")
	before := s.calls.Load()
	for i := range 300 {
		if a := s.ask("GET", runsPath, "guess"+strconv.Itoa(i), ""); a.status != 401 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if made := s.calls.Load() - before; made > 20 { // a load takes a few calls, and there is one in five seconds
		t.Errorf("300 unknown keys cost %d calls to the warehouse", made)
	}
}

func TestTheDocsPageNeedsNoScriptAndNoOtherHost(t *testing.T) {
	f := newFront(t, nil)
	w := f.ask("GET", "/docs", "192.0.2.1")
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	style := page[strings.Index(page, "<style>")+len("<style>") : strings.Index(page, "</style>")]
	sum := sha256.Sum256([]byte(style))
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
		t.Errorf("the policy %s does not allow the page's own style %s", policy, want)
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "//unpkg") || strings.Contains(page, "http://") || strings.Contains(page, "https://") {
		t.Error("the page asks for more than itself")
	}
	for _, want := range []string{"/api/v1/pipelines/runs/{id}", "pipelines:execute", "X-API-Key", "trigger_by"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	without := newFront(t, func(c *api.Config) { c.NoDocs = true })
	if w := without.ask("GET", "/docs", "192.0.2.1"); w.Code != 404 {
		t.Errorf("docs that are off: %d", w.Code)
	}
	if w := without.ask("GET", "/", "192.0.2.1"); !strings.Contains(w.Body.String(), `"docs":"disabled"`) {
		t.Errorf("/ says %s", w.Body)
	}
}
