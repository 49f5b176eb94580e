package model

import "slices"

// chooser picks chains out of the chunks that are known.
//
// A chain starts at page 0 and the first cursor, leaves no page out, passes each cursor
// on unchanged and never mixes passes.
// Shipped: transforms/sink/chain.go, from what the run adopted at its start and what it
// staged since.
type chooser struct {
	mixing bool
	refs   map[source][]chunkRef
}

func newChooser(refs []chunkRef, flaws Flaw) *chooser {
	c := &chooser{mixing: flaws.has(MixPasses), refs: map[source][]chunkRef{}}
	seen := map[uint64]bool{}
	for _, r := range refs {
		if !seen[r.id] {
			seen[r.id] = true
			c.refs[r.part] = append(c.refs[r.part], r)
		}
	}
	for _, list := range c.refs {
		// Longer chunks first: a greedy reader then meets the fewest-chunks chain early.
		slices.SortFunc(list, func(a, b chunkRef) int {
			if a.pages != b.pages {
				return b.pages - a.pages
			}
			return compare(a.id, b.id)
		})
	}
	return c
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// complete returns the complete chain with the fewest chunks, then the smallest ids.
func (c *chooser) complete(part source) []chunkRef {
	var best []chunkRef
	c.walk(part, nil, func(chain []chunkRef) {
		if !chain[len(chain)-1].last {
			return
		}
		if best == nil || shorter(chain, best) {
			best = slices.Clone(chain)
		}
	})
	return best
}

// longest returns a complete chain, else the one that reaches the furthest page.
func (c *chooser) longest(part source) []chunkRef {
	if chain := c.complete(part); chain != nil {
		return chain
	}
	var best []chunkRef
	c.walk(part, nil, func(chain []chunkRef) {
		if best == nil || end(chain) > end(best) || end(chain) == end(best) && shorter(chain, best) {
			best = slices.Clone(chain)
		}
	})
	return best
}

func end(chain []chunkRef) int {
	last := chain[len(chain)-1]
	return last.index + last.pages
}

func shorter(a, b []chunkRef) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return slices.CompareFunc(a, b, func(x, y chunkRef) int { return compare(x.id, y.id) }) < 0
}

// walk visits every chain that starts at the beginning of the partition.
func (c *chooser) walk(part source, chain []chunkRef, visit func([]chunkRef)) {
	at, index, pass := cursor{}, 0, 0
	if n := len(chain); n > 0 {
		at, index, pass = chain[n-1].next, end(chain), chain[n-1].pass
	}
	for _, r := range c.refs[part] {
		if r.first != at || r.index != index || len(chain) > 0 && !c.mixing && r.pass != pass {
			continue
		}
		longer := append(chain, r)
		visit(longer)
		if !r.last {
			c.walk(part, longer, visit)
		}
	}
}
