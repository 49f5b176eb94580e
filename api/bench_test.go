package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/cloudact/convergence/api"
)

// BenchmarkStack prints what a request costs through the whole stack, as a ratio to a bare
// chi router that answers the same bytes, and what a refused key costs. Rounds of both are
// interleaved, and CPU time is measured: the machine may be busy.
func BenchmarkStack(b *testing.B) {
	f := newFront(b, func(c *api.Config) {
		c.Audit = dropped{}
		c.Limits = api.Limits{Address: 1 << 30, Global: 1 << 30, Org: 1 << 30, Run: 1 << 30}
	})
	bare := chi.NewRouter()
	bare.Get(runsPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode([]string{})
	})
	ask := func(h http.Handler, key string) func() {
		return func() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, runsPath, nil)
			r.Header.Set("X-API-Key", key)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	empty := func() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, runsPath, nil)
		r.Header.Set("X-API-Key", "acme-key")
		_ = httptest.NewRecorder()
	}
	const rounds, calls = 9, 3000
	times := map[string][]time.Duration{}
	for b.Loop() {
		for range rounds {
			for name, call := range map[string]func(){"nothing": empty, "chi": ask(bare, "acme-key"), "full": ask(f.handler, "acme-key"), "401": ask(f.handler, "guess")} {
				start := cpu(b)
				for range calls {
					call()
				}
				times[name] = append(times[name], (cpu(b)-start)/calls)
			}
		}
	}
	median := func(name string) float64 {
		slices.Sort(times[name])
		return float64(times[name][len(times[name])/2])
	}
	building := median("nothing")
	chiCost, full, refused := median("chi")-building, median("full")-building, median("401")-building
	b.ReportMetric(full/chiCost, "full/chi")
	b.ReportMetric(refused/full, "401/full")
	b.ReportMetric(full/1000, "us/full")
	b.ReportMetric(chiCost/1000, "us/chi")
	b.ReportMetric(0, "ns/op")
	if refused >= full {
		b.Errorf("refusing a key costs %.1f us, answering %.1f us, bare chi %.1f us", refused/1000, full/1000, chiCost/1000)
	}
}

// dropped is an audit log that keeps nothing, so that what is measured does not grow.
type dropped struct{}

// Record implements api.Audit.
func (dropped) Record(context.Context, api.AuditEntry) {}

// cpu is the CPU time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
