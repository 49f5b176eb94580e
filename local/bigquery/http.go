package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

const (
	apiRoot    = "/bigquery/v2/projects/{project}"
	uploadRoot = "/upload/bigquery/v2/projects/{project}"
)

// endpoint is one method of the API: it returns the body of a 200, or nil for
// an empty one.
type endpoint func(r *http.Request) (any, error)

// handle serves a method of the API under the name that the service's own
// reference gives it.
func (s *Server) handle(mux *http.ServeMux, method, pattern string, e endpoint) {
	mux.HandleFunc(pattern, s.cfg.Faults.around(method, func(w http.ResponseWriter, r *http.Request) {
		body, err := e(r)
		s.answer(w, r, body, err)
	}))
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, body any, err error) {
	if err = s.sqlError(err); err != nil {
		var known *wire.Error
		if isConflict(err) {
			err = wire.BackendError()
		} else if !errors.As(err, &known) {
			s.cfg.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		wire.WriteError(w, err)
		return
	}
	if body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		s.cfg.Logger.DebugContext(r.Context(), "client went away", "path", r.URL.Path, "error", err)
	}
}

func errNoSuchMethod(r *http.Request) error {
	return &wire.Error{
		HTTPStatus: http.StatusNotFound, Reason: wire.ReasonNotFound,
		Message: fmt.Sprintf("%s %s is not supported by the local server", r.Method, r.URL.Path),
	}
}

// readJSON decodes a request's body into v.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return wire.Invalid("Reading the request body: %v", err)
	}
	return decodeJSON(body, v)
}

func decodeJSON(body []byte, v any) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return wire.Invalid("Invalid JSON payload received: %v", err)
	}
	return nil
}

// pathTable reads the table of a request's path; the id may carry a decorator.
func pathTable(r *http.Request) wire.TableReference {
	return wire.TableReference{ProjectID: r.PathValue("project"), DatasetID: r.PathValue("dataset"), TableID: r.PathValue("table")}
}

// page is the part of a list a request asks for.
type page struct {
	start int64
	limit int64 // -1 without maxResults
}

// readPage reads startIndex, pageToken and maxResults; a token is the index of
// the next row behind a letter.
func readPage(r *http.Request) (page, error) {
	q := r.URL.Query()
	p := page{limit: -1}
	for name, target := range map[string]*int64{"startIndex": &p.start, "maxResults": &p.limit} {
		if text := q.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return p, wire.Invalid("Invalid value for %s: %s", name, text)
			}
			*target = n
		}
	}
	if token := q.Get("pageToken"); token != "" {
		n, err := strconv.ParseInt(strings.TrimPrefix(token, "B"), 36, 64)
		if err != nil || n < 0 {
			return p, wire.Invalid("Invalid page token: %s", token)
		}
		p.start = n
	}
	return p, nil
}

func pageToken(next int64) string { return "B" + strconv.FormatInt(next, 36) }

// pageOf cuts a list that is in memory and returns the token of the next page.
func pageOf[T any](items []T, p page) ([]T, string) {
	start := min(p.start, int64(len(items)))
	end := int64(len(items))
	if p.limit >= 0 {
		end = min(end, start+p.limit)
	}
	token := ""
	if end < int64(len(items)) {
		token = pageToken(end)
	}
	return items[start:end], token
}

// isTrue reads a boolean query parameter; some clients spell it True.
func isTrue(r *http.Request, name string) bool {
	return strings.EqualFold(r.URL.Query().Get(name), "true")
}

func decimalText(n int64) string { return strconv.FormatInt(n, 10) }

// matchEtag checks a request's If-Match header.
func matchEtag(r *http.Request, etag string) error {
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && want != etag {
		return wire.PreconditionFailed()
	}
	return nil
}
