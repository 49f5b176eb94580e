package model

// canceller is somebody who cancels a run over the API and discards its staging.
//
// To cancel is to fence: it is not enough to cancel the jobs that are there, because the
// run's process, which may be paused, can send its publish after that and before the
// stage is gone. The run that is cancelled is told by the fence.
//
// Shipped: launcher/cancel.go and launcher/attempt.go (close).
func (w *world) canceller() {
	if w.plan.cancelAt == 0 {
		return
	}
	p := &process{name: "cancel", calm: true, asleep: w.plan.cancelAt}
	w.spawn(p, func() {
		var target *run
		for _, id := range sortedKeys(w.runs) {
			if r := w.runs[id]; r.state == running {
				target = r
			}
		}
		if target == nil {
			return
		}
		w.log(p.name, "cancels %s", target.id)
		target.q.cancelled = true
		r := &runner{w: w, p: p, q: target.q, run: &run{id: p.name, p: p, q: target.q}}
		for _, u := range w.plan.units(target.q, w.flaws) {
			r.discard(u, target.id)
		}
		w.stats.Cancelled++
	})
}

// discard ends the generation that a run has open, unless it has taken effect.
func (r *runner) discard(u unit, by string) {
	g, h := r.w.register.newest(r.p, genName(u))
	if g == 0 || h.run != by || r.close(u, g) == published {
		return
	}
	name := stageName(u, g)
	r.w.audit.ended[name] = true
	r.w.log(r.run.id, "reports generation %d of unit %s as cancelled", g, u.id)
	sure(r.p, func() bool { r.w.warehouse.dropStage(name, "is discarded"); return true })
}

func (r *runner) close(u unit, g int) standing {
	if !r.w.flaws.has(CancelUnfenced) {
		return r.fence(u, g)
	}
	for k := 0; ; k++ {
		j := sure(r.p, func() *job { return r.w.warehouse.jobs[jobName("pub", u, g, k)] })
		if j == nil {
			return unsettled
		}
		sure(r.p, func() bool { j.cancel = true; return true })
		if r.await(j) == ok && j.kind == publishJob {
			return published
		}
	}
}
