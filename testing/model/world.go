package model

import (
	"fmt"
	"math/rand/v2"
)

const (
	heartbeatPatience = 60
	maxSteps          = 60_000
)

// world is everything there is, and who moves next.
type world struct {
	rng       *rand.Rand
	flaws     Flaw
	plan      scenario
	luck      misfortune
	now       int
	processes []*process
	network   []func() // requests that arrive some time

	provider  *provider
	warehouse *warehouse
	register  *register
	runs      map[string]*run
	audit     *audit

	broken  error
	promise string // the format of broken: which promise it is
	tracing bool
	trace   []string
	stats   Stats
}

// Stats counts what happened, so that a test can tell a model that saw no trouble from
// one that survived it.
type Stats struct {
	Steps, Runs, Crashes, Naps, Lost, Takeovers  int
	Published, Attached, Fenced, Superseded      int
	Adopted, Again, Generations, Landed, Aborted int
	Cancelled                                    int
	// Why generations had to be left behind.
	StageLost, Refused, Reconfigured, Exhausted, Aged int
}

func (s *Stats) add(o Stats) {
	s.Steps += o.Steps
	s.Runs += o.Runs
	s.Crashes += o.Crashes
	s.Naps += o.Naps
	s.Lost += o.Lost
	s.Takeovers += o.Takeovers
	s.Published += o.Published
	s.Attached += o.Attached
	s.Fenced += o.Fenced
	s.Superseded += o.Superseded
	s.Adopted += o.Adopted
	s.Again += o.Again
	s.Generations += o.Generations
	s.Landed += o.Landed
	s.Aborted += o.Aborted
	s.Cancelled += o.Cancelled
	s.StageLost += o.StageLost
	s.Refused += o.Refused
	s.Reconfigured += o.Reconfigured
	s.Exhausted += o.Exhausted
	s.Aged += o.Aged
}

func (w *world) log(actor, format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%6d  %-6s %s", w.now, actor, fmt.Sprintf(format, args...)))
	}
}

// breaks records the first promise that does not hold.
func (w *world) breaks(format string, args ...any) {
	if w.broken == nil {
		w.broken, w.promise = fmt.Errorf(format, args...), format
		w.log("MODEL", "%s", w.broken)
	}
}

// play lets everything happen that can until nothing is left or a promise is broken.
func (w *world) play() {
	for w.broken == nil && w.step() {
		if w.now >= maxSteps {
			w.breaks("a run does not end: %s", w.undone())
		}
	}
}

// step lets one thing happen: a request, a job, a late arrival, or a change outside.
func (w *world) step() bool {
	awake, alive := w.awake()
	jobs := w.warehouse.undone
	if !alive && len(jobs) == 0 && len(w.network) == 0 {
		return false
	}
	w.now++
	switch roll := w.rng.IntN(100); {
	case roll < 2:
		w.outside()
	case roll < 5 && len(w.network) > 0:
		i := w.rng.IntN(len(w.network))
		do := w.network[i]
		w.network = append(w.network[:i:i], w.network[i+1:]...)
		w.log("late", "a request arrives")
		do()
	case roll < 5+w.plan.jobShare && len(jobs) > 0:
		w.warehouse.advance(jobs[w.rng.IntN(len(jobs))])
	case len(awake) > 0:
		p := awake[w.rng.IntN(len(awake))]
		if _, more := p.next(); !more {
			p.ended = true
		}
	}
	return true
}

func (w *world) awake() (awake []*process, alive bool) {
	for _, p := range w.processes {
		if p.ended {
			continue
		}
		alive = true
		if p.awake() {
			awake = append(awake, p)
		}
	}
	return awake, alive
}

// outside changes what no owner controls.
func (w *world) outside() {
	if w.luck.strikes(restate) {
		slice := w.rng.IntN(w.plan.slices)
		w.provider.restate(slice, w.now)
		w.log("world", "slice %d is restated: edition %d", slice, w.provider.edition[slice])
	}
	if w.luck.strikes(expire) {
		w.warehouse.expireOne()
	}
}

func (w *world) undone() string {
	text := ""
	for _, p := range w.processes {
		if !p.ended {
			text += p.name + " "
		}
	}
	return fmt.Sprintf("processes %s, %d jobs", text, len(w.warehouse.undone))
}

// stopAll unwinds what is still suspended.
func (w *world) stopAll() {
	for _, p := range w.processes {
		p.stop()
	}
}
