package api

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Audit keeps what callers did and what they were denied. Record must not block for long
// and must not fail: a request has been answered by then.
type Audit interface {
	Record(ctx context.Context, e AuditEntry)
}

// AuditEntry is one mutating call or one denial. It never holds a key.
type AuditEntry struct {
	Org          string // of the key; "" when nobody was identified
	UserID       string // as the caller says
	KeyID        string // "root" for the root key
	Action       string // CREATE, UPDATE, DELETE, EXECUTE, READ
	ResourceType string // PIPELINE, INTEGRATION, CREDENTIAL, ORG
	ResourceID   string
	Address      string
	UserAgent    string
	RequestID    string
	Status       string // SUCCESS, FAILURE, DENIED
	Error        string
	Method, Path string
	HTTPStatus   int
	Time         time.Time
}

// Outcomes and actions of the audit log.
const (
	auditSuccess = "SUCCESS"
	auditFailure = "FAILURE"
	auditDenied  = "DENIED"

	actionCreate  = "CREATE"
	actionRead    = "READ"
	actionUpdate  = "UPDATE"
	actionDelete  = "DELETE"
	actionExecute = "EXECUTE"

	resourcePipeline    = "PIPELINE"
	resourceIntegration = "INTEGRATION"
	resourceOrg         = "ORG"
)

const maxAuditText = 500

// audit records mutating calls and denials.
func (s *service) audit(x *exchange, r *http.Request) {
	denied := x.status == http.StatusUnauthorized || x.status == http.StatusForbidden
	mutating := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
	if s.cfg.Audit == nil || x.route == nil || x.route.key == keyNone || !denied && !mutating {
		return
	}
	e := AuditEntry{
		Org: x.principal.Org, KeyID: x.principal.KeyID, UserID: clip(first(r.Header[canonicalUser])),
		Action: x.route.action, ResourceType: x.route.resource, ResourceID: x.resource,
		Address: x.address, UserAgent: clip(r.UserAgent()), RequestID: x.id, Status: auditSuccess,
		Method: r.Method, Path: x.route.path, HTTPStatus: x.status, Time: s.cfg.Now().UTC(),
	}
	if x.root {
		e.KeyID = "root"
	}
	switch {
	case denied:
		e.Status = auditDenied
	case x.status >= http.StatusBadRequest:
		e.Status = auditFailure
	}
	if e.Status != auditSuccess {
		e.Error = clip(string(x.code) + ": " + x.detail)
	}
	s.cfg.Audit.Record(context.WithoutCancel(r.Context()), e)
}

// first is the first value of a header, "" without one.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// resourceID names what was touched by the parts of its path, without the organisation.
// Parts that nothing has matched yet are left out.
func resourceID(r *http.Request, route *route) string {
	var parts []string
	for _, name := range route.params {
		if value := r.PathValue(name); name != "org" && pathPatterns[name].MatchString(value) {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, "/")
}

// clip keeps what a caller wrote short and free of control characters.
func clip(s string) string {
	if len(s) <= maxAuditText && !hasControl(s) && utf8.ValidString(s) {
		return s
	}
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxAuditText {
		s = strings.ToValidUTF8(s[:maxAuditText], "")
	}
	return s
}
