package service

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"

	"github.com/cloudact/convergence/testing/faults"
)

// Operations of a service on its warehouse, in the order of a run's life. The others have
// the names of package faults.
const (
	keep       = "idem"       // an Idempotency-Key is kept
	admit      = "admit"      // a run is admitted: it counts for its organisation
	equal      = "equal"      // it becomes the only active one of its equals
	submit     = "submit"     // it is recorded as PENDING
	occupy     = "slot"       // it gets a slot
	claim      = "claim"      // a launcher claims the run or a slice
	claimed    = "claimed"    // that becomes an event
	open       = "generation" // a generation is opened
	opened     = "opened"     // that becomes an event
	running    = "running"    // the run is recorded as RUNNING
	stepped    = "step"       // how a step ended is recorded
	end        = "end"        // how the run ended is recorded
	giveBack   = "release"    // what it held is given back
	tell       = "notify"     // whoever tells of its end is chosen
	settled    = "settled"    // that all this was done is recorded
	unclaimed  = "unclaimed"  // its claims are given up
	beat       = "beat"       // a process lives
	otherEvent = "event"
)

var (
	labelled = regexp.MustCompile(`"value":\s*"([^"]*)"`)
	kindOf   = regexp.MustCompile(`"kind":\s*(?:\{\s*"value":\s*)?"(\w+)"`)
	stateOf  = regexp.MustCompile(`"state":\s*(?:\{\s*"value":\s*)?"(\w*)"`)
	entry    = regexp.MustCompile(`^([abswefcx])-[0-9a-f]{32}-\d{8}$`)
	idemUse  = regexp.MustCompile(`^[0-9a-f]{24}-[0-9a-f]{32}$`)
	equalUse = regexp.MustCompile(`^e-[0-9a-f]{8}-[0-9a-f-]{27}$`)
	runID    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	labels   = regexp.MustCompile(`(?s)"labels":\s*\{[^}]*\}`)
)

// nameService tells the calls of a service apart by what they enter into the register and
// into the events.
func nameService(r *http.Request, body []byte) (string, bool) {
	op, mutates := faults.Warehouse(r, body)
	switch op {
	case faults.Register:
		return nameEntry(body), true
	case faults.EventsAppend, faults.EventsStream:
		return nameEvents(body), true
	}
	return op, mutates
}

func nameEntry(body []byte) string {
	m := labelled.FindSubmatch(labels.Find(body))
	if m == nil {
		return faults.Register
	}
	value := string(m[1])
	if e := entry.FindStringSubmatch(value); e != nil {
		return map[string]string{"a": admit, "b": admit, "s": occupy}[e[1]] + map[string]string{"w": giveBack, "e": giveBack, "f": giveBack, "c": giveBack, "x": giveBack}[e[1]]
	}
	switch {
	case value == "":
		return tell
	case idemUse.MatchString(value):
		return keep
	case equalUse.MatchString(value):
		return equal
	case runID.MatchString(value):
		return claim
	}
	return open
}

// nameEvents is the name of the last event that has one. Several callers' events may be
// sent together; a heartbeat among others names nothing.
func nameEvents(body []byte) string {
	kinds, states := kindOf.FindAllSubmatch(body, -1), stateOf.FindAllSubmatch(body, -1)
	name := otherEvent
	for i, k := range kinds {
		state := ""
		if i < len(states) {
			state = string(states[i][1])
		}
		switch string(k[1]) {
		case "run":
			switch state {
			case "PENDING":
				name = submit
			case "RUNNING":
				name = running
			default:
				name = end
			}
		case "claim":
			name = claimed
		case "release":
			name = unclaimed
		case "generation":
			name = opened
		case "step":
			if name != end {
				name = stepped
			}
		case "settled":
			name = settled
		case "beat":
			if name == otherEvent {
				name = beat
			}
		}
	}
	return name
}

// front puts a plan before a warehouse.
func front(upstream string, plan *faults.Plan) (http.Handler, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	return plan.Wrap(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // answers name the host that was asked
		},
		ErrorLog:     log.New(io.Discard, "", 0), // callers that were killed leave broken connections
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}, nameService), nil
}
