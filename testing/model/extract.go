package model

const mostChunks = 4 // of a partition that are not durable, the one being filled included

// verdict is how the work on one generation ended.
type verdict int

const (
	delivered  verdict = iota
	superseded         // a newer generation has closed this one
	hopeless           // this generation cannot be completed: the next one must be opened
)

type chunkState int

const (
	filling chunkState = iota
	ready
	flying
	durable
)

// chunk is consecutive pages of one partition on their way into the stage.
type chunk struct {
	ref   chunkRef
	lines []line
	state chunkState
}

// lane is one partition that is being read.
type lane struct {
	part   source
	pass   int
	index  int
	at     cursor
	ended  bool
	window []*chunk // from the oldest that is not durable on
}

func (l *lane) filling() *chunk {
	if n := len(l.window); n > 0 && l.window[n-1].state == filling {
		return l.window[n-1]
	}
	return nil
}

// room reports whether another page may be asked for. What a crash can cost is every
// page behind the oldest chunk that is not durable, so that is what must be bounded: a
// single slow load must not let later chunks run ahead of it without limit.
//
// Shipped: transforms/sink/stage.go (makeRoom) counts the chunks of a partition from the
// oldest one whose load has not ended.
func (l *lane) room(free bool) bool {
	if l.ended {
		return false
	}
	if !free {
		return l.filling() != nil || len(l.window) < mostChunks
	}
	flights := 0
	for _, c := range l.window {
		if c.state == flying {
			flights++
		}
	}
	return flights < mostChunks
}

// extraction fetches what a generation still lacks.
type extraction struct {
	*runner
	u     unit
	g     int
	made  int // when the stage was made
	lanes []*lane
	ready []*chunk
	loads []*load
	refs  []chunkRef // known to be durable
}

// attempt works on one generation: adopt, fetch, stage, publish.
func (r *runner) attempt(u unit, g int) verdict {
	e := &extraction{runner: r, u: u, g: g}
	r.w.log(r.run.id, "works on %s generation %d", u.id, g)
	if !e.adopt() {
		r.w.stats.StageLost++
		r.w.log(r.run.id, "finds no stage")
		return hopeless
	}
	if v := e.extract(); v != delivered {
		return v
	}
	return e.publish()
}

// adopt takes over the longest chain of each partition that the stage holds. A source
// that cannot resume starts over under a new pass; it may do so although a pass is
// complete.
//
// Shipped: transforms/sink/adopt.go chooses the same chain. A stage that is missing yields
// none, and the first load makes it; a job that had filled a former stage of that name
// ends the generation (submit.go, lost), as it does here.
func (e *extraction) adopt() bool {
	name := stageName(e.u, e.g)
	if e.w.flaws.has(StageRemade) {
		sure(e.p, func() bool { e.w.warehouse.makeStage(name); return true })
	}
	s := sure(e.p, func() *stage { return e.w.warehouse.stages[name].copy() })
	if s == nil {
		return false
	}
	e.made = s.made
	choose := newChooser(bookkeeping(s.lines), e.w.flaws)
	for _, part := range e.u.parts {
		l := &lane{part: part}
		chain := choose.longest(part)
		if !e.w.plan.resumable {
			e.w.audit.passes++
			l.pass = e.w.audit.passes
			if chain = choose.complete(part); e.w.rng.IntN(2) == 0 {
				chain = nil
			}
		}
		if len(chain) > 0 {
			e.w.stats.Adopted++
			e.refs = append(e.refs, chain...)
			last := chain[len(chain)-1]
			l.index, l.at, l.ended = end(chain), last.next, last.last
			e.w.log(e.run.id, "adopts %d pages of partition %d/%d", l.index, part.slice, part.part)
		}
		e.w.audit.resumed(e, l)
		e.lanes = append(e.lanes, l)
	}
	return true
}

func (s *stage) copy() *stage {
	if s == nil {
		return nil
	}
	c := *s
	return &c
}

// extract fetches, closes chunks and loads them side by side, in no particular order.
func (e *extraction) extract() verdict {
	for {
		var can []func() verdict
		for _, l := range e.lanes {
			if l.room(e.w.flaws.has(FreeWindow)) {
				can = append(can, func() verdict { return e.fetch(l) })
			}
		}
		if len(e.ready) > 0 && (len(can) == 0 || e.w.rng.IntN(2) == 0) {
			can = append(can, e.send)
		}
		for _, l := range e.loads {
			can = append(can, func() verdict { return e.poll(l) })
		}
		if len(can) == 0 {
			return delivered
		}
		if v := can[e.w.rng.IntN(len(can))](); v != delivered {
			return v
		}
	}
}

// fetch asks for the next page of a partition and adds it to the chunk that is filling.
// Chunks end after some pages, or earlier because time passed.
func (e *extraction) fetch(l *lane) verdict {
	type answer struct {
		page page
		ok   bool
	}
	at, index, pass := l.at, l.index, l.pass
	a := sure(e.p, func() answer {
		e.w.audit.fetched(e.u, e.g, l.part, index)
		p, ok := e.w.provider.fetch(l.part, at, pass)
		return answer{p, ok}
	})
	if !a.ok {
		e.w.stats.Refused++
		e.w.log(e.run.id, "is refused a cursor of partition %d/%d", l.part.slice, l.part.part)
		return hopeless
	}
	c := l.filling()
	if c == nil {
		c = &chunk{ref: chunkRef{part: l.part, pass: l.pass, index: l.index, first: l.at}}
		l.window = append(l.window, c)
	}
	e.w.log(e.run.id, "gets page %d of partition %d/%d", l.index, l.part.slice, l.part.part)
	c.add(a.page, e)
	l.index, l.at, l.ended = l.index+1, a.page.next, a.page.last
	if l.ended || c.ref.pages == e.w.plan.chunkPages || e.w.rng.IntN(8) == 0 {
		e.close(c)
	}
	return delivered
}

func (c *chunk) add(p page, e *extraction) {
	for _, rec := range p.records {
		ln := line{kind: rowLine, row: row{record: rec, unit: e.u.id, g: e.g, config: e.u.hash}}
		if rec.bad {
			ln.kind = rejectLine
			c.ref.rejects++
		} else {
			c.ref.rows++
		}
		c.lines = append(c.lines, ln)
	}
	c.ref.pages++
	c.ref.next, c.ref.last = p.next, p.last
}

// close seals a chunk: its position becomes one more line of it, so that data and
// position commit together, and its id is a hash of everything.
func (e *extraction) close(c *chunk) {
	h := newHash(0).text(e.u.id).num(e.g).num(c.ref.pass).num(c.ref.part.slice).num(c.ref.part.part)
	h = h.num(c.ref.first.edition).num(c.ref.first.page).num(c.ref.index).num(c.ref.pages)
	h = h.num(c.ref.next.edition).num(c.ref.next.page).flag(c.ref.last)
	for _, l := range c.lines {
		h = h.num(l.row.key).num(l.row.edition).flag(l.row.bad).num(l.row.config)
	}
	c.ref.id = h.sum()
	c.state = ready
	e.ready = append(e.ready, c)
}
