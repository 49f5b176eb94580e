package faults

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// Rule says what happens at a point. Op "" is any call at all, reads included, and
// Mutating any that mutates. Nth counts
// from the moment that the rule was set; 0 is every time. First is only the first attempt at each
// call: what the caller sends again is let through.
type Rule struct {
	Op    string
	When  When
	Nth   int
	First bool
	Do    Action
}

// Plan is what is to happen, shared by the handlers of everything that one program talks
// to. The zero value lets everything through. It is safe for concurrent use.
type Plan struct {
	mu      sync.Mutex
	rules   []*planned
	calls   map[string]int // by operation
	total   int
	unnamed []string
	under   int           // calls that are under way
	quiet   chan struct{} // closed when none is; nil: nobody waits
}

type planned struct {
	Rule
	seen  int             // calls that the rule is about
	known map[string]bool // those of which an attempt was made
	hits  int
}

// Set replaces all rules, and their counts begin at zero.
func (p *Plan) Set(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
	for _, r := range rules {
		p.rules = append(p.rules, &planned{Rule: r, known: map[string]bool{}})
	}
}

// Hit reports whether every rule has been met at least once; true if there is none.
func (p *Plan) Hit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		if r.hits == 0 {
			return false
		}
	}
	return true
}

// Calls returns how many calls of each operation were made.
func (p *Plan) Calls() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.calls)
}

// Total returns how many calls were made, reads included.
func (p *Plan) Total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// Unnamed returns the mutating calls that the catalogue has no name for.
func (p *Plan) Unnamed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.unnamed...)
}

// Settle waits until no call is under way: what a program that was killed had asked for
// has then happened.
func (p *Plan) Settle() {
	p.mu.Lock()
	if p.under == 0 {
		p.mu.Unlock()
		return
	}
	if p.quiet == nil {
		p.quiet = make(chan struct{})
	}
	quiet := p.quiet
	p.mu.Unlock()
	<-quiet
}

func (p *Plan) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under++
}

func (p *Plan) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under--; p.under == 0 && p.quiet != nil {
		close(p.quiet)
		p.quiet = nil
	}
}

const quoted = 300 // bytes of an unnamed call's body that are told

// arrive counts a call and returns what happens on its two sides.
func (p *Plan) arrive(op string, mutates bool, r *http.Request, body []byte) (before, after []Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[op]++
	p.total++
	if op == "" && mutates {
		p.unnamed = append(p.unnamed, fmt.Sprintf("%s %s %.*q", r.Method, r.URL.Path, quoted, body))
	}
	for _, rule := range p.rules {
		if !rule.meets(op, mutates, r, body) {
			continue
		}
		if rule.When == After {
			after = append(after, rule.Do)
		} else {
			before = append(before, rule.Do)
		}
	}
	return before, after
}

// meets counts a call that the rule is about, and reports whether it is the one.
func (r *planned) meets(op string, mutates bool, request *http.Request, body []byte) bool {
	if r.Op == Mutating && !mutates || r.Op != "" && r.Op != Mutating && r.Op != op {
		return false
	}
	r.seen++
	if r.Nth != 0 && r.Nth != r.seen {
		return false
	}
	if key := identity(request, body); r.First && r.known[key] {
		return false
	} else if r.First {
		r.known[key] = true
	}
	r.hits++
	return true
}

// reference is the part of a job or a query that clients make up anew for each attempt.
var reference = regexp.MustCompile(`"jobId":\s*"[A-Za-z0-9]+"|"requestId":\s*"[^"]+"`)

// identity tells calls apart, but not the attempts at one. An upload is known by its job,
// because its boundary is made up.
func identity(r *http.Request, body []byte) string {
	if strings.HasPrefix(r.URL.Path, "/upload/") {
		return jobOf(r, body).Reference.ID
	}
	sum := sha256.Sum256(reference.ReplaceAll(body, nil))
	return fmt.Sprintf("%s %s %x", r.Method, r.URL.Path, sum)
}
