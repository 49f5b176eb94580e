// Package kms is a Cloud KMS server for one machine: Google's KeyManagementService over gRPC with
// symmetric keys kept in one file, so that programs that use the official client run without a cloud.
// It is a leaf: it knows nothing of credentials, data directories, processes or the rest of this module.
//
// Supported: key rings, ENCRYPT_DECRYPT keys at SOFTWARE level with versions, rotation by hand,
// disabling, scheduled destruction, Encrypt and Decrypt with additional authenticated data and checksums.
// Every other method answers Unimplemented with its name.
package kms

import (
	"fmt"
	"net"
	"sync"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
)

// Server answers KeyManagementService calls from the keys of one file. It is safe for concurrent use.
// Only one Server may have a file open at a time; the caller ensures that (a lock on the directory).
type Server struct {
	kmspb.UnimplementedKeyManagementServiceServer

	path string
	now  func() time.Time

	mu    sync.RWMutex
	state *state // replaced as a whole, never changed in place
}

// Option changes how a Server is opened.
type Option func(*Server)

// WithClock sets the source of the current time, which decides when scheduled destruction takes effect.
// The default is time.Now.
func WithClock(now func() time.Time) Option {
	return func(s *Server) { s.now = now }
}

// Open reads the key file at path, which need not exist yet, and returns a server over it.
// An empty path keeps the keys in memory only. A file that is damaged, of another format version
// or readable by other users is an error; Open never starts over with new keys.
func Open(path string, opts ...Option) (*Server, error) {
	s := &Server{path: path, now: time.Now}
	for _, opt := range opts {
		opt(s)
	}
	st, err := readState(path)
	if err != nil {
		return nil, err
	}
	s.state = st
	if err := s.wipeDestroyed(); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the KeyManagementService to a gRPC server, which the caller runs and stops.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	kmspb.RegisterKeyManagementServiceServer(r, s)
}

// EnsureKey creates the crypto key of the given resource name, and its key ring, unless they exist.
// It can be called any number of times; an existing key is never changed.
func (s *Server) EnsureKey(name string) error {
	kn, err := parseKey(name)
	if err != nil {
		return fmt.Errorf("ensuring crypto key: %w", err)
	}
	return s.update(func(st *state) error {
		if _, ok := st.Keys[name]; ok {
			return nil
		}
		if _, ok := st.KeyRings[kn.ring]; !ok {
			st.KeyRings[kn.ring] = keyRing{Created: s.now().UTC()}
		}
		k := key{Created: s.now().UTC(), DestroyAfter: defaultDestroyAfter, Primary: 1}
		k.Versions = append(k.Versions, newVersion(s.now()))
		st.Keys[name] = k
		return nil
	})
}

// TB is the part of testing.TB that RunT needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// RunT serves s on a free port of the loopback interface until the test ends and returns its address.
// A nil s stands for a new server that keeps its keys in memory.
func RunT(t TB, s *Server) string {
	t.Helper()
	if s == nil {
		var err error
		if s, err = Open(""); err != nil {
			t.Fatalf("opening key server: %v", err)
		}
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening for the key server: %v", err)
	}
	g := grpc.NewServer()
	s.Register(g)
	done := make(chan error, 1)
	go func() { done <- g.Serve(lis) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Fatalf("key server stopped early: %v", err)
		}
	})
	return lis.Addr().String()
}
