package dataflowsim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// maxWorkers is how many workers a job may use up.
const maxWorkers = 20

// worker is a process that executes bundles.
type worker struct {
	id    string
	kill  chan struct{}   // closed when it is to end
	dead  chan struct{}   // closed once it has
	asked map[string]bool // requests of the runner that it has not answered

	control *outbox[*fnpb.InstructionRequest]
	data    *outbox[*fnpb.Elements]
	state   *outbox[*fnpb.StateResponse]
}

// addWorker starts a worker, which takes the bundles that nobody is at; what is put into
// its outboxes waits until it connects.
func (b *bridge) addWorker() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return context.Canceled
	}
	b.started++
	w := &worker{
		id: fmt.Sprintf("worker-%d", b.started), kill: make(chan struct{}), dead: make(chan struct{}), asked: map[string]bool{},
		control: newOutbox[*fnpb.InstructionRequest](), data: newOutbox[*fnpb.Elements](), state: newOutbox[*fnpb.StateResponse](),
	}
	b.workers[w.id] = w
	b.assign()
	b.mu.Unlock()
	stop, err := b.start(w.id, b.address, func() { b.gone(w) })
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.broken = err
		b.lose(w)
		close(w.dead)
		return fmt.Errorf("start worker: %w", err)
	}
	b.wg.Go(func() {
		<-w.kill
		stop()
		close(w.dead)
	})
	return nil
}

// gone takes note that a worker has ended by itself.
func (b *bridge) gone(w *worker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose(w)
}

// lose ends a worker as a crash does, has its bundles tried again, and starts another;
// b.mu is held.
func (b *bridge) lose(w *worker) {
	if b.workers[w.id] != w {
		return
	}
	delete(b.workers, w.id)
	close(w.kill)
	for id := range w.asked {
		b.control.put(&fnpb.InstructionResponse{InstructionId: id, Error: "the worker is lost"})
	}
	b.wg.Go(b.replace)
	for _, id := range slices.Sorted(maps.Keys(b.bundles)) {
		x := b.bundles[id]
		if x == nil { // it ended with one before
			continue
		}
		if t := x.tries[w.id]; t != nil && t != x.winner {
			delete(x.tries, w.id)
			b.failed(id, x, "worker "+w.id+" is lost")
		}
	}
}

// loseAll ends the workers that there are, and returns once their processes are gone.
func (b *bridge) loseAll() {
	b.mu.Lock()
	lost := slices.Collect(maps.Values(b.workers))
	for _, w := range lost {
		b.lose(w)
	}
	b.mu.Unlock()
	for _, w := range lost {
		<-w.dead
	}
}

// replace starts a worker instead of one that is lost; without end, if workers cannot
// even start, it would never be seen that they cannot.
func (b *bridge) replace() {
	b.mu.Lock()
	started, over := b.started, b.closed || b.broken != nil
	b.mu.Unlock()
	if over {
		return
	}
	err := errors.New("workers keep getting lost")
	if started < maxWorkers {
		err = b.addWorker()
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	b.report(err.Error())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = err
	b.assign()
}

func (b *bridge) worker(ctx context.Context) (*worker, error) {
	id, err := grpcx.ReadWorkerID(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.workers[id]
	if w == nil {
		return nil, fmt.Errorf("there is no worker %q", id)
	}
	return w, nil
}

// Control implements the runner for workers. A stream that breaks is a lost worker.
func (b *bridge) Control(s fnpb.BeamFnControl_ControlServer) error {
	w, err := b.worker(s.Context())
	if err != nil {
		return err
	}
	go w.control.drain(s.Context(), s.Send)
	receive(s.Recv, func(r *fnpb.InstructionResponse) { b.answered(w, r) })
	b.gone(w)
	return nil
}

// answered sorts a worker's answer: progress goes to the runner, all else ends a bundle.
func (b *bridge) answered(w *worker, r *fnpb.InstructionResponse) {
	b.mu.Lock()
	asked := w.asked[r.GetInstructionId()]
	delete(w.asked, r.GetInstructionId())
	if p := r.GetProcessBundleProgress(); p != nil {
		p.MonitoringData = b.name(p.GetMonitoringInfos())
	}
	b.mu.Unlock()
	if asked {
		b.control.put(r)
		return
	}
	b.ended(w, r)
}

// Data implements the runner for workers.
func (b *bridge) Data(s fnpb.BeamFnData_DataServer) error {
	w, err := b.worker(s.Context())
	if err != nil {
		return err
	}
	go w.data.drain(s.Context(), s.Send)
	receive(s.Recv, func(e *fnpb.Elements) { b.output(w, e) })
	return nil
}

// State implements the runner for workers: a request goes to the runner under an id that
// tells whose it is.
func (b *bridge) State(s fnpb.BeamFnState_StateServer) error {
	w, err := b.worker(s.Context())
	if err != nil {
		return err
	}
	go w.state.drain(s.Context(), s.Send)
	receive(s.Recv, func(r *fnpb.StateRequest) {
		r.Id = w.id + "/" + r.GetId()
		b.state.put(r)
	})
	return nil
}

func (b *bridge) answerState(r *fnpb.StateResponse) {
	id, own, _ := strings.Cut(r.GetId(), "/")
	b.mu.Lock()
	w := b.workers[id]
	b.mu.Unlock()
	if w != nil {
		r.Id = own
		w.state.put(r)
	}
}
