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
	started  int             // tries ever
	failures int
	winner   *try
	reply    *fnpb.InstructionResponse // the winner's
}

// try is one execution of a bundle; its output counts only if it wins. Answer and output
// come on two streams, in any order.
type try struct {
	worker *worker
	reply  *fnpb.InstructionResponse
	output []*fnpb.Elements
	ends   map[string]bool // streams of the output whose last part is there
	done   bool
}

func (x *bundle) busy() bool {
	for _, t := range x.tries {
		if !t.done {
			return true
		}
	}
	return false
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
	b.bundle(r.GetInstructionId()).request = r
	b.assign()
}

// assign gives the bundles that nobody is at to workers. Where there is no worker, which
// is so while one that was lost is replaced, they wait for the next.
func (b *bridge) assign() {
	for _, id := range slices.Sorted(maps.Keys(b.bundles)) {
		x := b.bundles[id]
		if x.request == nil || x.winner != nil || x.busy() {
			continue
		}
		if b.broken != nil {
			x.winner, x.reply = &try{}, &fnpb.InstructionResponse{InstructionId: id, Error: b.broken.Error()}
			b.settle(id, x)
			continue
		}
		copies := 1 // of what is tried again
		if x.started == 0 {
			copies = b.faults.copies()
		}
		free := slices.Sorted(maps.Keys(b.workers))
		for _, w := range free[:min(len(free), copies)] {
			b.try(x, b.workers[w])
		}
	}
}

// try sends what is known of a bundle to a worker.
func (b *bridge) try(x *bundle, w *worker) {
	x.tries[w.id] = &try{worker: w, ends: map[string]bool{}}
	x.started++
	w.control.put(x.request)
	w.data.put(x.input...)
}

// input takes elements for bundles; the runner may send them before the request.
func (b *bridge) input(e *fnpb.Elements) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, part := range byInstruction(e) {
		if b.finished[id] {
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
		x := b.bundles[id]
		if x == nil || x.tries[w.id] == nil {
			continue
		}
		t := x.tries[w.id]
		t.output = append(t.output, part)
		for _, d := range part.GetData() {
			if d.GetIsLast() {
				t.ends[d.GetTransformId()] = true
			}
		}
		for _, d := range part.GetTimers() {
			if d.GetIsLast() {
				t.ends[d.GetTransformId()+" "+d.GetTimerFamilyId()] = true
			}
		}
		b.succeeded(id, x, t)
	}
}

// ended handles a worker's answer to a bundle: a failure is tried again.
func (b *bridge) ended(w *worker, r *fnpb.InstructionResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.GetInstructionId()
	x := b.bundles[id]
	if x == nil || x.tries[w.id] == nil {
		return
	}
	if r.GetError() != "" {
		delete(x.tries, w.id)
		b.failed(id, x, r.GetError())
		return
	}
	x.tries[w.id].reply = r
	b.succeeded(id, x, x.tries[w.id])
}

// succeeded ends a try once its answer and all of its output are there; the first
// success wins. A worker that were lost before would take the rest of the output along.
func (b *bridge) succeeded(id string, x *bundle, t *try) {
	if t.done || t.reply == nil || len(t.ends) < b.outputs[x.request.GetProcessBundle().GetProcessBundleDescriptorId()] {
		return
	}
	t.done = true
	b.count++
	if b.faults.FailIn == Running { // the job fails before the runner hears of it
		return
	}
	if b.lost[b.count] {
		delete(b.lost, b.count)
		b.log.Info("a worker is lost before its bundle counts", "worker", t.worker.id, "bundle", id)
		b.lose(t.worker)
		return
	}
	if x.winner == nil {
		x.winner, x.reply = t, t.reply
	} else {
		b.repeated++
	}
	b.settle(id, x)
}

// failed counts a failed try, and starts another while there is no success.
func (b *bridge) failed(id string, x *bundle, message string) {
	x.failures++
	b.report(fmt.Sprintf("bundle %s failed, try %d of %d: %s", id, x.failures, attempts, message))
	if x.winner == nil && !x.busy() && x.failures >= attempts {
		x.winner, x.reply = &try{}, &fnpb.InstructionResponse{InstructionId: id, Error: message}
	}
	b.settle(id, x)
	b.assign()
}

// settle tells the runner how a bundle ended, once nobody works on it any more.
func (b *bridge) settle(id string, x *bundle) {
	if x.winner == nil || x.busy() {
		return
	}
	delete(b.bundles, id)
	b.finished[id] = true
	b.data.put(x.winner.output...)
	if p := x.reply.GetProcessBundle(); p != nil {
		p.MonitoringData = b.name(p.GetMonitoringInfos())
		p.RequiresFinalization = false // it does not work in this SDK, and nobody may rely on it
	}
	b.control.put(x.reply)
}

// counts are the tries that succeeded, and those that did though another had.
func (b *bridge) counts() (succeeded, repeated int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count, b.repeated
}

// waiting says what the bridge waits for, for whoever waits in vain for its job.
func (b *bridge) waiting() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := fmt.Sprintf("%d workers, %d bundles over", len(b.workers), len(b.finished))
	for _, id := range slices.Sorted(maps.Keys(b.bundles)) {
		x := b.bundles[id]
		out += fmt.Sprintf("; bundle %s: asked for %v, input of %d messages, %d failures", id, x.request != nil, len(x.input), x.failures)
		for _, w := range slices.Sorted(maps.Keys(x.tries)) {
			t := x.tries[w]
			out += fmt.Sprintf(", %s has answered %v and ended %d outputs", w, t.reply != nil, len(t.ends))
		}
	}
	return out
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
