package model

// record is a row as the provider states it. Key is unique within one partition and
// edition, not across partitions and slices.
type record struct {
	slice, part, key, edition int
	bad                       bool // cannot become a row: rejected
}

// cursor names a page. The zero cursor is the first page. A source that can resume puts
// its edition into the cursor, so that a cursor means the same page to everybody; one
// that cannot has plain page numbers, which mean another page in every pass.
type cursor struct{ edition, page int }

var noCursor = cursor{-1, -1}

type page struct {
	records []record
	next    cursor
	last    bool
}

type source struct{ slice, part int }

// provider answers pages. Slices are restated while runs read them.
type provider struct {
	plan     scenario
	edition  []int                   // of each slice
	restated [][]int                 // steps at which each slice was
	editions map[[3]int][][]record   // by slice, part, edition: pages
	passes   map[[3]int]cursorOrigin // by slice, part, pass: what a pass without resume reads
	calls    int
}

type cursorOrigin struct{ edition, order int }

func newProvider(plan scenario) *provider {
	p := &provider{plan: plan, edition: make([]int, plan.slices), restated: make([][]int, plan.slices), editions: map[[3]int][][]record{}, passes: map[[3]int]cursorOrigin{}}
	for i := range p.edition {
		p.edition[i] = 1
	}
	return p
}

func (p *provider) restate(slice, now int) {
	p.edition[slice]++
	p.restated[slice] = append(p.restated[slice], now)
}

// at returns the edition that was current at a step.
func (p *provider) at(slice, step int) int {
	edition := 1
	for _, s := range p.restated[slice] {
		if s < step {
			edition++
		}
	}
	return edition
}

// pages returns an edition of a partition page by page. Pages may be empty, also in the
// middle; keys come and go with the edition.
func (p *provider) pages(s source, edition int) [][]record {
	at := [3]int{s.slice, s.part, edition}
	if known, ok := p.editions[at]; ok {
		return known
	}
	pages := make([][]record, 1+p.noise(s, edition, 0)%6)
	for key := range 10 {
		n := p.noise(s, edition, 1+key)
		if n%3 == 0 {
			continue
		}
		i := key * len(pages) / 10
		pages[i] = append(pages[i], record{s.slice, s.part, key, edition, n%4 == 0})
	}
	p.editions[at] = pages
	return pages
}

func (p *provider) noise(s source, edition, n int) int {
	h := newHash(p.plan.seed)
	return int(h.num(s.slice).num(s.part).num(edition).num(n).sum() >> 33)
}

// fetch answers one page. A pass of a source that cannot resume keeps its own order of
// the records from its first page on: pages shift between passes, not within one.
func (p *provider) fetch(s source, c cursor, pass int) (page, bool) {
	p.calls++
	if p.plan.resumable {
		edition := c.edition
		if c == (cursor{}) {
			edition = p.edition[s.slice]
		}
		if p.plan.refuses && edition != p.edition[s.slice] {
			return page{}, false
		}
		return cut(p.pages(s, edition), edition, c.page), true
	}
	at := [3]int{s.slice, s.part, pass}
	origin, known := p.passes[at]
	if !known {
		origin = cursorOrigin{p.edition[s.slice], p.noise(s, pass, 99)}
		p.passes[at] = origin
	}
	return cut(rotate(p.pages(s, origin.edition), origin.order), 0, c.page), true
}

func cut(pages [][]record, edition, i int) page {
	out := page{records: pages[i], next: cursor{edition, i + 1}}
	if i+1 == len(pages) {
		out.next, out.last = noCursor, true
	}
	return out
}

// rotate deals the records of all pages out again, so that a record may be on any page.
func rotate(pages [][]record, by int) [][]record {
	var all []record
	for _, p := range pages {
		all = append(all, p...)
	}
	out := make([][]record, len(pages))
	for i := range all {
		r := all[(i+by)%len(all)]
		at := i * len(pages) / len(all)
		out[at] = append(out[at], r)
	}
	return out
}
