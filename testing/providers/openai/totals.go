package openai

import (
	"cmp"
	"math/big"
	"slices"

	"cloud.google.com/go/civil"
)

// Totals is what the provider has on record for an organisation, whatever the
// clock says.
type Totals struct {
	Org      string
	Requests int64
	// Cost is the exact bill in dollars, as decimal text.
	Cost         string
	InputTokens  int64
	OutputTokens int64
	// UnservedTokens are the generated tokens of the trace rows that became
	// embeddings, which have no output. OutputTokens and UnservedTokens make up
	// the traces, as long as nothing was restated.
	UnservedTokens int64
	// Days has a row per day, model and usage type, in that order.
	Days []ModelDay
}

// ModelDay is the usage and the bill of one model on one UTC day.
type ModelDay struct {
	Day       civil.Date
	Model     string
	UsageType string
	Requests  int64
	// InputTokens contains the three kinds below it.
	InputTokens      int64
	UncachedTokens   int64
	CachedTokens     int64
	CacheWriteTokens int64
	OutputTokens     int64
	// Cost is exact, in dollars, as decimal text.
	Cost string
	// Leaves counts the amounts other than zero that a calculation makes which
	// groups the day by project, API key, model, batch and service tier and
	// prices each leaf of a group alone. If it rounds each to nine places, its
	// sum is within Leaves × 0.5e-9 of Cost.
	Leaves int
	// UserLeaves is the same with users grouped as well.
	UserLeaves int
}

type modelDayKey struct {
	day              civil.Date
	model, usageType string
}

// groupedLeaf is a leaf of one group of one day.
type groupedLeaf struct {
	project, key, user, tier string
	batch                    bool
	leaf                     leaf
}

type tally struct {
	ModelDay
	cost       *big.Rat
	leaves     map[groupedLeaf]bool
	userLeaves map[groupedLeaf]bool
}

// Totals returns what an organisation used and owes by now, restatements
// included.
func (s *Server) Totals(orgName string) (Totals, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, err := s.org(orgName)
	if err != nil {
		return Totals{}, err
	}
	tallies := map[modelDayKey]*tally{}
	for _, r := range o.requests {
		k := modelDayKey{civil.DateOf(r.Time), r.Model, r.UsageType}
		t := tallies[k]
		if t == nil {
			t = &tally{ModelDay: ModelDay{Day: k.day, Model: k.model, UsageType: k.usageType}, cost: new(big.Rat), leaves: map[groupedLeaf]bool{}, userLeaves: map[groupedLeaf]bool{}}
			tallies[k] = t
		}
		lines, err := s.prices.lines(r)
		if err != nil {
			return Totals{}, err
		}
		t.add(r, lines)
	}
	return sum(o, tallies), nil
}

func (t *tally) add(r Request, lines []line) {
	t.Requests++
	t.InputTokens += r.InputTokens
	t.UncachedTokens += r.InputTokens - r.CachedTokens - r.CacheWriteTokens
	t.CachedTokens += r.CachedTokens
	t.CacheWriteTokens += r.CacheWriteTokens
	t.OutputTokens += r.OutputTokens
	for _, l := range lines {
		t.cost.Add(t.cost, l.amount)
		g := groupedLeaf{project: r.ProjectID, key: r.APIKeyID, tier: r.ServiceTier, batch: r.Batch, leaf: l.leaf}
		t.leaves[g] = true
		g.user = r.UserID
		t.userLeaves[g] = true
	}
}

func sum(o *org, tallies map[modelDayKey]*tally) Totals {
	totals := Totals{Org: o.name, UnservedTokens: o.unservedTokens}
	cost := new(big.Rat)
	for _, t := range tallies {
		t.Cost, t.Leaves, t.UserLeaves = decimal(t.cost), len(t.leaves), len(t.userLeaves)
		cost.Add(cost, t.cost)
		totals.Requests += t.Requests
		totals.InputTokens += t.InputTokens
		totals.OutputTokens += t.OutputTokens
		totals.Days = append(totals.Days, t.ModelDay)
	}
	totals.Cost = decimal(cost)
	slices.SortFunc(totals.Days, func(a, b ModelDay) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Model, b.Model), cmp.Compare(a.UsageType, b.UsageType))
	})
	return totals
}
