package model

import (
	"math/rand/v2"
	"slices"
	"strconv"
)

// Result is what became of one seed.
type Result struct {
	Broken error // the first promise that did not hold; nil if all did
	Stats  Stats
}

// Run plays the schedule of a seed in a system with the given flaws.
func Run(seed uint64, flaws Flaw) Result {
	w := play(seed, options{flaws: flaws})
	return Result{w.broken, w.stats}
}

// options of one play. Cuts make less happen than the seed has drawn.
type options struct {
	flaws   Flaw
	cuts    [faults]int // so many misfortunes of a kind are taken back
	patient bool        // nobody cancels
	without int         // bits of requests that are not made
	tracing bool
}

func play(seed uint64, o options) *world {
	rng := rand.New(rand.NewPCG(seed, 0xc0ffee))
	w := &world{rng: rng, flaws: o.flaws, plan: newScenario(seed, rng), luck: newMisfortune(rng), tracing: o.tracing, runs: map[string]*run{}}
	for f, n := range o.cuts {
		w.luck.left[f] = max(0, w.luck.left[f]-n)
	}
	w.provider = newProvider(w.plan)
	w.warehouse = newWarehouse(w)
	w.register = &register{w: w, names: map[string]holder{}}
	w.audit = newAudit(w)
	defer w.stopAll()
	for i, queue := range w.plan.owners {
		queue = slices.DeleteFunc(queue, func(q *request) bool { return o.without&(1<<q.id) != 0 })
		(&owner{w: w, id: i, queue: queue}).boot(0, false)
	}
	if !o.patient {
		w.canceller()
	}
	w.play()
	w.last()
	if w.broken == nil {
		w.audit.quiet()
	}
	w.stats.Steps = w.now
	return w
}

// last lets one more request ask for everything, spared from crashes and losses: whatever
// state the others left behind, it must be able to finish.
func (w *world) last() {
	if w.broken != nil {
		return
	}
	o := &owner{w: w, id: len(w.plan.owners), queue: []*request{w.plan.last}}
	o.boot(w.now, true)
	w.play()
	if w.broken == nil && o.runs[len(o.runs)-1].state != completed {
		w.breaks("the last request cannot be completed: run %s failed", strconv.Quote(o.runs[len(o.runs)-1].id))
	}
}
