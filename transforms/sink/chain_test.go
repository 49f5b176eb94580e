package sink

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// attempt is one way that the pages of a partition were cut into chunks.
func drawAttempt(t *rapid.T, partition, pass string, pages int) []ChunkRef {
	var refs []ChunkRef
	for at := 0; at < pages; {
		n := rapid.IntRange(1, pages-at).Draw(t, "pages")
		r := ChunkRef{
			Unit: "u", Partition: partition, Pass: pass, Index: int64(at), Pages: int64(n),
			First: cursor(at), Next: cursor(at + n), Last: at+n == pages,
		}
		if r.Last {
			r.Next = ""
		}
		// Equal bytes of the same cut have equal ids, another filling does not.
		r.ID = hashHex(idDigits, partition, pass, fmt.Sprint(at, n), rapid.StringMatching("[ab]").Draw(t, "bytes"))
		refs = append(refs, r)
		at += n
	}
	return refs
}

func cursor(page int) string {
	if page == 0 {
		return ""
	}
	return fmt.Sprintf("c%d", page)
}

func drawRefs(t *rapid.T) []ChunkRef {
	var refs []ChunkRef
	for p := range rapid.IntRange(1, 3).Draw(t, "partitions") {
		pages := rapid.IntRange(1, 6).Draw(t, "length")
		for range rapid.IntRange(1, 4).Draw(t, "attempts") {
			pass := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "pass")
			refs = append(refs, drawAttempt(t, fmt.Sprint("p", p), pass, pages)...)
		}
	}
	refs = rapid.Permutation(refs).Draw(t, "order")
	keep := rapid.IntRange(1, len(refs)).Draw(t, "survivors")
	return refs[:keep]
}

// everyChain lists all complete chains of a partition by trying everything.
func everyChain(refs []ChunkRef, partition string) [][]ChunkRef {
	var out [][]ChunkRef
	var grow func(chain []ChunkRef)
	grow = func(chain []ChunkRef) {
		if n := len(chain); n > 0 && chain[n-1].Last {
			out = append(out, slices.Clone(chain))
			return
		}
		for _, r := range refs {
			if r.Partition != partition {
				continue
			}
			if len(chain) == 0 && r.Index == 0 && r.First == "" || len(chain) > 0 && follows(chain[len(chain)-1], r) {
				grow(append(chain, r))
			}
		}
	}
	grow(nil)
	return out
}

func follows(a, b ChunkRef) bool {
	return a.Pass == b.Pass && a.Next == b.First && a.Index+a.Pages == b.Index
}

func TestChosenChainIsCompleteMinimalAndOfOnePass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		refs := drawRefs(t)
		got := chooseChains(refs)
		byPartition := map[string][]ChunkRef{}
		for _, r := range got.chosen {
			byPartition[r.Partition] = append(byPartition[r.Partition], r)
		}
		for _, r := range refs {
			possible := everyChain(refs, r.Partition)
			chain := byPartition[r.Partition]
			if len(possible) == 0 {
				if chain != nil || !slices.Contains(got.broken, r.Partition) {
					t.Fatalf("partition %s has no complete chain, but got %v, broken %v", r.Partition, chain, got.broken)
				}
				continue
			}
			if slices.Contains(got.broken, r.Partition) || !slices.ContainsFunc(possible, func(c []ChunkRef) bool { return slices.Equal(c, chain) }) {
				t.Fatalf("partition %s: %v is not one of its %d complete chains", r.Partition, chain, len(possible))
			}
			for _, other := range possible {
				if shorter(other, chain) {
					t.Fatalf("partition %s: chose %v although %v is smaller", r.Partition, ids(chain), ids(other))
				}
			}
		}
	})
}

func shorter(a, b []ChunkRef) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return slices.Compare(ids(a), ids(b)) < 0
}

func ids(chain []ChunkRef) []string {
	out := make([]string, len(chain))
	for i, r := range chain {
		out[i] = r.ID
	}
	return out
}

func TestChoiceDoesNotDependOnOrderOrRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		refs := drawRefs(t)
		want := chooseChains(refs)
		again := rapid.Permutation(append(slices.Clone(refs), refs[0], refs[len(refs)-1])).Draw(t, "again")
		got := chooseChains(again)
		if !slices.Equal(got.chosen, want.chosen) || !slices.Equal(got.broken, want.broken) {
			t.Fatalf("got %v and %v, want %v and %v", ids(got.chosen), got.broken, ids(want.chosen), want.broken)
		}
	})
}

func TestBrokenChainsAreNeverChosen(t *testing.T) {
	whole := []ChunkRef{
		{ID: "a", Partition: "p", Index: 0, Pages: 2, Next: "c2"},
		{ID: "b", Partition: "p", Index: 2, Pages: 1, First: "c2", Last: true},
	}
	if got := chooseChains(whole); len(got.chosen) != 2 || got.broken != nil {
		t.Fatalf("whole chain: chose %v, broken %v", ids(got.chosen), got.broken)
	}
	for name, change := range map[string]func(c []ChunkRef){
		"without an end":             func(c []ChunkRef) { c[1].Last = false },
		"with another cursor":        func(c []ChunkRef) { c[1].First = "c3" },
		"with a page left out":       func(c []ChunkRef) { c[1].Index = 3 },
		"of two passes":              func(c []ChunkRef) { c[1].Pass = "x" },
		"that starts in the middle":  func(c []ChunkRef) { c[0].First = "c0" },
		"that starts at a late page": func(c []ChunkRef) { c[0].Index, c[1].Index = 1, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			c := slices.Clone(whole)
			change(c)
			if got := chooseChains(c); got.chosen != nil || !slices.Equal(got.broken, []string{"p"}) {
				t.Fatalf("chose %v, broken %v", ids(got.chosen), got.broken)
			}
		})
	}
}
