package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// credential is what a key opens.
type credential struct {
	org   int
	admin bool
}

// apiError is an answer other than 200 in the provider's shape.
type apiError struct {
	status  int
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func badParameter(name, format string, args ...any) *apiError {
	return &apiError{
		status:  http.StatusBadRequest,
		Message: fmt.Sprintf(format, args...),
		Type:    "invalid_request_error",
		Param:   &name,
	}
}

func newError(status int, kind, code, message string) *apiError {
	e := &apiError{status: status, Type: kind, Message: message}
	if code != "" {
		e.Code = &code
	}
	return e
}

// authenticate finds the organisation of a request. Whether the real provider
// accepts an admin key on /models is not documented; here it does not.
func (s *Server) authenticate(r *http.Request, admin bool) (*org, *apiError) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || key == "" {
		return nil, newError(http.StatusUnauthorized, "invalid_request_error", "",
			"You didn't provide an API key. Send it as a bearer token in the Authorization header.")
	}
	c, ok := s.keys[key]
	if !ok {
		return nil, newError(http.StatusUnauthorized, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
	}
	if c.admin != admin {
		scope := "api.usage.read"
		if !admin {
			scope = "api.model.read"
		}
		return nil, newError(http.StatusForbidden, "invalid_request_error", "missing_scope",
			"You have insufficient permissions for this operation. Missing scopes: "+scope+".")
	}
	return s.orgs[c.org], nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"message":"The simulator could not encode its answer.","type":"server_error","param":null,"code":null}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}

func writeError(w http.ResponseWriter, e *apiError) {
	writeJSON(w, e.status, map[string]*apiError{"error": e})
}
