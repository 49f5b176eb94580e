package dataflowsim

import (
	"context"
	"errors"
	"fmt"
	"strings"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// maxWorkers is how many workers a job may use up.
const maxWorkers = 20

// worker is a process that executes bundles.
type worker struct {
	id    string
	stop  func()
	asked map[string]bool // requests of the runner that it has not answered

	control *outbox[*fnpb.InstructionRequest]
	data    *outbox[*fnpb.Elements]
	state   *outbox[*fnpb.StateResponse]
}

// addWorker starts a worker; what is put into its outboxes waits until it connects.
func (b *bridge) addWorker() (*worker, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, context.Canceled
	}
	b.started++
	w := &worker{
		id: fmt.Sprintf("worker-%d", b.started), stop: func() {}, asked: map[string]bool{},
		control: newOutbox[*fnpb.InstructionRequest](), data: newOutbox[*fnpb.Elements](), state: newOutbox[*fnpb.StateResponse](),
	}
	b.workers[w.id] = w
	b.mu.Unlock()
	stop, err := b.start(w.id, b.address, func() { b.lose(w) })
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	w.stop = stop
	if b.closed {
		stop()
	}
	return w, nil
}

// lose ends a worker as a crash does, starts another, and has its bundles tried again.
func (b *bridge) lose(w *worker) {
	b.mu.Lock()
	known := b.workers[w.id] == w
	delete(b.workers, w.id)
	closed := b.closed
	b.mu.Unlock()
	w.stop()
	if !known || closed {
		return
	}
	b.replace()
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range w.asked {
		b.control.put(&fnpb.InstructionResponse{InstructionId: id, Error: "the worker is lost"})
	}
	for id, x := range b.bundles {
		if t := x.tries[w.id]; t != nil && t != x.winner {
			delete(x.tries, w.id)
			b.failed(x, id, "worker "+w.id+" is lost")
			b.settle(id, x)
		}
	}
}

// replace starts a worker instead of one that is lost; without end, if workers cannot
// even start, it would never be seen that they cannot.
func (b *bridge) replace() {
	b.mu.Lock()
	started := b.started
	b.mu.Unlock()
	err := errors.New("workers keep getting lost")
	if started < maxWorkers {
		_, err = b.addWorker()
	}
	if err == nil {
		return
	}
	b.report(err.Error())
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, x := range b.bundles {
		x.winner, x.reply = &try{}, &fnpb.InstructionResponse{InstructionId: id, Error: err.Error()}
	}
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
	b.lose(w)
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
