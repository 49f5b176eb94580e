package sink

import (
	"cmp"
	"slices"
)

// chains is what chunk references amount to: exactly one complete chain per partition,
// or the partitions that have none.
type chains struct {
	chosen []ChunkRef // by partition, then in the order of their pages
	broken []string   // partitions without a complete chain, sorted
}

// chooseChains picks per partition the chain with the fewest chunks, then with the
// smallest ids. A chain starts at page 0, ends with a chunk that is Last, leaves no page
// out, passes each cursor on unchanged, and never mixes passes. References to failures
// and to spare chunks take no part; a chunk that is referred to twice counts once.
func chooseChains(refs []ChunkRef) chains {
	parts := map[string][]ChunkRef{}
	for _, r := range refs {
		if r.Spare {
			continue
		}
		list := parts[r.Partition]
		if r.Failure == nil {
			list = append(list, r)
		}
		parts[r.Partition] = list
	}
	var out chains
	for _, name := range sortedKeys(parts) {
		chain := shortestChain(parts[name])
		if chain == nil {
			out.broken = append(out.broken, name)
			continue
		}
		out.chosen = append(out.chosen, chain...)
	}
	return out
}

// place is where a chunk can be joined to the one before it.
type place struct {
	pass   string
	index  int64
	cursor string
}

// tail is the best way from a chunk to the end of its partition.
type tail struct {
	chunk  ChunkRef
	length int
	next   *tail
}

func (t *tail) better(than *tail) bool {
	if than == nil || t.length != than.length {
		return than == nil || t.length < than.length
	}
	return t.chunk.ID < than.chunk.ID
}

// shortestChain walks from the last pages to the first, so that every possible
// continuation of a chunk is known before the chunk itself: an index only ever grows
// along a chain.
func shortestChain(refs []ChunkRef) []ChunkRef {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b ChunkRef) int {
		return cmp.Or(-cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
	best := map[place]*tail{}
	for _, r := range refs {
		if r.Pages < 1 {
			continue
		}
		t := &tail{chunk: r, length: 1}
		if !r.Last {
			t.next = best[place{r.Pass, r.Index + r.Pages, r.Next}]
			if t.next == nil {
				continue
			}
			t.length += t.next.length
		}
		at := place{r.Pass, r.Index, r.First}
		if t.better(best[at]) {
			best[at] = t
		}
	}
	var start *tail
	for at, t := range best {
		if at.index == 0 && at.cursor == "" && t.better(start) {
			start = t
		}
	}
	var chain []ChunkRef
	for ; start != nil; start = start.next {
		chain = append(chain, start.chunk)
	}
	return chain
}

// head is the best way from the start of a partition to the end of a chunk.
type head struct {
	chunk  ChunkRef
	length int
	before *head
}

func (h *head) better(than *head) bool {
	if than == nil || h.length != than.length {
		return than == nil || h.length < than.length
	}
	return h.chunk.ID < than.chunk.ID
}

// longestChain returns the complete chain of a partition, else the one that reaches
// furthest from its first page.
func longestChain(refs []ChunkRef) []ChunkRef {
	if whole := shortestChain(refs); whole != nil {
		return whole
	}
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b ChunkRef) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
	best := map[place]*head{}
	var furthest *head
	for _, r := range refs {
		h := &head{chunk: r, length: 1}
		if r.Index != 0 || r.First != "" {
			if h.before = best[place{r.Pass, r.Index, r.First}]; h.before == nil {
				continue
			}
			h.length += h.before.length
		}
		if r.Pages < 1 || r.Last {
			continue
		}
		if end := (place{r.Pass, r.Index + r.Pages, r.Next}); h.better(best[end]) {
			best[end] = h
		}
		if reach := r.Index + r.Pages; furthest == nil || reach > furthest.reach() || reach == furthest.reach() && h.better(furthest) {
			furthest = h
		}
	}
	var chain []ChunkRef
	for ; furthest != nil; furthest = furthest.before {
		chain = append(chain, furthest.chunk)
	}
	slices.Reverse(chain)
	return chain
}

func (h *head) reach() int64 { return h.chunk.Index + h.chunk.Pages }
