package model

import "strconv"

const (
	attempts    = 3
	generations = 12 // that one attempt opens for one unit before it gives up
)

type runState int

const (
	running runState = iota
	completed
	failedRun
)

// run is one attempt of one process at one request.
type run struct {
	id    string
	p     *process
	q     *request
	state runState
}

// owner works through its requests, and is started again when it dies.
type owner struct {
	w     *world
	id    int
	boots int
	queue []*request
	runs  []*run
}

// boot starts a process of the owner. The process it replaces is gone for good: its runs
// are recorded as lost, which releases their claims, and their requests are made again.
func (o *owner) boot(after int, calm bool) {
	o.boots++
	p := &process{name: "o" + strconv.Itoa(o.id) + "." + strconv.Itoa(o.boots), host: o.id % 2, calm: calm, asleep: after, lastBeat: o.w.now}
	o.w.spawn(p, func() {
		defer func() {
			if p.dead {
				o.w.stats.Crashes++
				if o.w.rng.IntN(3) == 0 {
					o.w.log(p.name, "does not come back")
					return
				}
				o.boot(o.w.now+10+o.w.rng.IntN(200), calm)
			}
		}()
		for _, r := range o.runs {
			if r.state == running {
				sure(p, func() bool { return o.w.end(r, failedRun) })
			}
		}
		for len(o.queue) > 0 {
			o.serve(p, o.queue[0])
			o.queue = o.queue[1:]
		}
	})
}

func (o *owner) serve(p *process, q *request) {
	if q.at > o.w.now {
		p.sleep(q.at)
	}
	if q.started == 0 {
		q.started = o.w.now
	}
	for range attempts {
		if q.cancelled {
			return
		}
		o.w.stats.Runs++
		r := &run{id: q.name() + "." + strconv.Itoa(o.id) + "." + strconv.Itoa(len(o.runs)+1), p: p, q: q}
		o.runs = append(o.runs, r)
		o.w.runs[r.id] = r
		o.w.log(p.name, "starts %s: slices %d to %d, config %d", r.id, q.from, q.to, q.config)
		if (&runner{w: o.w, p: p, q: q, run: r, epochs: map[string]int{}}).do() {
			return
		}
	}
}

// end records a terminal event. Terminal is final: a second one changes nothing.
func (w *world) end(r *run, s runState) bool {
	if r.state == running {
		r.state = s
		w.log(r.id, "%s", map[runState]string{completed: "COMPLETED", failedRun: "FAILED"}[s])
	}
	return true
}

// runner does one run.
type runner struct {
	w   *world
	p   *process
	q   *request
	run *run

	epochs map[string]int // of the claims it holds, by unit
}

// do claims the slices, states their units in ascending order and reports how it ended.
// One unit that cannot be published does not hold back the others.
func (r *runner) do() bool {
	units := r.w.plan.units(r.q, r.w.flaws)
	var held []unit
	for _, u := range r.claimOrder(units) {
		if r.claim(u) {
			held = append(held, u)
		}
	}
	good := true
	for _, u := range units {
		if contains(held, u) && !r.state(u) {
			good = false
		}
	}
	state := failedRun
	if good {
		state = completed
		r.w.audit.completed(r, units)
	}
	sure(r.p, func() bool { return r.w.end(r.run, state) })
	return good
}

func contains(held []unit, u unit) bool {
	for _, h := range held {
		if h.id == u.id {
			return true
		}
	}
	return false
}

// state states one unit: by resuming its open generation, by opening the next, or by
// finding it done.
func (r *runner) state(u unit) bool {
	leave := 0
	for range generations {
		g, v := r.open(u, leave)
		switch v {
		case delivered:
			return true
		case superseded:
			r.w.stats.Superseded++
			return false
		}
		switch r.attempt(u, g) {
		case delivered:
			r.w.audit.delivered(r, u)
			return true
		case superseded:
			r.w.stats.Superseded++
			r.w.audit.superseded(r, u, g)
			return false
		case hopeless:
			leave = g
		}
	}
	return false
}
