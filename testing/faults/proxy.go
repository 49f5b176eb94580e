package faults

import (
	"bytes"
	"context"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
)

const maxBody = 64 << 20 // more than any request of the programs under test

// Wrap puts the plan in front of a handler. The caller's request is read whole before its
// point is reached, so that what dies or fails there has nothing under way.
func (p *Plan) Wrap(next http.Handler, name Namer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "read request: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		op, mutates := name(r, body)
		before, after := p.arrive(op, mutates, r, body)
		for _, act := range before {
			if act(r.Context(), w) {
				return
			}
		}
		p.begin()
		defer p.end()
		// A caller that dies or gives up meanwhile must not undo the call.
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		if len(after) == 0 {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		answer := &recorder{header: http.Header{}, status: http.StatusOK}
		next.ServeHTTP(answer, r.WithContext(ctx))
		for _, act := range after {
			if act(r.Context(), w) {
				return
			}
		}
		answer.copyTo(w)
	})
}

// Proxy puts the plan in front of a BigQuery server.
func (p *Plan) Proxy(upstream string) (http.Handler, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // answers name the host that was asked
		},
		ErrorLog: log.New(io.Discard, "", 0), // callers that were killed leave broken connections
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
	}
	return p.Wrap(proxy, Warehouse), nil
}

// recorder keeps an answer until it is known whether the caller gets it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *recorder) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *recorder) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *recorder) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *recorder) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // a caller that is gone needs no answer
}
