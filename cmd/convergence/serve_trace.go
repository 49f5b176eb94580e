package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

const traceGrace = 5 * time.Second

// traced makes every request a span that goes to the OTLP endpoint of the environment.
// Without one the handler stays as it is. close sends what waits.
func traced(ctx context.Context, env wiring.Environment, handler http.Handler, log *slog.Logger) (_ http.Handler, closeTraces func(), err error) {
	endpoint := env.Service.OTLPEndpoint
	if endpoint == "" {
		return handler, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"))
	if err != nil {
		return nil, nil, fmt.Errorf("send traces to %s: %w", endpoint, err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(resource.NewSchemaless(
		attribute.String("service.name", env.Service.OTLPName), attribute.String("service.version", version),
		attribute.String("deployment.environment.name", env.Name),
	)))
	wrapped := otelhttp.NewHandler(handler, "request", otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))
	return wrapped, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceGrace)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("send the last traces", "error", err)
		}
	}, nil
}
