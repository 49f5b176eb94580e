package service

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

const pageRows = 5 // of a day; there is one page

// provider is an API whose days have a few rows each. A test can make callers wait.
type provider struct {
	mu    sync.Mutex
	gate  chan struct{} // nil: open
	asked map[string]int
}

// hold lets callers wait until release.
func (p *provider) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

func (p *provider) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate != nil {
		close(p.gate)
		p.gate = nil
	}
}

// wait waits until the gate is open or the caller has gone.
func (p *provider) wait(ctx context.Context) {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-ctx.Done():
	}
}

// times returns how often a day was asked for.
func (p *provider) times(day string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[day]
}

// ServeHTTP implements http.Handler.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	day := r.URL.Query().Get("day")
	p.mu.Lock()
	if p.asked == nil {
		p.asked = map[string]int{}
	}
	p.asked[day]++
	p.mu.Unlock()
	p.wait(r.Context())
	w.Header().Set("Content-Type", "application/json")
	var records []string
	for i := range pageRows {
		records = append(records, fmt.Sprintf(`{"usage_date":%q,"service":"s%03d","units":"%d.5"}`, day, i, i))
	}
	_, _ = fmt.Fprintf(w, `{"data":[%s],"meta":{"next_cursor":null}}`, strings.Join(records, ",")) // a caller that was killed needs no answer
}
