package dataflowsim

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
	"google.golang.org/grpc"
)

// pool starts the workers of one job when the runner asks for them.
type pool struct {
	fnpb.UnimplementedBeamFnExternalWorkerPoolServer

	sim     *Sim
	job     *job
	built   built
	faults  Faults
	address string
	server  *grpc.Server
	broken  chan error // why the job can have no worker

	mu      sync.Mutex
	bridges map[string]*bridge // those that the runner has stopped, too
	last    string             // failure
}

func (s *Sim) newPool(j *job, b built) (*pool, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the runner: %w", err)
	}
	s.mu.Lock()
	p := &pool{sim: s, job: j, built: b, faults: s.faults, address: listener.Addr().String(), server: grpc.NewServer(), broken: make(chan error, 1), bridges: map[string]*bridge{}}
	s.mu.Unlock()
	fnpb.RegisterBeamFnExternalWorkerPoolServer(p.server, p)
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// StartWorker implements the pool for the runner. Prism ends its process when the answer
// has an error, so a worker that does not start ends the job instead.
func (p *pool) StartWorker(_ context.Context, r *fnpb.StartWorkerRequest) (*fnpb.StartWorkerResponse, error) {
	b := &bridge{log: p.sim.options.Log, faults: p.faults, report: p.report}
	b.start = func(id, address string, exited func()) (func(), error) {
		return p.sim.startWorker(p.job, p.built, id, address, exited)
	}
	b, err := newBridge(p.sim.ctx, r.GetControlEndpoint().GetUrl(), r.GetWorkerId(), b)
	if err != nil {
		select {
		case p.broken <- err:
		default:
		}
		return &fnpb.StartWorkerResponse{}, nil
	}
	p.mu.Lock()
	p.bridges[r.GetWorkerId()] = b
	p.mu.Unlock()
	return &fnpb.StartWorkerResponse{}, nil
}

// StopWorker implements the pool for the runner.
func (p *pool) StopWorker(_ context.Context, r *fnpb.StopWorkerRequest) (*fnpb.StopWorkerResponse, error) {
	p.mu.Lock()
	b := p.bridges[r.GetWorkerId()]
	p.mu.Unlock()
	if b != nil {
		b.close()
	}
	return &fnpb.StopWorkerResponse{}, nil
}

func (p *pool) close() {
	for _, b := range p.all() {
		b.close()
	}
	p.server.Stop()
}

func (p *pool) report(message string) {
	p.sim.say(p.job, "JOB_MESSAGE_ERROR", message)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = message
}

func (p *pool) failure() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == "" {
		return "the runner gave the job up"
	}
	return p.last
}

// LoseWorkers kills the processes of all workers that there are, as machines that fail;
// others take their place.
func (s *Sim) LoseWorkers() {
	s.mu.Lock()
	var pools []*pool
	for _, j := range s.jobs {
		if j.pool != nil {
			pools = append(pools, j.pool)
		}
	}
	s.mu.Unlock()
	for _, p := range pools {
		for _, b := range p.all() {
			b.loseAll()
		}
	}
}

// all are the bridges. Their mutexes are never taken under the pool's: a bridge reports
// to the pool under its own.
func (p *pool) all() map[string]*bridge {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.bridges)
}

// waiting says what the bridges wait for.
func (p *pool) waiting() string {
	var out []string
	for id, b := range p.all() {
		out = append(out, id+": "+b.waiting())
	}
	return strings.Join(out, "\n")
}

// working reports whether a bundle has succeeded.
func (p *pool) working() bool {
	for _, b := range p.all() {
		if n, _ := b.counts(); n > 0 {
			return true
		}
	}
	return false
}

// repeated is how many executions succeeded of bundles of which another had.
func (p *pool) repeated() int {
	sum := 0
	for _, b := range p.all() {
		_, n := b.counts()
		sum += n
	}
	return sum
}
