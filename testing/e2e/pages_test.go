package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudact/convergence/testing/lab"
)

// api is a provider with a cursor, which counts how often each page is asked for. Each day
// has the same records but for its date.
type api struct {
	pages, rows int           // of a day, and of a page
	bad         int           // records of the first page of a day that no column takes
	pause       time.Duration // before an answer
	mu          sync.Mutex
	asked       asked
}

// asked counts requests: day -> page -> times.
type asked map[string]map[int]int

// pages are the requests, repetitions included.
func (a asked) pages() (n int) {
	for _, pages := range a {
		for _, times := range pages {
			n += times
		}
	}
	return n
}

const padding = "a record of this provider is about three hundred bytes long, most of which nobody reads: " +
	"labels, links, addresses, times in several zones, and what else a service writes down because it can, for everybody to keep"

// ServeHTTP answers one page.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	day, cursor := r.URL.Query().Get("day"), r.URL.Query().Get("cursor")
	page, _ := strconv.Atoi(cursor) // the first has none
	a.mu.Lock()
	if a.asked == nil {
		a.asked = asked{}
	}
	if a.asked[day] == nil {
		a.asked[day] = map[int]int{}
	}
	a.asked[day][page]++
	bad := a.bad
	a.mu.Unlock()
	time.Sleep(a.pause)
	var b strings.Builder
	b.WriteString(`{"data":[`)
	for i := range a.rows {
		if i > 0 {
			b.WriteByte(',')
		}
		id := page*a.rows + i
		units := strconv.Itoa(id) + ".5"
		if page == 0 && i < bad {
			units = "many"
		}
		fmt.Fprintf(&b, `{"usage_date":%q,"service":"s%07d","units":%q,"note":%q}`, day, id, units, padding)
	}
	next := "null"
	if page+1 < a.pages {
		next = strconv.Quote(strconv.Itoa(page + 1))
	}
	fmt.Fprintf(&b, `],"meta":{"next_cursor":%s}}`, next)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(b.String())) // a caller that was killed needs no answer
}

// again returns how many pages of each day were asked for more than once, repetitions
// added up.
func (a *api) again() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]int{}
	for day, pages := range a.asked {
		for _, n := range pages {
			out[day] += n - 1
		}
	}
	return out
}

// forget begins to count anew, and returns what was counted.
func (a *api) forget() asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.asked
	a.asked = nil
	return before
}

// want is what a table holds once all records of so many days are in it: rows, different
// rows, and the sum of their units.
func (a *api) want(days int) string {
	n := a.pages * a.rows
	good := n - a.bad
	halves := 0 // twice the units of a day
	for id := a.bad; id < n; id++ {
		halves += 2*id + 1
	}
	return fmt.Sprintf("%d %d %d", days*good, days*good, days*halves)
}

// pagesAsked returns how many pages were asked for, repetitions included.
func (a *api) pagesAsked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked.pages()
}

// settled is pagesAsked once no request is on its way any more: one that a process sent
// before it was stopped arrives after it.
func (a *api) settled() int {
	n := a.pagesAsked()
	for quiet := 0; quiet < 20; quiet++ {
		time.Sleep(lab.Glance)
		if now := a.pagesAsked(); now != n {
			n, quiet = now, 0
		}
	}
	return n
}

// mend makes every record one that lands.
func (a *api) mend() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bad = 0
}
