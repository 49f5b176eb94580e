package service

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// span is what a receiver of traces keeps of one.
type span struct{ trace, id, parent, name string }

// receiver takes traces over OTLP/HTTP.
type receiver struct {
	mu    sync.Mutex
	spans []span
}

// ServeHTTP implements http.Handler. The body is an ExportTraceServiceRequest.
func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not a trace", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range fields(body, 1) {
		for _, scope := range fields(resource, 2) {
			for _, s := range fields(scope, 2) {
				c.spans = append(c.spans, span{trace: hexOf(s, 1), id: hexOf(s, 2), parent: hexOf(s, 4), name: string(slices.Concat(fields(s, 5)...))})
			}
		}
	}
}

// fields returns the values of a message's fields of a number that have a length.
func fields(message []byte, number protowire.Number) (out [][]byte) {
	for len(message) > 0 {
		n, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return out
		}
		message = message[length:]
		if n == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			out = append(out, value)
		}
		if length = protowire.ConsumeFieldValue(n, kind, message); length < 0 {
			return out
		}
		message = message[length:]
	}
	return out
}

func hexOf(message []byte, number protowire.Number) string {
	return hex.EncodeToString(slices.Concat(fields(message, number)...))
}

// all returns the spans of a name.
func (c *receiver) all(name string) (out []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.name == name {
			out = append(out, s)
		}
	}
	return out
}

// TestOneTraceFromTheRequestToTheJob posts a run as a caller that has a trace of its own:
// the request, the job and its steps are in that trace, each below the one before.
func TestOneTraceFromTheRequestToTheJob(t *testing.T) {
	t.Parallel()
	const trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	w := newWorld(t)
	w.seed(20, "acme")
	collector := &receiver{}
	server := httptest.NewServer(collector)
	t.Cleanup(server.Close)
	s := w.serve(w.fresh(), "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	traced := client.New(client.Config{BaseURL: s.URL, Key: keyOf("acme"), HTTP: &http.Client{Transport: withTrace("00-" + trace + "-" + caller + "-01")}})
	started, err := traced.Run(t.Context(), "acme", rows, day(0))
	if err != nil {
		t.Fatal(err)
	}
	if run := s.wait("acme", started.ID); run.Status != client.Completed {
		t.Fatalf("the run ended %s: %s", run.Status, run.Error)
	}
	lab.Eventually(t, "the job's trace has come", func() bool { return len(collector.all("step extract")) > 0 })
	s.Stop() // and sends what waits
	request := slices.IndexFunc(collector.all("POST"), func(s span) bool { return s.trace == trace && s.parent == caller })
	if request < 0 {
		t.Fatalf("no span of the request: %+v", collector.all("POST"))
	}
	job, step := collector.all("job"), collector.all("step extract")
	if len(job) != 1 || job[0].trace != trace || job[0].parent != collector.all("POST")[request].id {
		t.Errorf("spans of the job: %+v", job)
	}
	if len(step) != 1 || step[0].trace != trace || step[0].parent != job[0].id {
		t.Errorf("spans of the step: %+v", step)
	}
}

// withTrace sends requests that belong to a trace.
type withTrace string

// RoundTrip implements http.RoundTripper.
func (p withTrace) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Traceparent", string(p))
	return http.DefaultTransport.RoundTrip(r)
}
