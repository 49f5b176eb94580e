package model

import "math/rand/v2"

// fault is a kind of misfortune. Each has a budget per seed: with all of it spent, every
// run must end.
type fault int

const (
	crash   fault = iota // the process is gone before, after or while a request is under way
	nap                  // the process stands still right before a request takes effect
	lost                 // the answer is lost; the request was not done, done, or will be
	fail                 // a job fails
	abort                // a publish loses a serialisation conflict
	expire               // a staging table goes
	restate              // the provider changes what it says of a slice
	faults
)

// misfortune is what may still go wrong, and how likely it is each time it could.
type misfortune struct {
	rng  *rand.Rand
	left [faults]int
	rate [faults]int // per thousand
}

func newMisfortune(rng *rand.Rand) misfortune {
	m := misfortune{rng: rng}
	// Rates differ by an order of magnitude between seeds: what goes wrong once in a long
	// run and what goes wrong all the time find different mistakes.
	set := func(f fault, most, rate int) { m.left[f], m.rate[f] = rng.IntN(most+1), 1+rng.IntN(rate) }
	set(crash, 8, 40)
	set(nap, 6, 40)
	set(lost, 12, 60)
	set(fail, 9, 800)
	set(abort, 8, 800)
	set(expire, 2, 100)
	set(restate, 5, 700)
	return m
}

func (m *misfortune) strikes(f fault) bool {
	if m.left[f] == 0 || m.rng.IntN(1000) >= m.rate[f] {
		return false
	}
	m.left[f]--
	return true
}
