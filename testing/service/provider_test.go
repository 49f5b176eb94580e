package service

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/cloudact/convergence/testing/lab"
)

const pageRows = 5 // of a day; there is one page

// provider is an API whose days have a few rows each.
type provider struct {
	lab.Gate

	mu    sync.Mutex
	asked map[string]int
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
	if !p.Pass(r.Context()) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var records []string
	for i := range pageRows {
		records = append(records, fmt.Sprintf(`{"usage_date":%q,"service":"s%03d","units":"%d.5"}`, day, i, i))
	}
	_, _ = fmt.Fprintf(w, `{"data":[%s],"meta":{"next_cursor":null}}`, strings.Join(records, ",")) // a caller that was killed needs no answer
}
