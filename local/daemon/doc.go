// Package daemon runs the embedded cloud as one server process per data directory and hands its addresses
// to the programs that need it, starting the process when there is none and again when it has died.
// It knows the embedded warehouse and the embedded KMS and nothing else of this module: neither who
// its clients are nor what they store. It reads no environment and never ends the process it runs in.
//
// Which process is the server is decided by a lock on server.lock, held for life; where it listens is told
// by server.json; who needs it is told by shared locks on clients.lock. All three are released by the
// kernel when a process dies, however it dies.
package daemon

import (
	"errors"
	"time"
)

const (
	// FormatVersion is the layout of a data directory; a directory of any other is refused.
	FormatVersion = 1

	// DefaultIdle is how long a server outlives its last client.
	DefaultIdle = 60 * time.Second

	lockWait      = 3 * time.Second
	shutdownGrace = 5 * time.Second
	maxTick       = time.Second
	minTick       = 10 * time.Millisecond

	// instancePath answers with the server's instance id, so that a client never takes a stranger
	// that has inherited the port for the server.
	instancePath = "/_convergence/instance"
)

var (
	// ErrRunning says that another process serves the directory.
	ErrRunning = errors.New("a server is already running on this data directory")
	// ErrFormat says that the directory was written by a release with another layout.
	ErrFormat = errors.New("unsupported data directory format")
	// ErrVanished says that the directory was removed under the running server.
	ErrVanished = errors.New("the data directory has vanished")
	// ErrProduction says that the embedded cloud was asked to be the production warehouse.
	ErrProduction = errors.New("the embedded cloud is not a production warehouse: configure Google Cloud endpoints instead")
)
