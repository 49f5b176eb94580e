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
		Docs        string `json:"docs"`
		OpenAPI     string `json:"openapi"`
	}
}

func (s *service) health(api huma.API) {
	huma.Get(api, "/", func(context.Context, *struct{}) (*welcomeOutput, error) {
		var out welcomeOutput
		out.Body.Message = "Welcome to " + ServiceName
		out.Body.Version, out.Body.Environment = s.cfg.Version, s.cfg.Environment
		out.Body.Docs, out.Body.OpenAPI = "/docs", "/openapi.json"
		return &out, nil
	})
	huma.Get(api, "/health", func(context.Context, *struct{}) (*healthOutput, error) {
		return &healthOutput{Status: http.StatusOK, Body: healthBody{
			Status: "healthy", Service: ServiceName, Version: s.cfg.Version, Environment: s.cfg.Environment,
		}}, nil
	})
	huma.Get(api, "/health/live", s.live)
	huma.Get(api, "/health/ready", s.ready)
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
	if err := s.cfg.Ready(ctx); err != nil {
		s.cfg.Log.Warn("warehouse does not answer", "error", err)
		return &healthOutput{Status: http.StatusServiceUnavailable, Body: healthBody{
			Status: "not_ready", Service: ServiceName, Checks: map[string]bool{"shutdown": true, "bigquery": false},
		}}, nil
	}
	return &healthOutput{Status: http.StatusOK, Body: healthBody{
		Status: "ready", Service: ServiceName, Version: s.cfg.Version, Checks: map[string]bool{"shutdown": true, "bigquery": true},
	}}, nil
}
