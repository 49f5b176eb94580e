package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/cloudact/convergence/api/limit"
)

const (
	headerKey       = "X-API-Key"
	headerRootKey   = "X-CA-Root-Key"
	headerUser      = "X-User-ID"
	headerRequestID = "X-Request-ID"

	maxBody        = 1 << 20 // of a request
	maxHeaders     = 8192    // names and values together
	maxHeaderValue = 4096
)

// Names as net/http keeps them, so that no request has to spell them again.
var (
	canonicalKey       = http.CanonicalHeaderKey(headerKey)
	canonicalRootKey   = http.CanonicalHeaderKey(headerRootKey)
	canonicalUser      = http.CanonicalHeaderKey(headerUser)
	canonicalRequestID = http.CanonicalHeaderKey(headerRequestID)
)

// begin is the outermost layer: it opens the exchange, answers what can be answered before
// anybody is known, and closes the exchange whatever happened.
func (s *service) begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, start: time.Now(), id: requestID(r.Header), address: s.clientAddress(r)}
		h := w.Header()
		for _, header := range s.headers {
			h[header.name] = header.values
		}
		h[canonicalRequestID] = []string{x.id}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
					panic(v)
				}
				s.panicked(x, r, v)
			}
			s.finish(x, r)
		}()
		if problem := s.admit(r); problem != nil {
			writeProblem(x, r, problem)
			return
		}
		next.ServeHTTP(x, r)
	})
}

func (s *service) panicked(x *exchange, r *http.Request, v any) {
	err := fmt.Errorf("panic: %v", v)
	s.cfg.Log.Error("request panicked", "path", r.URL.Path, "request_id", x.id, "error", err, "stack", string(debug.Stack()))
	if x.status == 0 {
		writeProblem(x, r, problemOf(err))
	}
}

// finish logs and counts an exchange, and leaves its trace in the audit log.
func (s *service) finish(x *exchange, r *http.Request) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	took := time.Since(x.start)
	pattern := unmatched
	if x.route != nil {
		pattern = x.route.path
	}
	if s.cfg.Metrics != nil {
		s.cfg.Metrics.request(r.Method, pattern, x.status, took)
	}
	s.audit(x, r)
	if ctx := r.Context(); s.cfg.Log.Enabled(ctx, levelRequest) {
		s.cfg.Log.Log(ctx, levelRequest, "request", "method", r.Method, "path", r.URL.Path, "status_code", x.status,
			"duration_ms", took.Milliseconds(), "org_slug", x.principal.Org, "request_id", x.id, "code", x.code)
	}
}

type header struct {
	name   string
	values []string
}

// securityHeaders are on every answer, errors included.
func securityHeaders(production bool) []header {
	out := []header{
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"X-Frame-Options", []string{"DENY"}},
		{"Referrer-Policy", []string{"no-referrer"}},
		{"Cache-Control", []string{"no-store"}},
		{"Content-Security-Policy", []string{"default-src 'none'; frame-ancestors 'none'"}},
	}
	if production { // elsewhere there is no TLS to insist on
		out = append(out, header{"Strict-Transport-Security", []string{"max-age=31536000; includeSubDomains"}})
	}
	return out
}

// admit checks what needs no key: the shape of the request, and whether its address and
// the service as a whole have calls left.
func (s *service) admit(r *http.Request) *Problem {
	if problem := checkHeaders(r); problem != nil {
		return problem
	}
	if problem := cleanPath(r); problem != nil {
		return problem
	}
	if s.limits == nil || isProbe(r.URL.Path) {
		return nil
	}
	x := exchangeOf(r.Context())
	if a := s.limits.address.Take(x.address); !a.Allowed {
		return refusedBy(x, a, "this address")
	}
	if a := s.limits.global.Take(""); !a.Allowed {
		return refusedBy(x, a, "the service")
	}
	return nil
}

func isProbe(path string) bool {
	return path == "/" || path == "/health" || strings.HasPrefix(path, "/health/") || path == "/metrics"
}

func checkHeaders(r *http.Request) *Problem {
	total := 0
	for name, values := range r.Header {
		for _, v := range values {
			total += len(name) + len(v)
			if len(v) > maxHeaderValue || total > maxHeaders {
				return coded(codeInvalidHeaders, fmt.Sprintf("the headers are too large: at most %d bytes together, and %d for one value", maxHeaders, maxHeaderValue))
			}
		}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return coded(codeUnsupportedMedia, "bodies are taken as they are, not encoded as "+strconv.Quote(encoding))
	}
	if r.ContentLength > maxBody {
		return coded(codePayloadTooLarge, fmt.Sprintf("the body has %d bytes; at most %d are taken", r.ContentLength, maxBody))
	}
	return nil
}

// cleanPath unescapes every part of the path once, so that routes match what a part says
// and nothing that was hidden in an escape. What an escape may not hide is refused here;
// what a part must look like is checked by its route.
func cleanPath(r *http.Request) *Problem {
	escaped := r.URL.EscapedPath()
	if !strings.ContainsAny(escaped, "%\\") && !strings.Contains(escaped, "//") && !strings.Contains(escaped, "/.") {
		return nil
	}
	parts := strings.Split(escaped, "/")
	for i, part := range parts {
		plain, err := url.PathUnescape(part)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\%") || hasControl(plain) || plain == "" && i > 0 && i < len(parts)-1 {
			return coded(codeInvalidPath, "a part of the path is empty, a dot, or holds a slash, a percent sign or a control character")
		}
		parts[i] = plain
	}
	u := *r.URL
	u.Path, u.RawPath = strings.Join(parts, "/"), ""
	r.URL = &u
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// clientAddress is who a request is counted for: the peer, or what trusted proxies say. An
// IPv6 client has a whole /64 to call from.
func (s *service) clientAddress(r *http.Request) string {
	if s.cfg.TrustedProxies != nil {
		if ip := middleware.GetClientIPAddr(r.Context()); ip.IsValid() {
			return bucketAddress(ip)
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if strings.IndexByte(host, ':') < 0 {
		return host
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	return bucketAddress(ip)
}

func bucketAddress(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	const site = 64
	prefix, err := ip.Prefix(site)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

// limits are the buckets that requests take from.
type limits struct {
	address, global, org, run *limit.Limiter
}

// refusedBy is the answer to a call above a limit.
func refusedBy(x *exchange, a limit.Answer, whose string) *Problem {
	rateHeaders(x, a)
	p := coded(codeRateLimited, fmt.Sprintf("%s may make %d calls a minute here; try again in %d s", whose, a.Limit, seconds(a.Retry)))
	p.retry = a.Retry
	return p
}

// rateHeaders tells what is left; delays are in seconds.
func rateHeaders(x *exchange, a limit.Answer) {
	h := x.Header()
	h["X-Ratelimit-Limit"] = []string{strconv.Itoa(a.Limit)}
	h["X-Ratelimit-Remaining"] = []string{strconv.Itoa(a.Remaining)}
	h["X-Ratelimit-Reset"] = []string{strconv.Itoa(seconds(a.Reset))}
}

// seconds rounds a delay up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
