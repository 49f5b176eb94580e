package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const readyTimeout = 5 * time.Second

type healthBody struct {
	Status      string          `json:"status"`
	Service     string          `json:"service"`
	Version     string          `json:"version,omitempty"`
	Environment string          `json:"environment,omitempty"`
	Message     string          `json:"message,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	Checks      map[string]bool `json:"checks,omitempty"`
}

type healthOutput struct {
	Status int
	Body   healthBody
}

type welcomeOutput struct {
	Body struct {
		Message     string `json:"message"`
		Version     string `json:"version"`
		Environment string `json:"environment"`
		Docs        string `json:"docs" doc:"path of this interface's description for people, or disabled"`
		OpenAPI     string `json:"openapi" doc:"path of its description for programs"`
		Health      string `json:"health"`
		Metrics     string `json:"metrics,omitempty"`
	}
}

func (s *service) health() {
	public := func(path, id, summary string) route {
		return route{method: http.MethodGet, path: path, id: id, summary: summary, tag: "Service"}
	}
	add(s, public("/", "welcome", "What is running here, and where to read on"), s.welcome)
	add(s, public("/health", "health", "Whether the process answers"), func(context.Context, *struct{}) (*healthOutput, error) {
		return &healthOutput{Status: http.StatusOK, Body: healthBody{
			Status: "healthy", Service: ServiceName, Version: s.cfg.Version, Environment: s.cfg.Environment,
		}}, nil
	})
	add(s, public("/health/live", "health-live", "Whether the process should go on running"), s.live)
	add(s, public("/health/ready", "health-ready", "Whether the service can take requests"), s.ready)
	doc := s.huma.OpenAPI()
	for _, path := range []string{"/health/live", "/health/ready"} { // 503 is an answer here, not a problem
		op := doc.Paths[path].Get
		op.Responses["503"] = &huma.Response{Description: http.StatusText(http.StatusServiceUnavailable), Content: op.Responses["200"].Content}
	}
	if s.cfg.Metrics != nil {
		add(s, public("/metrics", "metrics", "Prometheus metrics that name no organization"), s.metrics)
		doc.Paths["/metrics"].Get.Responses["200"].Content = map[string]*huma.MediaType{
			"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}},
		}
	}
}

func (s *service) welcome(context.Context, *struct{}) (*welcomeOutput, error) {
	var out welcomeOutput
	out.Body.Message = "Welcome to " + ServiceName
	out.Body.Version, out.Body.Environment = s.cfg.Version, s.cfg.Environment
	out.Body.Docs, out.Body.OpenAPI, out.Body.Health = docsPath, "/openapi.json", "/health"
	if s.cfg.NoDocs {
		out.Body.Docs = "disabled"
	}
	if s.cfg.Metrics != nil {
		out.Body.Metrics = "/metrics"
	}
	return &out, nil
}

func (s *service) live(context.Context, *struct{}) (*healthOutput, error) {
	if s.cfg.Stopping() {
		return &healthOutput{Status: http.StatusServiceUnavailable, Body: healthBody{
			Status: "shutting_down", Service: ServiceName, Message: "the service is shutting down",
		}}, nil
	}
	return &healthOutput{Status: http.StatusOK, Body: healthBody{Status: "alive", Service: ServiceName, Version: s.cfg.Version}}, nil
}

func (s *service) ready(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if s.cfg.Stopping() {
		return &healthOutput{Status: http.StatusServiceUnavailable, Body: healthBody{
			Status: "not_ready", Service: ServiceName, Reason: "shutting_down", Checks: map[string]bool{"shutdown": false},
		}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	checks := map[string]bool{"shutdown": true, "bigquery": true}
	if err := s.cfg.Ready(ctx); err != nil {
		s.cfg.Log.Warn("warehouse does not answer", "error", err)
		checks["bigquery"] = false
	}
	if s.cfg.Storage != nil {
		err := s.cfg.Storage()
		if err != nil {
			s.cfg.Log.Warn("runs cannot keep files", "error", err)
		}
		checks["data_directory"] = err == nil
	}
	for _, ok := range checks {
		if !ok {
			return &healthOutput{Status: http.StatusServiceUnavailable, Body: healthBody{Status: "not_ready", Service: ServiceName, Checks: checks}}, nil
		}
	}
	return &healthOutput{Status: http.StatusOK, Body: healthBody{Status: "ready", Service: ServiceName, Version: s.cfg.Version, Checks: checks}}, nil
}
