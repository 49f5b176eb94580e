package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/cloudact/convergence/launcher"
)

const (
	// DefaultPriority is that of runs which say none; 1 is the highest.
	DefaultPriority = 5
	// LowestPriority bounds what a run may say.
	LowestPriority = 10
	// AgingStep is how long a run waits to be worth one priority more, so that none waits
	// for ever behind higher ones.
	AgingStep = 5 * time.Minute
)

// share is what an organisation has of the slots, and what waits for more.
type share struct {
	org     string
	used    int   // by runs that have all the slots they need
	limit   int   // most that it may use; negative when it is not known yet
	holds   Holds // of the organisation's own slots
	served  int   // the entry that last gave it a slot, in the order of all
	waiting []launcher.Run
}

// next returns the share whose first run is to get the next slot, nil when none may.
//
// Slots are shared out evenly: whoever has fewest is next, whatever waits, up to its own
// limit. Priorities order the runs of one organisation; if they reached across, whoever
// called everything urgent would get everything.
func next(shares []*share) *share {
	var best *share
	for _, s := range shares {
		if len(s.waiting) == 0 || s.limit >= 0 && s.used >= s.limit {
			continue
		}
		if best == nil || s.before(best) {
			best = s
		}
	}
	return best
}

func (s *share) before(o *share) bool {
	return cmp.Or(cmp.Compare(s.used, o.used), cmp.Compare(s.served, o.served), strings.Compare(s.org, o.org)) < 0
}

// order sorts the waiting runs of one organisation: by priority less age, then by who
// asked first.
func order(runs []launcher.Run, now time.Time) {
	slices.SortFunc(runs, func(a, b launcher.Run) int {
		return cmp.Or(cmp.Compare(urgency(a, now), urgency(b, now)), a.Start.Compare(b.Start), strings.Compare(a.ID, b.ID))
	})
}

// urgency is a run's priority less what it has aged; less is more urgent.
func urgency(r launcher.Run, now time.Time) int {
	return priority(r) - int(max(now.Sub(r.Start), 0)/AgingStep)
}

func priority(r launcher.Run) int {
	if r.Priority <= 0 {
		return DefaultPriority
	}
	return min(r.Priority, LowestPriority)
}
