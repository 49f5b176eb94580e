package model

import (
	"slices"
	"strconv"
)

// load is one load job on its way; chunks that were ready together share one.
type load struct {
	chunks  []*chunk
	refs    []chunkRef
	key     uint64 // hash of what it carries
	ordinal int
	failed  int
	job     *job
	apart   *job // of a system that loads bookkeeping apart
}

// send hands some of the chunks that are ready to one load job. Its id is a hash of what
// it carries, so that it can only ever be attached to equal bytes.
//
// A chunk's final id is bound to the load that carries it. If it were not, the same chunk
// could be loaded twice, by two owners of one generation that grouped their chunks in
// different ways: both loads commit, and whoever publishes the chunk publishes its rows
// twice.
//
// Shipped: transforms/sink/loads.go (identify) binds it in the same way.
func (e *extraction) send() verdict {
	n := 1 + e.w.rng.IntN(len(e.ready))
	l := &load{chunks: slices.Clone(e.ready[:n])}
	e.ready = slices.Clone(e.ready[n:])
	ids := make([]uint64, n)
	for i, c := range l.chunks {
		ids[i] = c.ref.id
	}
	slices.Sort(ids)
	h := newHash(2)
	for _, id := range ids {
		h = h.num(int(id))
	}
	l.key = h.sum()
	for _, c := range l.chunks {
		c.state = flying
		ref := c.ref
		if !e.w.flaws.has(ChunkOutlivesLoad) {
			ref.id = newHash(3).num(int(l.key)).num(int(ref.id)).sum()
		}
		l.refs = append(l.refs, ref)
	}
	e.loads = append(e.loads, l)
	e.submit(l)
	return delivered
}

func (l *load) lines(books, rows bool) []line {
	var out []line
	for i, c := range l.chunks {
		for _, ln := range c.lines {
			if rows {
				ln.chunk = l.refs[i].id
				out = append(out, ln)
			}
		}
		if books {
			out = append(out, line{kind: bookLine, chunk: l.refs[i].id, book: l.refs[i]})
		}
	}
	return out
}

// submit creates the load job, or attaches to the one of that id.
func (e *extraction) submit(l *load) {
	j := job{
		id:   "load_" + strconv.FormatUint(l.key, 36) + "_" + strconv.Itoa(l.ordinal),
		kind: loadJob, by: e.run.id, stage: stageName(e.u, e.g),
	}
	insert := func(j job) *job {
		return sure(e.p, func() *job {
			there, attached := e.w.warehouse.insert(j)
			if attached && there.by != e.run.id {
				e.w.stats.Attached++
			}
			return there
		})
	}
	if !e.w.flaws.has(BookkeepingApart) {
		j.lines = l.lines(true, true)
		l.job = insert(j)
		return
	}
	apart := j
	apart.id += "_books"
	apart.lines, j.lines = l.lines(true, false), l.lines(false, true)
	l.apart = insert(apart)
	l.job = insert(j)
}

// poll looks after one load. A job that was made before the stage was has loaded into a
// former table of that name; a system that makes stages again loads its chunks anew.
func (e *extraction) poll(l *load) verdict {
	o := sure(e.p, func() outcome {
		if l.apart != nil && l.apart.done != ok {
			return l.apart.done
		}
		return l.job.done
	})
	switch o {
	case undone:
		return delivered
	case missing:
		e.w.stats.StageLost++
		e.w.log(e.run.id, "has lost its stage")
		return hopeless
	case ok:
		if l.job.created >= e.made {
			e.landedLoad(l)
			return delivered
		}
		e.w.log(e.run.id, "meets a load into a stage that is gone")
		if !e.w.flaws.has(StageRemade) || l.job.ended >= e.made {
			return hopeless
		}
	}
	if l.failed++; l.failed == 3 {
		e.w.stats.Exhausted++
		e.w.log(e.run.id, "gives up after three ordinals")
		return hopeless
	}
	l.ordinal++
	e.submit(l)
	return delivered
}

func (e *extraction) landedLoad(l *load) {
	e.loads = slices.DeleteFunc(e.loads, func(o *load) bool { return o == l })
	e.refs = append(e.refs, l.refs...)
	for _, c := range l.chunks {
		c.state = durable
	}
	for _, ln := range e.lanes {
		for len(ln.window) > 0 && ln.window[0].state == durable {
			ln.window = ln.window[1:]
		}
	}
}
