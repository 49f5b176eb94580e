package model

import (
	"math/rand/v2"
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

// options of one play. Spared kinds of misfortune do not strike.
type options struct {
	flaws   Flaw
	spared  [faults]bool
	tracing bool
}

func play(seed uint64, o options) *world {
	rng := rand.New(rand.NewPCG(seed, 0xc0ffee))
	w := &world{rng: rng, flaws: o.flaws, plan: newScenario(seed, rng), luck: newMisfortune(rng), tracing: o.tracing, runs: map[string]*run{}}
	for f, spared := range o.spared {
		if spared {
			w.luck.left[f] = 0
		}
	}
	w.provider = newProvider(w.plan)
	w.warehouse = newWarehouse(w)
	w.register = &register{w: w, names: map[string]holder{}}
	w.audit = newAudit(w)
	defer w.stopAll()
	for i, queue := range w.plan.owners {
		(&owner{w: w, id: i, queue: queue}).boot(0, false)
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
