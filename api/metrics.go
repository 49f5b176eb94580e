package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxOrgs bounds the organisations that have series of their own; others share one.
const (
	maxOrgs   = 200
	otherOrgs = "other"
)

// Metrics are what the service counts. The zero value is not useful; see NewMetrics.
type Metrics struct {
	registry  *prometheus.Registry // what anybody may see
	perOrg    *prometheus.Registry // what names organisations
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	runs      *prometheus.CounterVec
	runTimes  *prometheus.HistogramVec
	active    *prometheus.GaugeVec
	quota     *prometheus.GaugeVec
	queued    *prometheus.GaugeVec
	rows      *prometheus.CounterVec
	retries   *prometheus.CounterVec
	warehouse *prometheus.CounterVec

	mu     sync.Mutex
	orgs   map[string]bool
	series map[answered]series
}

// answered is a kind of answer, and series what counts it: looking it up by its labels
// costs more than the counting.
type answered struct {
	method, route string
	status        int
}

type series struct {
	count prometheus.Counter
	time  prometheus.Observer
}

// NewMetrics returns metrics in registries of their own, the Go runtime's included.
func NewMetrics() *Metrics {
	labels := []string{"org_slug", "pipeline_id", "status"}
	m := &Metrics{
		registry: prometheus.NewRegistry(), perOrg: prometheus.NewRegistry(), orgs: map[string]bool{}, series: map[answered]series{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Answered requests.",
		}, []string{"method", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "From the first byte of a request to the end of its handler.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30},
		}, []string{"route"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipeline_executions_total", Help: "Runs that have ended.",
		}, labels),
		runTimes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pipeline_duration_seconds", Help: "From the request for a run to its end.",
			Buckets: []float64{1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600},
		}, labels),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "active_pipelines", Help: "Runs that are at work, whichever process follows them.",
		}, []string{"org_slug"}),
		quota: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quota_utilization", Help: "Share of a quota that is used, 0 to 1.",
		}, []string{"org_slug", "quota_type"}),
		queued: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pipeline_queue_depth", Help: "Runs in the queue by state.",
		}, []string{"state"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "processor_rows_total", Help: "Rows that reached a sink, by processor.",
		}, []string{"processor"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "processor_retries_total", Help: "Requests to providers that were made again, by processor.",
		}, []string{"processor"}),
		warehouse: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warehouse_calls_total", Help: "Requests to the warehouse by the service, by method and status.",
		}, []string{"method", "status"}),
	}
	m.perOrg.MustRegister(m.runs, m.runTimes, m.active, m.quota)
	m.registry.MustRegister(m.requests, m.durations, m.queued, m.rows, m.retries, m.warehouse,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) request(method, route string, status int, took time.Duration) {
	key := answered{method, route, status}
	m.mu.Lock()
	s, ok := m.series[key]
	m.mu.Unlock()
	if !ok {
		s = series{m.requests.WithLabelValues(knownMethod(method), route, strconv.Itoa(status)), m.durations.WithLabelValues(route)}
		if knownMethod(method) == method { // callers may make up others without end
			m.mu.Lock()
			m.series[key] = s
			m.mu.Unlock()
		}
	}
	s.count.Inc()
	s.time.Observe(took.Seconds())
}

// knownMethod keeps a caller from making series.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// RunEnded counts a run.
func (m *Metrics) RunEnded(org, pipelineID, status string, took time.Duration) {
	if org = m.label(org); org == otherOrgs {
		pipelineID = otherOrgs
	}
	m.runs.WithLabelValues(org, pipelineID, status).Inc()
	m.runTimes.WithLabelValues(org, pipelineID, status).Observe(took.Seconds())
}

// StepEnded counts what a step did.
func (m *Metrics) StepEnded(processor string, rows, retries int64) {
	m.rows.WithLabelValues(processor).Add(float64(rows))
	m.retries.WithLabelValues(processor).Add(float64(retries))
}

// Active sets how many runs of an organisation are at work. Those of organisations
// without a series of their own are in none.
func (m *Metrics) Active(org string, runs int) {
	if org = m.label(org); org != otherOrgs {
		m.active.WithLabelValues(org).Set(float64(runs))
	}
}

// Quota sets how much of a quota is used; the same organisations have one.
func (m *Metrics) Quota(org, kind string, used, limit int64) {
	if org = m.label(org); limit > 0 && org != otherOrgs {
		m.quota.WithLabelValues(org, kind).Set(float64(used) / float64(limit))
	}
}

// Queued sets how many runs are in a state of the queue.
func (m *Metrics) Queued(state string, runs int) {
	m.queued.WithLabelValues(state).Set(float64(runs))
}

// WarehouseCall counts a request to the warehouse; status is 0 without an answer.
func (m *Metrics) WarehouseCall(method string, status int) {
	m.warehouse.WithLabelValues(knownMethod(method), strconv.Itoa(status)).Inc()
}

// label is the organisation, if it is among the first that were seen.
func (m *Metrics) label(org string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.orgs[org] {
		return org
	}
	if len(m.orgs) >= maxOrgs {
		return otherOrgs
	}
	m.orgs[org] = true
	return org
}

// Handler serves all metrics. They name organisations and what they run: it belongs on a
// port that only operators reach.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{m.registry, m.perOrg}, promhttp.HandlerOpts{})
}

// publicHandler serves those that say nothing of any organisation.
func (m *Metrics) publicHandler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

type metricsOutput struct {
	Body func(ctx huma.Context)
}

func (s *service) metrics(context.Context, *struct{}) (*metricsOutput, error) {
	return &metricsOutput{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		s.cfg.Metrics.publicHandler().ServeHTTP(w, r)
	}}, nil
}
