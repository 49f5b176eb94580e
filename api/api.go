// Package api is the HTTP service: one file per resource on a chi router, with huma for
// validation and the OpenAPI document. It authenticates, checks what a caller may do and
// hands requests to the launcher; it knows neither Beam nor BigQuery.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/cloudact/convergence/launcher"
)

// ServiceName is what health checks and the OpenAPI title say.
const ServiceName = "convergence-data-pipeline"

// Runs is what the API needs of the launcher.
type Runs interface {
	Launch(ctx context.Context, r launcher.Request) (run launcher.Run, existing bool, err error)
	Run(ctx context.Context, org, id string) (launcher.Run, error)
	List(ctx context.Context, org string, f launcher.Filter) ([]launcher.Run, error)
}

// Keys finds who an API key speaks for by the lower-case hex SHA-256 of its text.
type Keys interface {
	Lookup(ctx context.Context, hash string) (launcher.Principal, bool, error)
}

// Config wires the service. Every field is required.
type Config struct {
	Runs        Runs
	Keys        Keys
	Ready       func(ctx context.Context) error // whether the warehouse answers
	Stopping    func() bool                     // whether the process is shutting down
	Version     string
	Environment string
	Now         func() time.Time
	Log         *slog.Logger
}

// New returns the service's handler.
func New(cfg Config) http.Handler {
	router := chi.NewRouter()
	router.Use(requestID, recoverer(cfg.Log), accessLog(cfg.Log), securityHeaders, plainPaths)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, newProblem(http.StatusNotFound, codeNotFound, "no such resource: "+r.URL.Path))
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed(router, r.URL.Path), ", "))
		writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, codeMethodNotAllowed, r.Method+" is not allowed here"))
	})
	s := &service{cfg: cfg}
	ownErrors()
	config := huma.DefaultConfig(ServiceName, cfg.Version)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"orgKey": {Type: "apiKey", In: "header", Name: headerKey},
	}
	config.CreateHooks = nil // no $schema member in answers
	config.Transformers = append(config.Transformers, completeProblem)
	s.health(humachi.New(router, config))
	router.Group(func(protected chi.Router) {
		protected.Use(s.authenticate)
		inner := config
		inner.OpenAPIPath, inner.DocsPath, inner.SchemasPath = "", "", ""
		s.pipelines(humachi.New(protected, inner)) // into the same OpenAPI document
	})
	for _, path := range openAPIPaths { // they are rendered on first use, without a lock
		router.ServeHTTP(discard{}, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, Header: http.Header{}})
	}
	return router
}

var openAPIPaths = []string{"/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml"}

// ownErrors makes huma speak in Problems; its hook is a global.
var ownErrors = sync.OnceFunc(func() { huma.NewError = humaProblem })

// discard is the writer of an answer that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// allowed are the methods that a path has a handler for.
func allowed(routes chi.Routes, path string) []string {
	var out []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), method, path) {
			out = append(out, method)
		}
	}
	return out
}

type service struct{ cfg Config }
