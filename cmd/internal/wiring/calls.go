package wiring

import "net/http"

// Calls is told of every request to the warehouse: its method, and the status of the
// answer, 0 if there was none. It must not block.
type Calls func(method string, status int)

// of returns base, watched. nil is http.DefaultTransport.
func (c Calls) of(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if c == nil {
		return base
	}
	return watched{base, c}
}

type watched struct {
	http.RoundTripper
	calls Calls
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		w.calls(r.Method, 0)
		return answer, err
	}
	w.calls(r.Method, answer.StatusCode)
	return answer, nil
}
