package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/launcher"
)

// Codes of this package, beside the launcher's.
const (
	codeNotFound         = launcher.Code("RESOURCE_NOT_FOUND")
	codeMethodNotAllowed = launcher.Code("METHOD_NOT_ALLOWED")
	codeInvalidAPIKey    = launcher.Code("INVALID_API_KEY")
	codeAPIKeyExpired    = launcher.Code("API_KEY_EXPIRED")
	codeOrgMismatch      = launcher.Code("ORG_MISMATCH")
	codeOrgInactive      = launcher.Code("ORG_INACTIVE")
	codeInvalidPath      = launcher.Code("INVALID_PATH")
	codeInvalidPayload   = launcher.Code("INVALID_PAYLOAD")
	codeInvalidRequest   = launcher.Code("INVALID_REQUEST")
	codePayloadTooLarge  = launcher.Code("PAYLOAD_TOO_LARGE")
	codeInvalidHeaders   = launcher.Code("INVALID_HEADERS")
	codeUnsupportedMedia = launcher.Code("UNSUPPORTED_MEDIA_TYPE")
	codeRequestTimeout   = launcher.Code("REQUEST_TIMEOUT")
	codeRateLimited      = launcher.Code("RATE_LIMIT_EXCEEDED")
	codeExists           = launcher.Code("RESOURCE_EXISTS")
	codeDecrypt          = launcher.Code("DECRYPT") // a stored credential cannot be opened

	// Of the runner of Dataflow jobs, which this package does not know.
	codeJobRefused   = launcher.Code("DATAFLOW_REFUSED")
	codeJobUnknown   = launcher.Code("DATAFLOW_LAUNCH")
	codeJobNameTaken = launcher.Code("JOB_NAME_TAKEN")
)

// statuses is the only table from code to HTTP status.
var statuses = map[launcher.Code]int{
	launcher.CodePipelineNotFound:     http.StatusNotFound,
	launcher.CodeRunNotFound:          http.StatusNotFound,
	launcher.CodeInvalidPipeline:      http.StatusUnprocessableEntity,
	launcher.CodeInvalidParameter:     http.StatusUnprocessableEntity,
	launcher.CodeRunEnded:             http.StatusConflict,
	launcher.CodeRunNotEnded:          http.StatusConflict,
	launcher.CodeRunCompleted:         http.StatusConflict,
	launcher.CodeAlreadyLanded:        http.StatusConflict,
	launcher.CodeNoLog:                http.StatusNotFound,
	launcher.CodeNotConfigured:        http.StatusBadRequest,
	launcher.CodeInternal:             http.StatusInternalServerError,
	codeNotFound:                      http.StatusNotFound,
	codeMethodNotAllowed:              http.StatusMethodNotAllowed,
	codeInvalidAPIKey:                 http.StatusUnauthorized,
	codeAPIKeyExpired:                 http.StatusUnauthorized,
	launcher.CodeForbidden:            http.StatusForbidden,
	launcher.CodeDailyQuota:           http.StatusTooManyRequests,
	launcher.CodeMonthlyQuota:         http.StatusTooManyRequests,
	launcher.CodeConcurrentLimit:      http.StatusTooManyRequests,
	launcher.CodeIdempotencyConflict:  http.StatusConflict,
	codeOrgMismatch:                   http.StatusForbidden,
	codeOrgInactive:                   http.StatusForbidden,
	launcher.CodeSubscriptionInactive: http.StatusForbidden,
	codeInvalidPath:                   http.StatusBadRequest,
	codeInvalidPayload:                http.StatusUnprocessableEntity,
	codeInvalidRequest:                http.StatusBadRequest,
	codePayloadTooLarge:               http.StatusRequestEntityTooLarge,
	codeInvalidHeaders:                http.StatusBadRequest,
	codeUnsupportedMedia:              http.StatusUnsupportedMediaType,
	codeRequestTimeout:                http.StatusRequestTimeout,
	codeRateLimited:                   http.StatusTooManyRequests,
	codeDecrypt:                       http.StatusConflict,
	codeExists:                        http.StatusConflict,
	launcher.CodeUnavailable:          http.StatusServiceUnavailable,
	codeJobRefused:                    http.StatusBadGateway,
	codeJobUnknown:                    http.StatusServiceUnavailable,
	codeJobNameTaken:                  http.StatusConflict,
}

// Problem is an RFC 9457 answer. It holds neither internals nor secrets.
type Problem struct {
	Type      string        `json:"type" doc:"always about:blank; the code tells kinds apart"`
	Title     string        `json:"title" doc:"the status in words"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail" doc:"what was wrong with this request"`
	Instance  string        `json:"instance,omitempty" doc:"path of the request"`
	Code      launcher.Code `json:"code" doc:"machine-readable kind"`
	RequestID string        `json:"request_id,omitempty"`
	Errors    []FieldError  `json:"errors,omitempty"`

	retry     time.Duration // when to try again; 0 = the answer does not say
	challenge string        // scheme of a WWW-Authenticate header
}

// FieldError is one thing wrong with a request or a document.
type FieldError struct {
	Loc string `json:"loc"`
	Msg string `json:"msg"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma's content type override.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(p.retry)))
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	return h
}

func newProblem(status int, code launcher.Code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// coded makes a Problem of a code, by the table.
func coded(code launcher.Code, detail string) *Problem {
	status, ok := statuses[code]
	if !ok {
		status = http.StatusInternalServerError
	}
	return newProblem(status, code, detail)
}

// problemOf turns an error of the launcher into an answer; an error without a code is
// ours, and its text stays in the log.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var e *launcher.Error
	if !errors.As(err, &e) {
		return coded(launcher.CodeInternal, "the service could not do this; the request id finds the reason in its log")
	}
	p = coded(e.Code, e.Message)
	p.retry = e.RetryAfter
	for _, line := range e.Problems {
		p.Errors = append(p.Errors, FieldError{Loc: "document", Msg: line})
	}
	return p
}

// problem turns an error into an answer, and logs what the answer must not say.
func (s *service) problem(ctx context.Context, what string, err error) *Problem {
	p := problemOf(err)
	level := slog.LevelInfo
	if p.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	s.cfg.Log.Log(ctx, level, what, "org", principal(ctx).Org, "code", p.Code, "error", err, "request_id", requestIDOf(ctx))
	return p
}

// completeProblem adds what only the request knows to a Problem that a handler returned.
func completeProblem(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		u, x := ctx.URL(), exchangeOf(ctx.Context())
		p.Instance, p.RequestID = u.Path, x.id
		x.code, x.detail = p.Code, p.Detail
	}
	return v, nil
}

// humaProblem gives huma's own errors the same shape.
func humaProblem(status int, message string, errs ...error) huma.StatusError {
	p := newProblem(status, codeOfStatus(status), message)
	for _, err := range errs {
		var detail *huma.ErrorDetail
		if errors.As(err, &detail) {
			p.Errors = append(p.Errors, FieldError{Loc: detail.Location, Msg: detail.Message})
		} else if err != nil {
			p.Errors = append(p.Errors, FieldError{Loc: "body", Msg: err.Error()})
		}
	}
	return p
}

func codeOfStatus(status int) launcher.Code {
	switch status {
	case http.StatusUnprocessableEntity:
		return codeInvalidPayload
	case http.StatusRequestEntityTooLarge:
		return codePayloadTooLarge
	case http.StatusNotFound:
		return codeNotFound
	case http.StatusUnsupportedMediaType:
		return codeUnsupportedMedia
	case http.StatusRequestTimeout:
		return codeRequestTimeout
	case http.StatusInternalServerError:
		return launcher.CodeInternal
	default:
		return codeInvalidRequest
	}
}

// writeProblem answers a request that reaches no handler.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	x := exchangeOf(r.Context())
	p.Instance, p.RequestID = r.URL.Path, x.id
	x.code, x.detail = p.Code, p.Detail
	h := w.Header()
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(p.retry)))
	}
	if p.challenge != "" {
		h[canonicalChallenge] = []string{p.challenge}
	}
	h["Content-Type"] = problemType
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.text())
}

// text is the problem as JSON. It is written by hand, because refusing a call must cost
// less than answering it.
func (p *Problem) text() []byte {
	const usual = 512
	b := append(make([]byte, 0, usual), `{"type":`...)
	quote := func(s string) {
		if quoted, err := jsontext.AppendQuote(b, s); err == nil {
			b = quoted
			return
		}
		b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "?")) // a path may hold any bytes
	}
	member := func(name, value string) {
		b = append(append(b, `,"`...), name...)
		b = append(b, `":`...)
		quote(value)
	}
	quote(p.Type)
	member("title", p.Title)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	member("detail", p.Detail)
	if p.Instance != "" {
		member("instance", p.Instance)
	}
	member("code", string(p.Code))
	if p.RequestID != "" {
		member("request_id", p.RequestID)
	}
	if len(p.Errors) > 0 {
		if errs, err := json.Marshal(p.Errors); err == nil { // plain texts
			b = append(append(b, `,"errors":`...), errs...)
		}
	}
	return append(b, "}\n"...)
}

var canonicalChallenge = http.CanonicalHeaderKey("WWW-Authenticate")

var problemType = []string{"application/problem+json"}
