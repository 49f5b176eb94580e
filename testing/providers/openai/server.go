package openai

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/faults"
	"github.com/cloudact/convergence/testing/providers/trace"
)

// Org is one customer of the simulated provider.
type Org struct {
	// Name identifies the organisation to the methods of Server and names it in
	// the ids of its projects, keys and users.
	Name string
	// AdminKey opens /v1/organization/…
	AdminKey string
	// StandardKey opens /v1/models. Empty: the organisation has none.
	StandardKey string
	// Share is its weight when the trace rows are dealt out; 0 means 1.
	Share int
}

// Config describes a simulated provider. Equal configurations answer alike.
type Config struct {
	// Seed decides everything that the traces leave open.
	Seed uint64
	// Days are the UTC days over which the traces are spread; their time of day
	// is kept. Empty: 2026-08-19 to 2026-08-23.
	Days []civil.Date
	// Orgs share the trace rows. There must be one at least.
	Orgs []Org
	// Clock bounds what can be seen: later requests are not reported, and it is
	// the end of a query that states none. Nil: the end of the last day.
	Clock func() time.Time
	// PageDelay is waited before each answer of a usage or costs endpoint.
	PageDelay time.Duration
}

// Days returns n days in a row.
func Days(first civil.Date, n int) []civil.Date {
	days := make([]civil.Date, n)
	for i := range days {
		days[i] = first.AddDays(i)
	}
	return days
}

// Server is a simulated provider. It is safe for concurrent use and holds
// nothing that needs closing.
type Server struct {
	config  Config
	prices  priceList
	keys    map[string]credential
	handler http.Handler

	*faults.Injector

	mu   sync.RWMutex
	orgs []*org
}

// org is the state of one organisation. Its requests are sorted by time.
type org struct {
	name           string
	projects       []project
	users          []string
	requests       []Request
	unservedTokens int64
}

// New returns a provider that serves the traces, or an error that says what is
// wrong with the configuration.
func New(config Config) (*Server, error) {
	list, err := prices()
	if err != nil {
		return nil, err
	}
	config.Orgs = slices.Clone(config.Orgs)
	s := &Server{prices: list, keys: map[string]credential{}}
	s.Injector = faults.New(writeFault, knownParameters)
	if len(config.Days) == 0 {
		config.Days = Days(civil.Date{Year: 2026, Month: time.August, Day: 19}, 5)
	}
	if config.Clock == nil {
		end := slices.MaxFunc(config.Days, civil.Date.Compare).AddDays(1).In(time.UTC)
		config.Clock = func() time.Time { return end }
	}
	if err := s.admit(config.Orgs); err != nil {
		return nil, err
	}
	s.config = config
	if err := s.deal(); err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

func (s *Server) admit(orgs []Org) error {
	if len(orgs) == 0 {
		return errors.New("start openai simulator: no organisation is configured")
	}
	names := map[string]bool{}
	for i := range orgs {
		o := &orgs[i]
		if o.Name == "" || o.AdminKey == "" || names[o.Name] {
			return fmt.Errorf("start openai simulator: organisation %d needs a name of its own and an admin key", i)
		}
		if o.Share < 0 {
			return fmt.Errorf("start openai simulator: organisation %s has a negative share", o.Name)
		}
		o.Share = max(o.Share, 1)
		names[o.Name] = true
		for key, admin := range map[string]bool{o.AdminKey: true, o.StandardKey: false} {
			if key == "" {
				continue
			}
			if _, taken := s.keys[key]; taken {
				return fmt.Errorf("start openai simulator: a key of organisation %s is used twice", o.Name)
			}
			s.keys[key] = credential{org: i, admin: admin}
		}
		if o.AdminKey == o.StandardKey {
			return fmt.Errorf("start openai simulator: a key of organisation %s is used twice", o.Name)
		}
		s.orgs = append(s.orgs, &org{name: o.Name, projects: projectsOf(o.Name), users: usersOf(o.Name)})
	}
	return nil
}

// deal gives every trace row to one organisation.
func (s *Server) deal() error {
	rows, err := trace.Rows()
	if err != nil {
		return err
	}
	for _, row := range rows {
		owner, request, err := s.assign(row)
		if err != nil {
			return err
		}
		o := s.orgs[owner]
		o.requests = append(o.requests, request)
		o.unservedTokens += row.Generated - request.OutputTokens
	}
	for _, o := range s.orgs {
		sortByTime(o.requests)
	}
	return nil
}

func sortByTime(requests []Request) {
	slices.SortStableFunc(requests, func(a, b Request) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Row, b.Row))
	})
}

// Handler serves the API below /v1. Any HTTP server may run it.
func (s *Server) Handler() http.Handler { return s.handler }

// TB is the part of a test that RunT needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// RunT serves a provider on a free port of 127.0.0.1 until the test ends. The
// returned base URL ends in /v1.
func RunT(t TB, config Config) (*Server, string) {
	t.Helper()
	s, err := New(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	listener := httptest.NewServer(s.Handler())
	t.Cleanup(listener.Close)
	return s, listener.URL + "/v1"
}

// Restate edits what the provider recorded, as OpenAI does when usage arrives
// late or moves to another day. edit is called with every request of the
// organisation on the UTC day, or on all days if day is zero; it may change the
// request and returns false to remove it. The number of requests that it saw is
// returned. On an error nothing has changed. edit may not call the server.
func (s *Server) Restate(orgName string, day civil.Date, edit func(*Request) bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.org(orgName)
	if err != nil {
		return 0, err
	}
	seen := 0
	kept := make([]Request, 0, len(o.requests))
	for _, r := range o.requests {
		if !day.IsZero() && civil.DateOf(r.Time) != day {
			kept = append(kept, r)
			continue
		}
		seen++
		if !edit(&r) {
			continue
		}
		r.Time = r.Time.UTC()
		if err := r.check(); err != nil {
			return 0, fmt.Errorf("restate %s: %w", orgName, err)
		}
		if _, err := s.prices.lines(r); err != nil {
			return 0, fmt.Errorf("restate %s: %w", orgName, err)
		}
		kept = append(kept, r)
	}
	sortByTime(kept)
	o.requests = kept
	return seen, nil
}

func (s *Server) org(name string) (*org, error) {
	for _, o := range s.orgs {
		if o.name == name {
			return o, nil
		}
	}
	return nil, fmt.Errorf("openai simulator has no organisation %q", name)
}

// between returns the organisation's requests in [start, end) that have
// happened by the clock. The caller may not change them.
func (s *Server) between(o *org, start, end time.Time) []Request {
	if now := s.config.Clock(); now.Before(end) {
		end = now
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(o.requests, t, func(r Request, t time.Time) int { return r.Time.Compare(t) })
		return i
	}
	from, to := at(start), at(end)
	return o.requests[from:max(from, to)]
}
