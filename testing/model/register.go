package model

import (
	"strconv"
	"strings"
)

// register is where names are acquired: create if absent, never deleted. A second create
// of the same job id is refused by the warehouse, so exactly one caller wins.
//
// Shipped: launcher/store/register.go, by jobs reg_{hash of the name}.
type register struct {
	w     *world
	names map[string]holder
}

// holder is who created a name, and what was stored with it.
type holder struct {
	run     string // of one process: two processes of one request are different owners
	request string
	hash    int
	opened  int // step: the creation time of the job
	epoch   int // of the claim that it was acquired under
}

func (r *register) look(p *process, name string) (holder, bool) {
	type found struct {
		h  holder
		ok bool
	}
	f := sure(p, func() found {
		h, ok := r.names[name]
		return found{h, ok}
	})
	return f.h, f.ok
}

// acquire creates the name if it is absent. A name that carries the caller's own label
// was acquired by an earlier request of his whose answer was lost.
//
// The label is that of the process, not of the run it works for: otherwise the process
// that adopts a run and the paused one it adopted it from would both take the name.
// Shipped: launcher/procid.
func (r *register) acquire(p *process, name string, h holder) bool {
	if r.w.flaws.has(MergeClaims) {
		return r.merge(p, name, h)
	}
	return sure(p, func() bool {
		there, taken := r.names[name]
		if !taken {
			r.create(name, h)
			return true
		}
		if !r.mine(there, h) {
			return false
		}
		r.alone(name, there, h)
		return true
	})
}

// alone checks that a claim has one winner.
func (r *register) alone(name string, a, b holder) {
	if a.run != b.run {
		r.w.breaks("%s was acquired by %s and by %s", name, a.run, b.run)
	}
}

func (r *register) mine(a, b holder) bool {
	if r.w.flaws.has(OwnerPerRun) {
		return a.request == b.request
	}
	return a.run == b.run
}

func (r *register) create(name string, h holder) {
	if other, taken := r.names[name]; taken {
		r.alone(name, other, h)
	}
	h.opened = r.w.now
	if before, n := r.before(name); n && before.epoch > h.epoch {
		r.w.breaks("%s is opened by %s under claim epoch %d, after one of epoch %d", name, h.run, h.epoch, before.epoch)
	}
	r.names[name] = h
	r.w.log(h.run, "acquires %s", name)
}

// before returns the holder of the number below that of a generation.
func (r *register) before(name string) (holder, bool) {
	i := strings.LastIndexByte(name, '/')
	n, err := strconv.Atoi(name[i+1:])
	if err != nil || !strings.HasPrefix(name, "gen/") {
		return holder{}, false
	}
	h, ok := r.names[name[:i+1]+strconv.Itoa(n-1)]
	return h, ok
}

// merge is INSERT … WHEN NOT MATCHED: it looks at a snapshot and conflicts with nothing,
// so two of them may both find the name absent and both insert it.
func (r *register) merge(p *process, name string, h holder) bool {
	there, taken := r.look(p, name)
	if taken {
		return r.mine(there, h)
	}
	return sure(p, func() bool {
		r.create(name, h)
		return true
	})
}

// newest probes up to the newest number of a name.
func (r *register) newest(p *process, prefix string) (int, holder) {
	var last holder
	for n := 1; ; n++ {
		h, ok := r.look(p, prefix+strconv.Itoa(n))
		if !ok {
			return n - 1, last
		}
		last = h
	}
}
