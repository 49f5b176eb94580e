package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Action is what happens at a point. It returns true if it has answered the caller; a
// call that was answered before is never made.
type Action func(ctx context.Context, w http.ResponseWriter) (answered bool)

// Fail answers with a status and a reason, as the BigQuery API writes errors.
func Fail(status int, reason string) Action {
	return func(_ context.Context, w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":"injected fault","errors":[{"reason":%q,"domain":"global","message":"injected fault"}]}}`, status, reason)
		return true
	}
}

// Cut closes the connection without an answer.
func Cut() Action {
	return func(context.Context, http.ResponseWriter) bool { panic(http.ErrAbortHandler) }
}

// Kill runs a hook that ends the caller, and closes its connection: the call is not made
// any more.
func Kill(hook func()) Action {
	return func(context.Context, http.ResponseWriter) bool {
		hook()
		panic(http.ErrAbortHandler)
	}
}

// Hook runs a function and goes on.
func Hook(hook func()) Action {
	return func(context.Context, http.ResponseWriter) bool {
		hook()
		return false
	}
}

// Slow waits and goes on, unless the caller gives up.
func Slow(d time.Duration) Action {
	return func(ctx context.Context, _ http.ResponseWriter) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return false
	}
}

// Gate holds calls until it is opened. Make one with NewGate.
type Gate struct {
	arrived, open chan struct{}
	first, once   sync.Once
}

// NewGate returns a shut gate.
func NewGate() *Gate { return &Gate{arrived: make(chan struct{}), open: make(chan struct{})} }

// Pause is the gate as an action.
func (g *Gate) Pause() Action {
	return func(ctx context.Context, _ http.ResponseWriter) bool {
		g.first.Do(func() { close(g.arrived) })
		select {
		case <-g.open:
		case <-ctx.Done():
		}
		return false
	}
}

// Arrived is closed once a call waits at the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Open lets everything through, from now on.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }
