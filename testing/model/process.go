package model

import "iter"

// process is one process of an owner: a coroutine that the world resumes. It is
// interrupted at every request it makes, and nowhere else.
type process struct {
	w     *world
	name  string
	host  int
	calm  bool // spared from misfortune
	yield func(struct{}) bool
	next  func() (struct{}, bool)
	stop  func()

	ended, dead bool
	asleep      int // until this step
	lastBeat    int // step of its last heartbeat, if dead or asleep
	waitsFor    *run
}

// killed unwinds a process.
type killed struct{}

func (w *world) spawn(p *process, body func()) {
	p.w = w
	p.next, p.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(killed); !ok {
					panic(r)
				}
			}
		}()
		p.yield = yield
		body()
	})
	w.processes = append(w.processes, p)
}

func (p *process) pause() {
	if !p.yield(struct{}{}) {
		panic(killed{})
	}
}

func (p *process) sleep(until int) {
	p.lastBeat, p.asleep = p.w.now, until
	p.pause()
}

func (p *process) die() {
	p.dead, p.lastBeat = true, p.w.now
	panic(killed{})
}

func (p *process) awake() bool { return !p.ended && p.asleep <= p.w.now }

// stale reports whether others hear no heartbeat of p any more. A process that was
// paused is as silent as a dead one: whoever takes over must expect it to wake.
func (p *process) stale() bool {
	return (p.dead || !p.awake() && !p.ended) && p.w.now-p.lastBeat > heartbeatPatience
}

// call makes one request. It may not be done, be done without an answer, be done long
// after the caller gave up or died, or be done by a process that was paused on the way.
func call[T any](p *process, do func() T) (answer T, answered bool) {
	p.pause()
	w := p.w
	if p.calm {
		return do(), true
	}
	switch {
	case w.luck.strikes(crash):
		w.log(p.name, "dies")
		w.reach(do2(do))
		p.die()
	case w.luck.strikes(nap):
		w.stats.Naps++
		w.log(p.name, "is paused")
		p.sleep(w.now + 40 + w.rng.IntN(700))
		w.log(p.name, "wakes")
	case w.luck.strikes(lost):
		w.stats.Lost++
		w.log(p.name, "loses an answer")
		w.reach(do2(do))
		return answer, false
	}
	return do(), true
}

func do2[T any](do func() T) func() { return func() { do() } }

// reach is what becomes of a request that nobody waits for.
func (w *world) reach(do func()) {
	switch w.rng.IntN(3) {
	case 0:
	case 1:
		do()
	case 2:
		w.network = append(w.network, do)
	}
}

// sure repeats a request until it is answered. Every request names what it makes, so
// that a repetition finds what an earlier one did.
func sure[T any](p *process, do func() T) T {
	for {
		if v, ok := call(p, do); ok {
			return v
		}
	}
}
