package model

// publish makes exactly one complete chain of each partition take effect.
//
// Shipped: transforms/sink/publish.go.
func (e *extraction) publish() verdict {
	chosen := e.choose()
	if chosen == nil {
		e.w.log(e.run.id, "finds no complete chain")
		return hopeless
	}
	chosen, v := e.decide(chosen)
	if v != delivered {
		return v
	}
	_, v = e.once("pub", job{kind: publishJob, chosen: chosen})
	if v == delivered {
		e.dropStage()
	}
	return v
}

// choose picks chains out of what this process knows to be durable and what the stage
// holds besides: chunks of other processes and of loads that came late.
func (e *extraction) choose() []chunkRef {
	s := sure(e.p, func() *stage { return e.w.warehouse.stages[stageName(e.u, e.g)].copy() })
	refs := e.refs
	if s != nil {
		refs = append(refs[:len(refs):len(refs)], bookkeeping(s.lines)...)
	}
	choose := newChooser(refs, e.w.flaws)
	var chosen []chunkRef
	for _, part := range e.u.parts {
		chain := choose.complete(part)
		if chain == nil {
			return nil
		}
		chosen = append(chosen, chain...)
	}
	return chosen
}

// decide writes the dead letters of the chosen chains. Its job decides for everybody
// which chains these are, so it is sent also when there is nothing to write: another
// process of the same generation that comes second takes over the chains that the job
// names, as its text can be read back. If each chose for itself, the letters could be
// those of one chain and the rows those of another, and a row that only one of them
// rejects would be in neither place or in both.
//
// Shipped: transforms/sink/decide.go, which reads the chunks back from the parameters of
// the job that it finds.
func (e *extraction) decide(chosen []chunkRef) ([]chunkRef, verdict) {
	if e.w.flaws.has(UndecidedRejects) {
		rejects := 0
		for _, c := range chosen {
			rejects += c.rejects
		}
		if rejects == 0 {
			return chosen, delivered
		}
	}
	j, v := e.once("dlq", job{kind: decideJob, chosen: chosen})
	if v != delivered || e.w.flaws.has(UndecidedRejects) {
		return chosen, v
	}
	return j.chosen, delivered
}

// once gets a query job of the generation committed once, whoever submitted it: by the
// first ordinal that is free, or by attaching to the job that has the id. A job that
// failed is tried under the next ordinal, three at most; a lost serialisation conflict
// does not count. A job that is a fence is the word of a newer generation.
func (e *extraction) once(kind string, j job) (*job, verdict) {
	j.by, j.unit, j.g, j.stage = e.run.id, e.u, e.g, stageName(e.u, e.g)
	failures := 0
	for ordinal := 0; ; ordinal++ {
		j.id = jobName(kind, e.u, e.g, ordinal)
		there := sure(e.p, func() *job {
			there, attached := e.w.warehouse.insert(j)
			if attached && there.by != e.run.id {
				e.w.stats.Attached++
			}
			return there
		})
		if there.kind == fenceJob {
			e.w.log(e.run.id, "meets the fence %s", there.id)
			return nil, superseded
		}
		switch e.await(there) {
		case ok:
			return there, delivered
		case aborted:
			continue
		case missing, mismatch:
			e.w.stats.StageLost++
			return nil, hopeless
		}
		if failures++; failures == 3 {
			e.w.stats.Exhausted++
			return nil, hopeless
		}
	}
}

// dropStage is optional: a stage that nobody drops expires.
func (e *extraction) dropStage() {
	if e.w.rng.IntN(2) == 0 {
		name := stageName(e.u, e.g)
		sure(e.p, func() bool { e.w.warehouse.dropStage(name, "is dropped"); return true })
	}
}
