package api

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// exchange is one request and its answer, as middleware and handlers see them. It is the
// response writer, too, so that a request costs one allocation and one context value.
type exchange struct {
	http.ResponseWriter
	id        string // request id
	address   string // of the client
	start     time.Time
	status    int
	route     *route             // nil until the router has found one
	resource  string             // what the path names, for the audit log
	url       *url.URL           // as the route matched it
	principal launcher.Principal // of an org key; zero for the root key
	root      bool               // the root key was shown
	code      launcher.Code      // of a problem that was answered
	detail    string
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a request; begin has put it there.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// principal returns who the request speaks for; the guard of the route has found out.
func principal(ctx context.Context) launcher.Principal { return exchangeOf(ctx).principal }

func requestIDOf(ctx context.Context) string { return exchangeOf(ctx).id }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b) //nolint:wrapcheck // it is a writer
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID answers with the caller's request id if it is a plain one, else a new one. It
// names a request in logs and is no secret.
func requestID(h http.Header) string {
	if ids := h[canonicalRequestID]; len(ids) > 0 && validRequestID.MatchString(ids[0]) {
		return ids[0]
	}
	var b [16]byte
	for i := 0; i < len(b); i += 8 {
		n := rand.Uint64()
		for j := range 8 {
			b[i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:])
}
