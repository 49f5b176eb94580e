package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	traceGrace  = 5 * time.Second
	traceparent = "traceparent" // header of W3C Trace Context
)

// tracer sends spans to the OTLP endpoint of the environment; nil without one.
func tracer(ctx context.Context, env wiring.Environment) (*sdk.TracerProvider, error) {
	endpoint := env.Service.OTLPEndpoint
	if endpoint == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("send traces to %s: %w", endpoint, err)
	}
	return sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", env.Service.OTLPName), attribute.String("service.version", version),
		attribute.String("deployment.environment.name", env.Name),
	))), nil
}

// sendTraces sends what waits.
func sendTraces(ctx context.Context, provider *sdk.TracerProvider, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceGrace)
	defer cancel()
	if err := provider.Shutdown(ctx); err != nil {
		log.Warn("send the last traces", "error", err)
	}
}

// traced makes every request a span. Without an endpoint the handler stays as it is.
// closeTraces sends what waits.
func traced(ctx context.Context, env wiring.Environment, handler http.Handler, log *slog.Logger) (_ http.Handler, closeTraces func(), err error) {
	provider, err := tracer(ctx, env)
	if provider == nil || err != nil {
		return handler, func() {}, err
	}
	wrapped := otelhttp.NewHandler(handler, "request", otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))
	return wrapped, func() { sendTraces(ctx, provider, log) }, nil
}

// traceOf names the span of a context, so that the job of the run that it asks for belongs
// to the same trace; "" if there is none.
func traceOf(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// tracedJob makes a job a span below the one that asked for its run, and its steps spans
// below that.
func tracedJob(ctx context.Context, env wiring.Environment, spec runfolder.Spec, log *slog.Logger, job func(context.Context) (runfolder.Result, error)) (runfolder.Result, error) {
	provider, err := tracer(ctx, env)
	if err != nil {
		log.Warn("the job leaves no trace", "error", err)
	}
	if provider == nil {
		return job(ctx)
	}
	defer sendTraces(ctx, provider, log)
	spans := provider.Tracer("github.com/cloudact/convergence/job")
	within := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: spec.Trace})
	within, span := spans.Start(within, "job", trace.WithAttributes(
		attribute.String("run.id", spec.RunID), attribute.String("org", spec.Org), attribute.String("pipeline", spec.Pipeline),
		attribute.Int("attempt", spec.Attempt), attribute.String("runner", spec.Runner),
	))
	defer span.End()
	result, err := job(within)
	for _, s := range result.Steps {
		if s.Start.IsZero() || s.End.Before(s.Start) {
			continue
		}
		_, step := spans.Start(within, "step "+s.Step, trace.WithTimestamp(s.Start), trace.WithAttributes(
			attribute.String("type", s.Type), attribute.Int64("rows", s.Counts.Rows), attribute.Int64("retries", s.Counts.Retries)))
		if s.Error != "" {
			step.SetStatus(codes.Error, s.Code)
		}
		step.End(trace.WithTimestamp(s.End))
	}
	if err != nil || result.State != runfolder.Completed {
		span.SetStatus(codes.Error, result.State+" "+result.Code)
	}
	return result, err
}
