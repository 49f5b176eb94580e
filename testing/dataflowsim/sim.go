package dataflowsim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/cloudact/convergence/beam/run"
)

// Options make a simulator.
type Options struct {
	// Launcher is the binary that the image of every container spec holds.
	Launcher string
	// Env is what launchers and workers find in their environment beside what the
	// service sets: addresses of other simulators.
	Env []string
	// Bucket exists from the start.
	Bucket string
	// LauncherFlags are added to those of every launch, as a newer service may.
	LauncherFlags []string
	// Log may be nil.
	Log *slog.Logger
}

// Sim is a running simulator. Make one with New and Close it.
type Sim struct {
	options Options
	dir     string
	gcs     *fakestorage.Server
	http    *httptest.Server

	mu        sync.Mutex
	faults    Faults
	calls     map[string]int
	jobs      []*job
	requests  []Request
	prism     jobpb.JobServiceClient
	prismAt   string
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	releasing chan struct{}
}

// Request is a call that the simulator received.
type Request struct{ Method, Path, Body string }

// New starts a simulator.
func New(o Options) (*Sim, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp("", "dataflowsim-")
	if err != nil {
		return nil, fmt.Errorf("make folder of the simulator: %w", err)
	}
	gcs, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", Writer: io.Discard})
	if err != nil {
		return nil, fmt.Errorf("start storage: %w", err)
	}
	gcs.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: o.Bucket})
	s := &Sim{options: o, dir: dir, gcs: gcs, calls: map[string]int{}, releasing: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = httptest.NewServer(s.handler())
	return s, nil
}

// Close ends all jobs, workers and servers.
func (s *Sim) Close() {
	s.cancel()
	s.http.Close()
	s.wg.Wait()
	s.gcs.Stop()
	_ = os.RemoveAll(s.dir)
}

// Endpoint is the base URL for the Dataflow client.
func (s *Sim) Endpoint() string { return s.http.URL + "/" }

// StorageHost is the value of STORAGE_EMULATOR_HOST for clients of its Cloud Storage.
func (s *Sim) StorageHost() string { return strings.TrimPrefix(s.gcs.URL(), "http://") }

// SetFaults replaces the faults; calls are counted anew.
func (s *Sim) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.calls = f, map[string]int{}
}

// Release lets the jobs go on that HoldIn holds, and holds no others.
func (s *Sim) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.HoldIn = ""
	close(s.releasing)
	s.releasing = make(chan struct{})
}

// Requests are all calls so far.
func (s *Sim) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count is how many calls of a method there were since the faults were set.
func (s *Sim) Count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Object is a file in Cloud Storage.
type Object struct {
	Name    string
	Content []byte
}

// Objects are all files of the bucket whose names begin with prefix.
func (s *Sim) Objects(prefix string) ([]Object, error) {
	list, _, err := s.gcs.ListObjectsWithOptions(s.options.Bucket, fakestorage.ListOptions{Prefix: prefix}) //nolint:staticcheck // whole buckets are small here; pages would be read in a loop for nothing
	if err != nil {
		return nil, err
	}
	var out []Object
	for _, o := range list {
		whole, err := s.gcs.GetObject(s.options.Bucket, o.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, Object{o.Name, whole.Content})
	}
	return out, nil
}

// Put writes a file into the bucket and returns its gs:// address.
func (s *Sim) Put(name string, content []byte) string {
	s.gcs.CreateObject(fakestorage.Object{ObjectAttrs: fakestorage.ObjectAttrs{BucketName: s.options.Bucket, Name: name}, Content: content})
	return "gs://" + s.options.Bucket + "/" + name
}

func (s *Sim) read(address string) ([]byte, error) {
	bucket, name, ok := strings.Cut(strings.TrimPrefix(address, "gs://"), "/")
	if !ok || !strings.HasPrefix(address, "gs://") {
		return nil, fmt.Errorf("%q is no gs:// address", address)
	}
	o, err := s.gcs.GetObject(bucket, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", address, err)
	}
	return o.Content, nil
}

// runner starts prism when the first job needs it.
func (s *Sim) runner() (jobpb.JobServiceClient, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prism == nil {
		jobs, endpoint, err := run.StartPrism(s.ctx)
		if err != nil {
			return nil, "", err
		}
		s.prism, s.prismAt = jobs, endpoint
	}
	return s.prism, s.prismAt, nil
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }
