package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
)

const (
	headerKey       = "X-API-Key"
	headerUser      = "X-User-ID"
	headerRequestID = "X-Request-ID"
)

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID answers with the caller's request id if it is a plain one, else a new one.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(headerRequestID)
		if !validRequestID.MatchString(id) {
			id = uuid.NewString()
		}
		w.Header().Set(headerRequestID, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

type requestIDKey struct{}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// plainPaths refuses escapes: nothing that a path of ours may hold needs one, and the
// router would match them undecoded.
func plainPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.ContainsAny(r.URL.EscapedPath(), "%\\") {
			writeProblem(w, r, coded(codeInvalidPath, "the path holds an escape; organisations, providers, domains and pipelines are lower-case letters, digits, dashes and underscores"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func recoverer(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
					panic(v)
				}
				err := fmt.Errorf("panic: %v", v)
				log.Error("request panicked", "path", r.URL.Path, "request_id", requestIDOf(r.Context()), "error", err, "stack", string(debug.Stack()))
				writeProblem(w, r, problemOf(err))
			}()
			next.ServeHTTP(w, r)
		})
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func accessLog(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
			start := time.Now()
			next.ServeHTTP(sw, r)
			log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", sw.status,
				"duration_ms", time.Since(start).Milliseconds(), "request_id", requestIDOf(r.Context()))
		})
	}
}

type principalKey struct{}

// principal returns who the request speaks for; authenticate has put it there.
func principal(ctx context.Context) launcher.Principal {
	p, _ := ctx.Value(principalKey{}).(launcher.Principal)
	return p
}

// authenticate lets a request pass that carries an active key of an active org with a
// live subscription.
func (s *service) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, problem := s.identify(r)
		if problem != nil {
			if problem.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "ApiKey")
			}
			writeProblem(w, r, problem)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
	})
}

func (s *service) identify(r *http.Request) (launcher.Principal, *Problem) {
	key := r.Header.Get(headerKey)
	if key == "" {
		return launcher.Principal{}, coded(codeInvalidAPIKey, "the header "+headerKey+" is missing")
	}
	sum := sha256.Sum256([]byte(key))
	p, found, err := s.cfg.Keys.Lookup(r.Context(), hex.EncodeToString(sum[:]))
	now := s.cfg.Now()
	switch {
	case err != nil:
		s.cfg.Log.Error("look up API key", "error", err, "request_id", requestIDOf(r.Context()))
		return p, coded(launcher.CodeUnavailable, "keys cannot be checked at the moment; try again")
	case !found:
		return p, coded(codeInvalidAPIKey, "Invalid or inactive API key")
	case !p.KeyExpires.IsZero() && !now.Before(p.KeyExpires):
		return p, coded(codeAPIKeyExpired, "API key has expired")
	case p.OrgStatus != "ACTIVE":
		return p, coded(codeOrgInactive, "organisation "+p.Org+" is not active")
	case !p.Subscribed(now):
		return p, coded(codeSubscriptionInactive, "organisation "+p.Org+" has no active subscription or trial")
	default:
		return p, nil
	}
}
