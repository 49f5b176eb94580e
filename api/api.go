// Package api is the HTTP service: one file per resource on a chi router, with huma for
// validation and the OpenAPI document. It authenticates, checks what a caller may do and
// hands requests to the launcher; it knows neither Beam nor BigQuery, and the environment
// only as the fields of Config. What it needs of others it declares beside the handlers
// that need it; cmd wires the rest of the program to that.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"

	"github.com/cloudact/convergence/api/limit"
)

// ServiceName is what health checks and the OpenAPI title say.
const ServiceName = "convergence-data-pipeline"

// levelRequest is how the end of every request is logged.
const levelRequest = slog.LevelDebug

// Config wires the service. The first group is required; what is nil in the second has
// no routes.
type Config struct {
	Runs        Runs
	Keys        Keys
	Ready       func(ctx context.Context) error // whether the warehouse answers
	Storage     func() error                    // whether runs can keep files; nil = not asked
	Stopping    func() bool                     // whether the process is shutting down
	Version     string
	Environment string
	Now         func() time.Time
	Log         *slog.Logger

	Control           Control
	Feed              Feed
	Once              Once // nil: Idempotency-Key is not looked at
	Catalogue         Catalogue
	Documents         Documents
	Integrations      Integrations
	IntegrationStates IntegrationStates // set together with Integrations
	Queue             Queue
	Scheduler         Scheduler // set together with Queue
	Schedules         Schedules // needs Catalogue
	Prices            Rows[Price]
	PriceEditor       Editor[Price, NewPrice, PriceChange] // this, the next and Prices are set together
	PriceUpserter     PriceUpserter
	Plans             Rows[Plan]
	PlanEditor        Editor[Plan, NewPlan, PlanChange] // set together with Plans
	Costs             Costs
	Batch             Batch
	Metrics           *Metrics
	Audit             Audit

	RootKey        string         // "" = routes of the root key answer 503
	OpenOrg        string         // organisation of requests without a key; "" = they are refused
	Limits         Limits         // zero = none
	CORS           CORS           // zero = no other origin may read answers
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; nil = nobody's
	NoDocs         bool           // /docs is not served
}

// Limits are calls a minute.
type Limits struct {
	Address int // per client address, before anybody is known
	Global  int
	Org     int
	Run     int // of the run endpoints, per organisation
}

// CORS says which web pages may read answers.
type CORS struct {
	Origins     []string
	Methods     []string
	Headers     []string
	Credentials bool
}

type service struct {
	cfg     Config
	headers []header
	limits  *limits
	huma    huma.API
}

// New returns the service's handler, which is a chi.Routes.
func New(cfg Config) http.Handler {
	ownErrors()
	s := &service{cfg: cfg, headers: securityHeaders(cfg.Environment == "production")}
	if cfg.Limits != (Limits{}) {
		s.limits = &limits{
			address: limit.New(cfg.Limits.Address, cfg.Now), global: limit.New(cfg.Limits.Global, cfg.Now),
			org: limit.New(cfg.Limits.Org, cfg.Now), run: limit.New(cfg.Limits.Run, cfg.Now),
		}
	}
	router := chi.NewRouter()
	s.middleware(router)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, newProblem(http.StatusNotFound, codeNotFound, "no such resource: "+r.URL.Path))
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed(router, r.URL.Path), ", "))
		writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, codeMethodNotAllowed, r.Method+" is not allowed here"))
	})
	s.huma = humachi.New(router, s.document())
	s.routes()
	s.docs(router)
	for _, path := range openAPIPaths { // they are rendered on first use, without a lock
		router.ServeHTTP(discard{}, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, Header: http.Header{}})
	}
	return router
}

func (s *service) middleware(router chi.Router) {
	if len(s.cfg.TrustedProxies) > 0 {
		var prefixes []string
		for _, p := range s.cfg.TrustedProxies {
			prefixes = append(prefixes, p.String())
		}
		router.Use(middleware.ClientIPFromXFF(prefixes...))
	}
	router.Use(s.begin)
	if c := s.cfg.CORS; len(c.Origins) > 0 {
		router.Use(cors.Handler(cors.Options{
			AllowedOrigins: c.Origins, AllowedMethods: c.Methods, AllowedHeaders: c.Headers, AllowCredentials: c.Credentials,
			ExposedHeaders: []string{headerRequestID, "Link", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"},
			MaxAge:         preflightSeconds,
		}))
	}
}

const preflightSeconds = 600

// document is the OpenAPI document before the routes are in it.
func (s *service) document() huma.Config {
	config := huma.DefaultConfig(ServiceName, s.cfg.Version)
	config.Info.Description = "Runs YAML-defined ETL pipelines for LLM and cloud cost, and shows what they did. " +
		"Errors are application/problem+json; their code tells kinds apart. Lists take limit and cursor, and name the next page in a Link header."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"orgKey":  {Type: "apiKey", In: "header", Name: headerKey, Description: "key of an organisation"},
		"rootKey": {Type: "apiKey", In: "header", Name: headerRootKey, Description: "the platform's root key"},
	}
	config.CreateHooks = nil // no $schema member in answers
	config.DocsPath, config.SchemasPath = "", ""
	config.Transformers = append(config.Transformers, completeProblem)
	return config
}

// routes registers what is wired.
func (s *service) routes() {
	s.health()
	s.runs()
	if s.cfg.Control != nil {
		s.control()
	}
	if s.cfg.Feed != nil {
		s.events()
	}
	if s.cfg.Catalogue != nil {
		s.catalogue()
	}
	if s.cfg.Documents != nil {
		s.documents()
	}
	if s.cfg.Integrations != nil {
		s.integrations()
	}
	if s.cfg.Prices != nil {
		s.prices()
	}
	if s.cfg.Plans != nil {
		s.plans()
	}
	if s.cfg.Batch != nil {
		s.batch()
	}
	if s.cfg.Costs != nil {
		s.costs()
	}
	if s.cfg.Queue != nil {
		s.scheduler()
	}
	if s.cfg.Schedules != nil {
		s.schedules()
	}
}

var openAPIPaths = []string{"/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml"}

// ownErrors makes huma speak in Problems; its hook is a global.
var ownErrors = sync.OnceFunc(func() { huma.NewError = humaProblem })

// discard is the writer of an answer that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// allowed are the methods of the resource that a path names. A less specific route may
// match the same path by accident; its methods are not this resource's.
func allowed(routes chi.Routes, path string) []string {
	var out []string
	fewest := 0
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		match := chi.NewRouteContext()
		if !routes.Match(match, method, path) {
			continue
		}
		switch open := strings.Count(match.RoutePattern(), "{"); {
		case out == nil || open < fewest:
			out, fewest = []string{method}, open
		case open == fewest:
			out = append(out, method)
		}
	}
	return out
}
