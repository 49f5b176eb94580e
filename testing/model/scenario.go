package model

import (
	"math/rand/v2"
	"strconv"
)

// Mode is a write mode.
type Mode int

// The write modes; AppendKeyed and below need key fields.
const (
	Append Mode = iota
	ReplacePartition
	Overwrite
	AppendKeyed
	InsertNew
	Merge
	modes
)

var modeNames = [modes]string{"append", "replace_partition", "overwrite", "append+key_fields", "insert_new", "merge"}

func (m Mode) String() string { return modeNames[m] }

// scenario is what a seed decides before anything happens.
type scenario struct {
	seed       uint64
	mode       Mode
	slices     int
	parts      int // of a slice
	resumable  bool
	refuses    bool // cursors of an edition that has been restated
	chunkPages int  // most pages of a chunk
	owners     [][]*request
	last       *request // made when all others have ended, spared from misfortune
	cancelAt   int      // step at which somebody cancels a run; 0 for never
	horizon    int      // steps that a generation may be older than another request that resumes it
	jobShare   int      // percent of steps in which a job moves, if there is one
}

// request asks for a range of slices. It stays the same over crashes and retries.
type request struct {
	id       int
	from, to int // slices, inclusive
	config   int
	narrow   bool // asks for the first partition of each slice only
	at       int  // step
	started  int  // step of its first run

	cancelled bool
}

func (r *request) name() string { return "q" + strconv.Itoa(r.id) }

func newScenario(seed uint64, rng *rand.Rand) scenario {
	s := scenario{
		seed: seed, mode: Mode(seed % uint64(modes)), slices: 1 + rng.IntN(4), parts: 1 + rng.IntN(3),
		resumable: rng.IntN(3) > 0, refuses: rng.IntN(2) == 0, chunkPages: 1 + rng.IntN(2),
		horizon:  []int{80, maxSteps}[rng.IntN(2)],
		jobShare: []int{8, 20, 40}[rng.IntN(3)],
	}
	s.owners = make([][]*request, 2+rng.IntN(2))
	spread := []int{3, 10, 100, 500}[rng.IntN(4)]
	single := rng.IntN(3) == 0
	config := func() int { return 1 + rng.IntN(4)/3 }
	for i := range 2 + rng.IntN(4) {
		from := rng.IntN(s.slices)
		q := &request{id: i + 1, from: from, to: from + rng.IntN(s.slices-from), config: config(), at: rng.IntN(spread)}
		if single {
			q.to = q.from
		}
		q.narrow = s.mode == ReplacePartition && s.parts > 1 && rng.IntN(4) == 0
		o := rng.IntN(len(s.owners))
		s.owners[o] = append(s.owners[o], q)
		if rng.IntN(4) == 0 { // adopted by another owner, rightly or not
			o = (o + 1) % len(s.owners)
			s.owners[o] = append(s.owners[o], q)
		}
	}
	if rng.IntN(2) == 0 {
		s.cancelAt = 1 + rng.IntN(250)
	}
	s.last = &request{id: 9, to: s.slices - 1, config: config()}
	return s
}

// unit is what a generation states: one slice of the one step that there is.
//
// Under overwrite a unit is the whole table, whatever the interval: two intervals with a
// unit each would have no fence between them, and a paused publisher of the older could
// empty the table of the newer. The interval is part of the configuration there. For the
// same reason a run that a parameter narrows to some of a slice's rows states the same
// unit as the run that states them all: whatever replaces the same rows is one sequence
// of generations.
//
// Shipped: beam/plan/units.go, for overwrite and replace_partition; a run that a parameter
// narrows without replace_scope is refused.
type unit struct {
	id     string
	hash   int // of the configuration
	slices []int
	parts  []source
}

// units returns the units of a request in ascending order; the name of a unit is also
// what is claimed.
func (s scenario) units(q *request, flaws Flaw) []unit {
	if s.mode == Overwrite {
		u := unit{id: "table", hash: q.config*100 + q.from*10 + q.to}
		if flaws.has(OverwritePerInterval) {
			u.id = "i" + strconv.Itoa(q.from) + "-" + strconv.Itoa(q.to)
		}
		for slice := q.from; slice <= q.to; slice++ {
			u.add(slice, s.parts)
		}
		return []unit{u}
	}
	var out []unit
	for slice := q.from; slice <= q.to; slice++ {
		u := unit{id: "s" + strconv.Itoa(slice), hash: q.config}
		if q.narrow {
			u.hash += 50
			u.add(slice, 1)
			if flaws.has(NarrowApart) {
				u.id += "n"
			}
		} else {
			u.add(slice, s.parts)
		}
		out = append(out, u)
	}
	return out
}

func (u *unit) add(slice, parts int) {
	u.slices = append(u.slices, slice)
	for part := range parts {
		u.parts = append(u.parts, source{slice, part})
	}
}
