package dataflowsim

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// attempts is how often Dataflow's batch service tries a bundle.
const attempts = 4

// maxMessage is the size limit of a message between runner and worker.
const maxMessage = 1 << 30

// bridge stands between the runner and the workers of one environment of a job. To the
// runner it is the only worker; to worker processes it is the runner.
type bridge struct {
	fnpb.UnimplementedBeamFnControlServer
	fnpb.UnimplementedBeamFnDataServer
	fnpb.UnimplementedBeamFnStateServer
	fnpb.UnimplementedBeamFnLoggingServer

	ctx    context.Context
	cancel context.CancelFunc
	log    *slog.Logger
	faults Faults
	start  func(id, address string, exited func()) (stop func(), err error) // starts a worker process
	report func(message string)                                             // an error message of the job

	conn    *grpc.ClientConn
	runner  fnpb.BeamFnControlClient
	address string
	server  *grpc.Server

	control *outbox[*fnpb.InstructionResponse]
	data    *outbox[*fnpb.Elements]
	state   *outbox[*fnpb.StateRequest]

	wg       sync.WaitGroup
	mu       sync.Mutex
	closed   bool
	workers  map[string]*worker
	started  int
	bundles  map[string]*bundle
	finished map[string]bool // bundles that are over
	outputs  map[string]int  // how many streams of output a bundle of a descriptor has
	count    int             // tries of bundles that succeeded
	repeated int             // those that succeeded though another had
	broken   error           // why there are no workers any more
	lost     map[int]bool
	infos    map[string]*pipepb.MonitoringInfo // by the id that the runner knows
}

// newBridge connects to the runner at endpoint as the worker id and listens for worker
// processes.
func newBridge(ctx context.Context, endpoint, id string, b *bridge) (*bridge, error) {
	b.ctx, b.cancel = context.WithCancel(grpcx.WriteWorkerID(ctx, id))
	b.workers, b.bundles, b.finished = map[string]*worker{}, map[string]*bundle{}, map[string]bool{}
	b.infos, b.lost, b.outputs = map[string]*pipepb.MonitoringInfo{}, map[int]bool{}, map[string]int{}
	for _, n := range b.faults.LoseBundles {
		b.lost[n] = true
	}
	b.control, b.data, b.state = newOutbox[*fnpb.InstructionResponse](), newOutbox[*fnpb.Elements](), newOutbox[*fnpb.StateRequest]()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.cancel()
		return nil, fmt.Errorf("listen for workers: %w", err)
	}
	b.address = listener.Addr().String()
	b.server = grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	fnpb.RegisterBeamFnControlServer(b.server, b)
	fnpb.RegisterBeamFnDataServer(b.server, b)
	fnpb.RegisterBeamFnStateServer(b.server, b)
	fnpb.RegisterBeamFnLoggingServer(b.server, b)
	go func() { _ = b.server.Serve(listener) }()
	if err := b.connect(endpoint); err != nil {
		b.close()
		return nil, err
	}
	for range b.faults.copies() {
		if err := b.addWorker(); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

// connect opens the streams to the runner.
func (b *bridge) connect(endpoint string) error {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return fmt.Errorf("connect to the runner: %w", err)
	}
	b.conn, b.runner = conn, fnpb.NewBeamFnControlClient(conn)
	control, err := b.runner.Control(b.ctx)
	if err != nil {
		return fmt.Errorf("open the runner's control stream: %w", err)
	}
	data, err := fnpb.NewBeamFnDataClient(conn).Data(b.ctx)
	if err != nil {
		return fmt.Errorf("open the runner's data stream: %w", err)
	}
	state, err := fnpb.NewBeamFnStateClient(conn).State(b.ctx)
	if err != nil {
		return fmt.Errorf("open the runner's state stream: %w", err)
	}
	go b.control.drain(b.ctx, control.Send)
	go b.data.drain(b.ctx, data.Send)
	go b.state.drain(b.ctx, state.Send)
	go receive(control.Recv, b.instruct)
	go receive(data.Recv, b.input)
	go receive(state.Recv, b.answerState)
	return nil
}

func receive[T any](recv func() (T, error), handle func(T)) {
	for {
		m, err := recv()
		if err != nil {
			return
		}
		handle(m)
	}
}

// close ends the workers and leaves the runner.
func (b *bridge) close() {
	b.mu.Lock()
	b.closed = true
	workers := b.workers
	b.workers = map[string]*worker{}
	b.mu.Unlock()
	for _, w := range workers {
		close(w.kill)
	}
	b.cancel()
	b.wg.Wait()
	b.server.Stop()
	if b.conn != nil {
		_ = b.conn.Close()
	}
}

// instruct handles a request of the runner.
func (b *bridge) instruct(r *fnpb.InstructionRequest) {
	id := r.GetInstructionId()
	switch {
	case r.GetProcessBundle() != nil:
		b.process(r)
	case r.GetProcessBundleProgress() != nil:
		b.progress(r)
	case r.GetMonitoringInfos() != nil:
		b.control.put(&fnpb.InstructionResponse{InstructionId: id, Response: &fnpb.InstructionResponse_MonitoringInfos{
			MonitoringInfos: b.describe(r.GetMonitoringInfos().GetMonitoringInfoId()),
		}})
	case r.GetProcessBundleSplit() != nil: // a bundle that may be tried again is not split
		b.control.put(&fnpb.InstructionResponse{InstructionId: id, Response: &fnpb.InstructionResponse_ProcessBundleSplit{
			ProcessBundleSplit: &fnpb.ProcessBundleSplitResponse{},
		}})
	default:
		b.control.put(&fnpb.InstructionResponse{InstructionId: id, Error: fmt.Sprintf("the simulator does not know the instruction %T", r.GetRequest())})
	}
}

// GetProcessBundleDescriptor implements the runner for workers.
func (b *bridge) GetProcessBundleDescriptor(_ context.Context, r *fnpb.GetProcessBundleDescriptorRequest) (*fnpb.ProcessBundleDescriptor, error) {
	d, err := b.runner.GetProcessBundleDescriptor(b.ctx, r)
	if err != nil {
		return nil, err
	}
	n, err := outputs(d)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.outputs[r.GetProcessBundleDescriptorId()] = n
	b.mu.Unlock()
	return redirect(d, b.address)
}

// Logging takes the log entries of workers; errors become messages of the job.
func (b *bridge) Logging(s fnpb.BeamFnLogging_LoggingServer) error {
	for {
		in, err := s.Recv()
		if err != nil {
			return nil
		}
		for _, e := range in.GetLogEntries() {
			b.log.Debug("worker", "severity", e.GetSeverity().String(), "message", e.GetMessage())
		}
	}
}

// outbox keeps the messages of a stream until they are sent, in order and without limit,
// so that nobody who handles one stream ever waits for another.
type outbox[T any] struct {
	mu    sync.Mutex
	queue []T
	ready chan struct{}
}

func newOutbox[T any]() *outbox[T] { return &outbox[T]{ready: make(chan struct{}, 1)} }

func (o *outbox[T]) put(messages ...T) {
	o.mu.Lock()
	o.queue = append(o.queue, messages...)
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

func (o *outbox[T]) drain(ctx context.Context, send func(T) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.ready:
		}
		o.mu.Lock()
		queue := o.queue
		o.queue = nil
		o.mu.Unlock()
		for _, m := range queue {
			if send(m) != nil {
				return
			}
		}
	}
}
