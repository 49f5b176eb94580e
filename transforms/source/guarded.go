package source

import (
	"net/http"
	"time"
)

// Client returns a client for requests to addresses that people configure, outside of a
// pipeline: live checks of credentials, webhooks. It refuses what the Guard refuses, for
// the URL, for every redirect and for the address that DNS gives.
func (g Guard) Client(timeout time.Duration) *http.Client {
	c := newHTTPClient(g, 2)
	c.Timeout = timeout
	c.Transport = guardedTransport{guard: g, next: c.Transport}
	return c
}

type guardedTransport struct {
	guard Guard
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.guard.checkURL(req.URL); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // a RoundTripper closes the body whatever happens
		}
		return nil, err
	}
	return t.next.RoundTrip(req)
}
