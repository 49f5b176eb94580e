package anthropic

import (
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/faults"
	"github.com/cloudact/convergence/testing/providers/trace"
)

// Org is one customer of the simulated provider.
type Org struct {
	// Name identifies the organisation to the methods of Server and in its ids.
	Name string
	// AdminKey opens /v1/organizations/…
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
	// Days are the UTC days over which the traces are spread. Empty: 2026-08-19 to
	// 2026-08-23.
	Days []civil.Date
	// Orgs share the trace rows. There must be one at least.
	Orgs []Org
	// Clock bounds what can be seen, and ends a query that states no end. Nil: the end of
	// the last day.
	Clock func() time.Time
	// PageDelay is waited before each answer of a report.
	PageDelay time.Duration
}

// Rule makes matching calls fail or wait.
type Rule = faults.Rule

// Call is one request that the provider was sent.
type Call = faults.Call

// Server is a simulated provider. It is safe for concurrent use and holds nothing that
// needs closing.
type Server struct {
	*faults.Injector

	config  Config
	prices  priceList
	keys    map[string]credential
	orgs    []*org
	handler http.Handler
}

type credential struct {
	org   int
	admin bool
}

// org is one organisation; its requests are sorted by time.
type org struct {
	name       string
	workspaces []workspace
	accounts   []string
	requests   []Request
}

// New returns a provider that serves the traces.
func New(config Config) (*Server, error) {
	list, err := prices()
	if err != nil {
		return nil, err
	}
	config.Orgs = slices.Clone(config.Orgs)
	if len(config.Days) == 0 {
		for i := range 5 {
			config.Days = append(config.Days, civil.Date{Year: 2026, Month: time.August, Day: 19}.AddDays(i))
		}
	}
	if config.Clock == nil {
		end := slices.MaxFunc(config.Days, civil.Date.Compare).AddDays(1).In(time.UTC)
		config.Clock = func() time.Time { return end }
	}
	s := &Server{config: config, prices: list, keys: map[string]credential{}}
	if err := s.admit(); err != nil {
		return nil, err
	}
	rows, err := trace.Rows()
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		owner, request := s.assign(row)
		s.orgs[owner].requests = append(s.orgs[owner].requests, request)
	}
	for _, o := range s.orgs {
		slices.SortStableFunc(o.requests, func(a, b Request) int { return a.Time.Compare(b.Time) })
	}
	s.Injector = faults.New(writeFault, knownParameters)
	s.handler = s.Observed(s.routes())
	return s, nil
}

func (s *Server) admit() error {
	if len(s.config.Orgs) == 0 {
		return errors.New("start anthropic simulator: no organisation is configured")
	}
	for i := range s.config.Orgs {
		o := &s.config.Orgs[i]
		if o.Name == "" || o.AdminKey == "" || o.Share < 0 || slices.ContainsFunc(s.orgs, func(p *org) bool { return p.name == o.Name }) {
			return fmt.Errorf("start anthropic simulator: organisation %d needs a name of its own, an admin key and no negative share", i)
		}
		o.Share = max(o.Share, 1)
		for _, key := range []struct {
			text  string
			admin bool
		}{{o.AdminKey, true}, {o.StandardKey, false}} {
			if _, taken := s.keys[key.text]; taken {
				return fmt.Errorf("start anthropic simulator: a key of organisation %s is used twice", o.Name)
			}
			if key.text != "" {
				s.keys[key.text] = credential{i, key.admin}
			}
		}
		s.orgs = append(s.orgs, &org{name: o.Name, workspaces: workspacesOf(o.Name), accounts: accountsOf(o.Name)})
	}
	return nil
}

// Handler serves the API below /v1. Any HTTP server may run it.
func (s *Server) Handler() http.Handler { return s.handler }

// TB is the part of a test that RunT needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// RunT serves a provider on a free port of 127.0.0.1 until the test ends. The returned
// base URL ends in /v1.
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

// between returns the organisation's requests in [start, end) that have happened by the
// clock. The caller may not change them.
func (s *Server) between(o *org, start, end time.Time) []Request {
	if now := s.config.Clock(); now.Before(end) {
		end = now
	}
	at := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(o.requests, t, func(r Request, t time.Time) int { return r.Time.Compare(t) })
		return i
	}
	from, to := at(start), at(end)
	return o.requests[from:max(from, to)]
}

// On returns the requests of an organisation on a UTC day, for a test that adds them up
// its own way.
func (s *Server) On(orgName string, day civil.Date) ([]Request, error) {
	for _, o := range s.orgs {
		if o.name == orgName {
			return slices.Clone(s.between(o, day.In(time.UTC), day.AddDays(1).In(time.UTC))), nil
		}
	}
	return nil, fmt.Errorf("anthropic simulator has no organisation %q", orgName)
}

// Billed is what the provider charges for the requests of a UTC day, in dollars: tokens
// and web searches, and nothing of the priority tier.
func (s *Server) Billed(orgName string, day civil.Date) (*big.Rat, error) {
	requests, err := s.On(orgName, day)
	if err != nil {
		return nil, err
	}
	sum := new(big.Rat)
	for _, r := range requests {
		lines, err := s.lines(r)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			sum.Add(sum, l.amount)
		}
	}
	return sum, nil
}
