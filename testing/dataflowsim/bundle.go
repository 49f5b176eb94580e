package dataflowsim

import (
	"fmt"
	"maps"
	"slices"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
)

// bundle is a piece of work: what the runner sent for it, and who tries to do it.
type bundle struct {
	request  *fnpb.InstructionRequest
	input    []*fnpb.Elements
	tries    map[string]*try // by worker
	failures int
	winner   *try
	reply    *fnpb.InstructionResponse // the winner's
}

// try is one execution of a bundle; its output counts only if it wins.
type try struct {
	worker *worker
	output []*fnpb.Elements
	done   bool
}

func (b *bridge) bundle(id string) *bundle {
	x := b.bundles[id]
	if x == nil {
		x = &bundle{tries: map[string]*try{}}
		b.bundles[id] = x
	}
	return x
}

// process gives a new bundle to as many workers as are to execute it.
func (b *bridge) process(r *fnpb.InstructionRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.bundle(r.GetInstructionId())
	x.request = r
	free := slices.Sorted(maps.Keys(b.workers))
	for _, id := range free[:min(len(free), max(1, b.faults.copies()))] {
		b.try(x, b.workers[id])
	}
}

// try sends what is known of a bundle to a worker.
func (b *bridge) try(x *bundle, w *worker) {
	x.tries[w.id] = &try{worker: w}
	w.control.put(x.request)
	w.data.put(x.input...)
}

// input takes elements for bundles; the runner may send them before the request.
func (b *bridge) input(e *fnpb.Elements) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, part := range byInstruction(e) {
		if _, over := b.finished[id]; over {
			continue
		}
		x := b.bundle(id)
		x.input = append(x.input, part)
		for _, t := range x.tries {
			if !t.done {
				t.worker.data.put(part)
			}
		}
	}
}

// output keeps what a worker emitted.
func (b *bridge) output(w *worker, e *fnpb.Elements) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, part := range byInstruction(e) {
		switch x := b.bundles[id]; {
		case x != nil && x.tries[w.id] != nil:
			x.tries[w.id].output = append(x.tries[w.id].output, part)
		case x == nil && b.finished[id] == w.id: // its answer came on another stream, and was faster
			b.data.put(part)
		}
	}
}

// ended handles a worker's answer to a bundle: the first success wins, a failure is
// tried again. The runner hears of the bundle once nobody works on it any more.
func (b *bridge) ended(w *worker, r *fnpb.InstructionResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.GetInstructionId()
	x := b.bundles[id]
	if x == nil || x.tries[w.id] == nil {
		return
	}
	t := x.tries[w.id]
	t.done = true
	if r.GetError() != "" {
		delete(x.tries, w.id)
		b.failed(x, id, r.GetError())
		b.settle(id, x)
		return
	}
	b.count++
	if b.lost[b.count] {
		delete(b.lost, b.count)
		b.log.Info("a worker is lost before its bundle counts", "worker", w.id, "bundle", id)
		go b.lose(w)
		return
	}
	if x.winner == nil {
		x.winner, x.reply = t, r
	}
	b.settle(id, x)
}

// failed counts a failed try, and starts another while there is no success.
func (b *bridge) failed(x *bundle, id, message string) {
	x.failures++
	b.report(fmt.Sprintf("bundle %s failed, try %d of %d: %s", id, x.failures, attempts, message))
	if x.winner != nil {
		return
	}
	for _, t := range x.tries {
		if !t.done {
			return // somebody is still at it
		}
	}
	if x.failures >= attempts {
		x.winner, x.reply = &try{}, &fnpb.InstructionResponse{InstructionId: id, Error: message}
		return
	}
	free := slices.Sorted(maps.Keys(b.workers))
	if len(free) > 0 {
		b.try(x, b.workers[free[0]])
	}
}

// settle tells the runner how a bundle ended.
func (b *bridge) settle(id string, x *bundle) {
	if x.winner == nil {
		return
	}
	for _, t := range x.tries {
		if !t.done {
			return
		}
	}
	delete(b.bundles, id)
	b.finished[id] = ""
	if x.winner.worker != nil {
		b.finished[id] = x.winner.worker.id
	}
	b.data.put(x.winner.output...)
	if p := x.reply.GetProcessBundle(); p != nil {
		p.MonitoringData = b.name(p.GetMonitoringInfos())
		p.RequiresFinalization = false // it does not work in this SDK, and nobody may rely on it
	}
	b.control.put(x.reply)
}

// progress asks a worker that executes the bundle.
func (b *bridge) progress(r *fnpb.InstructionRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x := b.bundles[r.GetProcessBundleProgress().GetInstructionId()]; x != nil {
		for _, t := range x.tries {
			if !t.done {
				t.worker.asked[r.GetInstructionId()] = true
				t.worker.control.put(r)
				return
			}
		}
	}
	b.control.put(&fnpb.InstructionResponse{InstructionId: r.GetInstructionId(), Response: &fnpb.InstructionResponse_ProcessBundleProgress{
		ProcessBundleProgress: &fnpb.ProcessBundleProgressResponse{},
	}})
}

// byInstruction splits a message into those of single bundles.
func byInstruction(e *fnpb.Elements) map[string]*fnpb.Elements {
	out := map[string]*fnpb.Elements{}
	part := func(id string) *fnpb.Elements {
		if out[id] == nil {
			out[id] = &fnpb.Elements{}
		}
		return out[id]
	}
	for _, d := range e.GetData() {
		p := part(d.GetInstructionId())
		p.Data = append(p.Data, d)
	}
	for _, t := range e.GetTimers() {
		p := part(t.GetInstructionId())
		p.Timers = append(p.Timers, t)
	}
	return out
}
