package model

import "strconv"

func genName(u unit) string { return "gen/" + u.id + "/" }

func stageName(u unit, g int) string { return "stg_" + u.id + "_" + strconv.Itoa(g) }

func jobName(kind string, u unit, g, ordinal int) string {
	return kind + "_" + u.id + "_" + strconv.Itoa(g) + "_" + strconv.Itoa(ordinal)
}

// standing is how far a generation got, told from its publish ids alone.
type standing int

const (
	unsettled standing = iota // it can still be published
	published
	fenced
	exhausted // three failed ordinals
)

// standing walks the publish ids of a generation up to the first that is free.
//
// Shipped: launcher/store/standing.go (Standing).
func (r *runner) standing(u unit, g int) standing {
	failures := 0
	for k := 0; failures < 3; k++ {
		if k == 3 && r.w.flaws.has(FenceThreeOrdinals) {
			return unsettled
		}
		j := sure(r.p, func() *job { return r.w.warehouse.jobs[jobName("pub", u, g, k)] })
		switch {
		case j == nil || j.done == undone:
			return unsettled
		case j.kind == fenceJob:
			return fenced
		case j.done == ok:
			return published
		case j.done != aborted:
			failures++
		}
	}
	return exhausted
}

// open returns the generation to work on: the open one is resumed, unless leave names
// it, its configuration is another, or it can no longer be published; else the next one
// is opened. The verdict is that of the generation
// so far: delivered if there is nothing left to do, hopeless if there is, superseded if
// somebody with a newer claim is at it.
//
// A generation that is fenced but has no successor is not open. Its fence was set by an
// owner that died before it opened the next: whoever resumed it could never publish.
//
// Shipped: launcher/generation.go (open).
func (r *runner) open(u unit, leave int) (g int, v verdict) {
	for {
		g, h := r.w.register.newest(r.p, genName(u))
		if h.epoch > r.epochs[u.id] && !r.w.flaws.has(LateOpening) {
			return g, superseded
		}
		if g > 0 {
			s := r.standing(u, g)
			mine := h.request == r.q.name() || g == leave
			if s == published && (mine || r.w.plan.mode == Append) {
				return g, delivered
			}
			open := s == unsettled || s == fenced && r.w.flaws.has(FencedIsOpen)
			switch {
			case !open || g == leave:
			case h.hash != u.hash:
				r.w.stats.Reconfigured++
			case !r.fresh(h):
				r.w.stats.Aged++
			default:
				return g, hopeless
			}
			if s != published && r.fence(u, g) == published && (mine || r.w.plan.mode == Append) {
				return g, delivered
			}
		}
		if r.w.register.acquire(r.p, genName(u)+strconv.Itoa(g+1), r.holder(u)) {
			r.w.stats.Generations++
			// Whoever opens a generation makes its stage; nobody makes it again. A stage
			// that is missing later has expired, and its generation with it.
			name := stageName(u, g+1)
			sure(r.p, func() bool { r.w.warehouse.makeStage(name); return true })
			return g + 1, hopeless
		}
	}
}

// fresh reports whether a generation may be resumed: by the request that opened it, or by
// another one if it is young enough. Its first pages say what the provider said when it
// was opened: a day that is started again next week must not deliver half of last week's
// numbers.
//
// Shipped: launcher/generation.go (standing).
func (r *runner) fresh(h holder) bool {
	return h.request == r.q.name() || h.opened >= r.q.started-r.w.plan.horizon || r.w.flaws.has(ResumeAnyAge)
}

// fence closes a generation before the next one opens: it takes the first publish id
// that is free, and waits for the jobs that have the ids before it. A publisher goes on
// to the next ordinal only when the one before has failed, so one fence stops it. The
// number of ordinals is not bounded, because lost conflicts do not count.
//
// Shipped: launcher/store/standing.go (Fence); transforms/sink/fence.go sets it once more
// before a publish.
func (r *runner) fence(u unit, g int) standing {
	if r.w.flaws.has(NoFence) {
		return unsettled
	}
	three := r.w.flaws.has(FenceThreeOrdinals)
	for k := 0; !three || k < 3; k++ {
		j := sure(r.p, func() *job {
			j, _ := r.w.warehouse.insert(job{id: jobName("pub", u, g, k), kind: fenceJob, by: r.run.id})
			return j
		})
		if j.kind == fenceJob {
			r.w.stats.Fenced++
			r.w.log(r.run.id, "fences %s", j.id)
			if three {
				continue
			}
			return fenced
		}
		sure(r.p, func() bool { j.cancel = true; return true })
		if r.await(j) == ok {
			return published
		}
	}
	return fenced
}

// await polls a job until it has ended.
func (r *runner) await(j *job) outcome {
	for {
		if o := sure(r.p, func() outcome { return j.done }); o != undone {
			return o
		}
	}
}
