package anthropic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudact/convergence/testing/providers/trace"
)

// apiVersion is the only version of the API that there is.
const apiVersion = "2023-06-01"

// apiError is an answer other than 200 in the provider's shape.
type apiError struct {
	status  int
	Type    string `json:"type"`
	Message string `json:"message"`
}

func badRequest(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "invalid_request_error", fmt.Sprintf(format, args...)}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/organizations/me", s.get(true, s.me))
	mux.HandleFunc("/v1/organizations/workspaces", s.get(true, s.listWorkspaces))
	mux.HandleFunc("/v1/organizations/api_keys", s.get(true, s.listKeys))
	mux.HandleFunc("/v1/organizations/users", s.get(true, s.listUsers))
	mux.HandleFunc("/v1/organizations/usage_report/messages", s.get(true, s.report(usageReport)))
	mux.HandleFunc("/v1/organizations/cost_report", s.get(true, s.report(costReport)))
	mux.HandleFunc("/v1/models", s.get(false, s.listModels))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{http.StatusNotFound, "not_found_error", "Not found"})
	})
	return mux
}

// get serves a GET of an authenticated caller.
func (s *Server) get(admin bool, serve func(*org, *http.Request) (any, *apiError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			writeError(w, &apiError{http.StatusMethodNotAllowed, "invalid_request_error", "Method Not Allowed"})
			return
		}
		o, failure := s.authenticate(r, admin)
		if failure != nil {
			writeError(w, failure)
			return
		}
		body, failure := serve(o, r)
		if failure != nil {
			writeError(w, failure)
			return
		}
		writeJSON(w, http.StatusOK, body)
	}
}

// authenticate finds the organisation of a request. What the real provider answers to a
// key of the other kind is not documented; here it is 403.
func (s *Server) authenticate(r *http.Request, admin bool) (*org, *apiError) {
	if r.Header.Get("anthropic-version") != apiVersion {
		return nil, badRequest("anthropic-version: header is required")
	}
	c, ok := s.keys[r.Header.Get("x-api-key")]
	if !ok {
		return nil, &apiError{http.StatusUnauthorized, "authentication_error", "invalid x-api-key"}
	}
	if c.admin != admin {
		return nil, &apiError{http.StatusForbidden, "permission_error", "This API key does not have permission to use this endpoint."}
	}
	return s.orgs[c.org], nil
}

func (s *Server) me(o *org, _ *http.Request) (any, *apiError) {
	id := trace.ID(o.name, "organization", 32)
	return map[string]string{"id": id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:], "type": "organization", "name": o.name}, nil
}

// listing is a list that is paged by the id of the last item seen.
type listing struct {
	Data    []map[string]any `json:"data"`
	HasMore bool             `json:"has_more"`
	FirstID *string          `json:"first_id"`
	LastID  *string          `json:"last_id"`
}

func paged(r *http.Request, all []map[string]any) (any, *apiError) {
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 1000 {
			return nil, badRequest("limit: Input should be an integer from 1 to 1000")
		}
	}
	if after := r.URL.Query().Get("after_id"); after != "" {
		found := false
		for i, item := range all {
			if item["id"] == after {
				all, found = all[i+1:], true
				break
			}
		}
		if !found {
			return nil, badRequest("after_id: there is no such object")
		}
	}
	l := listing{Data: append([]map[string]any{}, all[:min(limit, len(all))]...), HasMore: len(all) > limit}
	if n := len(l.Data); n > 0 {
		first, last := l.Data[0]["id"].(string), l.Data[n-1]["id"].(string)
		l.FirstID, l.LastID = &first, &last
	}
	return l, nil
}

func (s *Server) listWorkspaces(o *org, r *http.Request) (any, *apiError) {
	var all []map[string]any
	for _, w := range o.workspaces {
		if w.id != "" { // the default workspace is in no list
			all = append(all, map[string]any{"id": w.id, "type": "workspace", "name": w.name, "created_at": "2026-01-05T00:00:00Z", "archived_at": nil, "display_color": "#6C5BB9"})
		}
	}
	return paged(r, all)
}

func (s *Server) listKeys(o *org, r *http.Request) (any, *apiError) {
	var all []map[string]any
	for _, w := range o.workspaces {
		for i, id := range w.keys {
			all = append(all, map[string]any{"id": id, "type": "api_key", "name": []string{"service", "batch-jobs"}[i], "workspace_id": orNull(w.id), "status": "active", "created_at": "2026-01-05T00:00:00Z"})
		}
	}
	return paged(r, all)
}

func (s *Server) listUsers(o *org, r *http.Request) (any, *apiError) {
	var all []map[string]any
	for i, id := range o.accounts {
		name := []string{"ada", "grace", "katherine"}[i]
		all = append(all, map[string]any{"id": id, "type": "user", "name": name, "email": name + "@" + o.name + ".example", "role": "developer", "added_at": "2026-01-05T00:00:00Z"})
	}
	return paged(r, all)
}

func (s *Server) listModels(_ *org, r *http.Request) (any, *apiError) {
	var all []map[string]any
	for _, p := range s.prices.models {
		all = append(all, map[string]any{"id": p.model, "type": "model", "display_name": p.title, "created_at": p.created.In(time.UTC).Format(time.RFC3339)})
	}
	return paged(r, all)
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func writeFault(w http.ResponseWriter, status int) {
	kind := "api_error"
	switch {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status == http.StatusUnauthorized:
		kind = "authentication_error"
	case status == http.StatusForbidden:
		kind = "permission_error"
	case status == http.StatusNotFound:
		kind = "not_found_error"
	case status == 529:
		kind = "overloaded_error"
	case status < http.StatusInternalServerError:
		kind = "invalid_request_error"
	}
	writeError(w, &apiError{status, kind, "The simulated provider was told to answer so."})
}

func writeError(w http.ResponseWriter, e *apiError) {
	writeJSON(w, e.status, map[string]any{"type": "error", "error": e, "request_id": "req_simulated"})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"type":"error","error":{"type":"api_error","message":"The simulator could not encode its answer."}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}
