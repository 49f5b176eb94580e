package lab

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Gate is what requests pass on their way to a server. The zero value is open.
type Gate struct {
	mu      sync.Mutex
	shut    chan struct{} // nil: open; closed when it opens
	pass    int           // requests that may pass the shut gate
	waiting chan struct{} // closed when the first request waits at the shut gate
}

// Hold shuts the gate behind a number of requests: others wait there until Release.
func (g *Gate) Hold(pass int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.waiting, g.pass = make(chan struct{}), make(chan struct{}), pass
}

// Release opens the gate.
func (g *Gate) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// Held waits until a request waits at the gate, which Hold has shut.
func (g *Gate) Held(t testing.TB) {
	t.Helper()
	g.mu.Lock()
	waiting := g.waiting
	g.mu.Unlock()
	select {
	case <-waiting:
	case <-time.After(Patience):
		t.Fatal("no request came to the provider")
	}
}

// Pass waits until the gate is open, or ctx has ended, and reports whether it is.
func (g *Gate) Pass(ctx context.Context) bool {
	g.mu.Lock()
	shut := g.shut
	if shut != nil && g.pass > 0 {
		g.pass--
		shut = nil
	}
	if shut != nil {
		select {
		case <-g.waiting:
		default:
			close(g.waiting)
		}
	}
	g.mu.Unlock()
	if shut == nil {
		return true
	}
	select {
	case <-shut:
		return true
	case <-ctx.Done():
		return false
	}
}

// Upstream is a provider behind a gate; it knows who has asked.
type Upstream struct {
	Gate
	API http.Handler

	keys sync.Map // key -> struct{}{}
}

// Saw reports whether a request has carried the key.
func (u *Upstream) Saw(key string) bool {
	_, seen := u.keys.Load(key)
	return seen
}

// ServeHTTP implements http.Handler.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.keys.Store(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), struct{}{})
	if u.Pass(r.Context()) {
		u.API.ServeHTTP(w, r)
	}
}
