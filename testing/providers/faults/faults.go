// Package faults makes a simulated provider fail, wait and cut its answers by rule, and
// keeps a log of its calls without secrets. It knows no provider.
package faults

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rule makes matching calls fail or wait. The zero values of Status, Truncate
// and Delay leave that part of the answer alone.
type Rule struct {
	// PathPrefix selects calls by their path, such as /v1/organization/costs.
	PathPrefix string
	// Nth is the first matching call that is hit, counted from 1 since Fail; 0
	// means 1.
	Nth int
	// Times is how many calls from there on are hit; 0 means 1, less than 0 all.
	Times int
	// Status is answered with the provider's error body in place of the answer,
	// before the key is looked at.
	Status int
	// RetryAfter is sent as the Retry-After header, in seconds or as an HTTP
	// date; nil sends none.
	RetryAfter *string
	// Truncate announces the whole body, sends half of it, and closes the
	// connection.
	Truncate bool
	// Delay is waited before the answer.
	Delay time.Duration
}

type activeRule struct {
	Rule
	seen int
}

// Injector holds the rules and the log of one provider. It is safe for concurrent use.
type Injector struct {
	write func(w http.ResponseWriter, status int)
	known map[string]bool

	mu    sync.RWMutex
	rules []*activeRule
	calls []Call
}

// New returns an injector without rules. write answers in the provider's error shape;
// known are the parameters whose values may stand in the log.
func New(write func(w http.ResponseWriter, status int), known map[string]bool) *Injector {
	return &Injector{write: write, known: known}
}

// Fail adds a rule. Of several rules that hit the same call the oldest counts.
func (s *Injector) Fail(rule Rule) {
	rule.Nth = max(rule.Nth, 1)
	if rule.Times == 0 {
		rule.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &activeRule{Rule: rule})
}

// ClearFaults removes all rules.
func (s *Injector) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// takeFault counts a call with every rule and returns the one that hits it.
func (s *Injector) takeFault(path string) *Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *Rule
	for _, rule := range s.rules {
		if !strings.HasPrefix(path, rule.PathPrefix) {
			continue
		}
		rule.seen++
		if rule.seen >= rule.Nth && (rule.Times < 0 || rule.seen < rule.Nth+rule.Times) && hit == nil {
			hit = &rule.Rule
		}
	}
	return hit
}

// Call is one request that the provider was sent. It holds no secret.
type Call struct {
	Method string
	Path   string
	// Query is in canonical order. The value of a parameter that no endpoint
	// knows is left out.
	Query string
	// Status is what was answered, Fault whether a rule changed the answer.
	Status int
	Fault  bool
}

// Requests returns all calls so far, in the order in which they were answered.
func (s *Injector) Requests() []Call {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.calls)
}

// Observed applies the rules and keeps the log around the API.
func (s *Injector) Observed(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := s.takeFault(r.URL.Path)
		answer := &answer{header: http.Header{}, status: http.StatusOK}
		if fault != nil {
			Pause(r.Context(), fault.Delay)
		}
		if fault != nil && fault.Status != 0 {
			if fault.RetryAfter != nil {
				answer.header.Set("Retry-After", *fault.RetryAfter)
			}
			s.write(answer, fault.Status)
		} else {
			api.ServeHTTP(answer, r)
		}
		s.record(r, answer, fault != nil)
		answer.send(w, fault != nil && fault.Truncate)
	})
}

func (s *Injector) record(r *http.Request, a *answer, fault bool) {
	call := Call{Method: r.Method, Path: r.URL.Path, Query: s.loggable(r.URL.Query()), Status: a.status, Fault: fault}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	a.header.Set("X-Request-Id", "req_"+strconv.Itoa(len(s.calls)))
}

func (s *Injector) loggable(values url.Values) string {
	for name, list := range values {
		if s.known[strings.TrimSuffix(name, "[]")] {
			continue
		}
		for i := range list {
			list[i] = "hidden"
		}
	}
	return values.Encode()
}

// answer holds a whole answer back, so that it can be cut and its length is
// known.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(part []byte) (int, error) { return a.body.Write(part) }

func (a *answer) send(w http.ResponseWriter, truncate bool) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	body := a.body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if truncate {
		// net/http closes a connection whose handler wrote less than announced.
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // the client may have gone
}

// Pause waits, or returns early when the client has gone.
func Pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
