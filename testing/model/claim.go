package model

import "strconv"

// claimOrder is ascending for everybody, so that no circle of waiting runs can form.
//
// Shipped: launcher/claim, Keeper.AcquireAll.
func (r *runner) claimOrder(units []unit) []unit {
	if !r.w.flaws.has(ClaimsAnyOrder) {
		return units
	}
	mixed := make([]unit, len(units))
	for i, at := range r.w.rng.Perm(len(units)) {
		mixed[i] = units[at]
	}
	return mixed
}

// claim acquires the slice of a unit, waiting while another run holds it. False says
// that the run it waited for has landed what this one was to state.
//
// The claim of a run that has ended is free. The claim of a run whose heartbeat stands
// still is taken over under the next epoch; its owner may be merely paused, and is
// stopped by the publish ids when it wakes, not by the claim.
func (r *runner) claim(u unit) bool {
	defer func() { r.p.waitsFor = nil }()
	name := "slice/" + u.id + "/"
	waited := ""
	if r.w.flaws.has(NoClaims) {
		return true
	}
	for {
		epoch, h := r.w.register.newest(r.p, name)
		if epoch > 0 && h.run != r.run.id {
			other := r.w.runs[h.run]
			switch {
			case other.state == completed && waited == h.run && r.landed(u):
				r.w.stats.Landed++
				return false
			case other.state != running:
			case other.p.stale() || other.p.dead && other.p.host == r.p.host:
				r.w.stats.Takeovers++
			default:
				waited = h.run
				r.wait(other)
				continue
			}
		}
		r.epochs[u.id] = epoch + 1
		if r.w.register.acquire(r.p, name+strconv.Itoa(epoch+1), r.holder(u)) {
			return true
		}
	}
}

func (r *runner) holder(u unit) holder {
	return holder{run: r.run.id, request: r.q.name(), hash: u.hash, epoch: r.epochs[u.id]}
}

// wait waits a while, and checks that nobody waits for this run in turn.
func (r *runner) wait(other *run) {
	r.p.waitsFor = other
	names := r.p.name
	for at := other; at != nil && at.state == running && at.p.awake(); at = at.p.waitsFor {
		names += " waits for " + at.p.name
		if at.p == r.p {
			r.w.breaks("circular wait: %s", names)
			break
		}
	}
	r.p.pause()
}

// landed reports whether the run that was waited for stated the unit under the same
// configuration: what it stated under another one is not what this run was asked for.
// Plain append states a unit once and never again, whatever the configuration.
func (r *runner) landed(u unit) bool {
	g, h := r.w.register.newest(r.p, genName(u))
	if g == 0 || r.standing(u, g) != published {
		return false
	}
	return h.hash == u.hash || r.w.plan.mode == Append || r.w.flaws.has(LandedAnyConfig)
}
