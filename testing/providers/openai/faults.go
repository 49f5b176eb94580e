package openai

import (
	"net/http"

	"github.com/cloudact/convergence/testing/providers/faults"
)

// Rule makes matching calls fail or wait.
type Rule = faults.Rule

// Call is one request that the provider was sent.
type Call = faults.Call

// writeFault answers with the provider's error body.
func writeFault(w http.ResponseWriter, status int) {
	kind, code, message := "server_error", "", "The server had an error while processing your request."
	switch {
	case status == http.StatusTooManyRequests:
		kind, code, message = "requests", "rate_limit_exceeded", "Rate limit reached for this organization."
	case status == http.StatusServiceUnavailable:
		message = "The engine is currently overloaded, please try again later."
	case status < http.StatusInternalServerError:
		kind, message = "invalid_request_error", "The request was refused."
	}
	writeError(w, newError(status, kind, code, message))
}

var knownParameters = func() map[string]bool {
	known := map[string]bool{"after": true, "include_archived": true, "batch": true, "group_by": true}
	for _, name := range []string{"start_time", "end_time", "bucket_width", "limit", "page"} {
		known[name] = true
	}
	for _, e := range endpoints {
		for _, name := range e.filters {
			known[name] = true
		}
	}
	return known
}()
