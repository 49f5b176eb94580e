//go:build !noembedded

package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/kms"
)

// ServeOptions says what to serve and where. Only Dir is required.
type ServeOptions struct {
	Dir string
	// Addr and KMSAddr are host:port. Empty, or port 0, is the port of the previous server of this
	// directory if that is free, else any free one; an empty host is 127.0.0.1.
	Addr, KMSAddr string
	// Keys are the resource names of crypto keys that exist once the server listens.
	Keys []string
	// Stay keeps the server running without clients.
	Stay bool
	// Idle is how long the server outlives its last client; 0 is DefaultIdle.
	Idle time.Duration
	// Environment is the name of the deployment; "production" is refused.
	Environment string
	// BigQuery configures the warehouse. Its Path is set by Serve, its Logger defaults to Log.
	BigQuery bigquery.Config
	// Log receives the server's messages; nil discards them.
	Log *slog.Logger
}

// Serve is the server process: it blocks until ctx ends or no client has been there for a while (nil),
// or until it cannot go on (an error). It sets the umask of the process, so that no file of the
// directory is readable by other users. ErrRunning is returned if another process serves the directory.
func Serve(ctx context.Context, o ServeOptions) error {
	if o.Environment == "production" {
		return ErrProduction
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	unix.Umask(0o077)
	dir, err := prepareDir(o.Dir)
	if err != nil {
		return err
	}
	// Opened first and so closed last: a client let in by this lock finds server.lock free.
	clients, err := openLock(dir, clientsLock)
	if err != nil {
		return err
	}
	defer clients.Close()
	lock, err := lockServer(ctx, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := start(ctx, dir, o)
	if err != nil {
		return err
	}
	w := watch{dir: dir, lock: lock, clients: clients, idle: o.Idle, stay: o.Stay}
	err = s.run(ctx, w)
	return errors.Join(err, s.stop())
}

// lockServer takes server.lock. It waits a little, because clients that look whether the lock is free,
// and a server that is just leaving, hold it for a moment.
func lockServer(ctx context.Context, dir string) (*os.File, error) {
	f, err := openLock(dir, serverLock)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockWait)
	for {
		ok, err := tryLock(f, unix.LOCK_EX)
		if ok {
			return f, nil
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if rec, err := readRecord(dir); (err == nil && rec.answers(ctx)) || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("serving %s: %w (pid %d)", dir, ErrRunning, rec.PID)
		}
		if err := pause(ctx, pollInterval); err != nil {
			f.Close()
			return nil, fmt.Errorf("serving %s: %w", dir, err)
		}
	}
}

// server is a running pair of listeners over the files of one directory.
type server struct {
	http      *http.Server
	grpc      *grpc.Server
	warehouse *bigquery.Server
	failed    chan error
	log       *slog.Logger
}

func start(ctx context.Context, dir string, o ServeOptions) (*server, error) {
	prev, err := readRecord(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	keys, err := kms.Open(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	for _, name := range o.Keys {
		if err := keys.EnsureKey(name); err != nil {
			return nil, err
		}
	}
	o.BigQuery.Path = filepath.Join(dir, warehouseFile)
	if o.BigQuery.Logger == nil {
		o.BigQuery.Logger = o.Log
	}
	wh, err := bigquery.Open(ctx, o.BigQuery)
	if err != nil {
		return nil, fmt.Errorf("opening the warehouse in %s: %w", dir, err)
	}
	s := &server{warehouse: wh, failed: make(chan error, 2), log: o.Log}
	if err := s.listen(dir, o, keys, prev); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// listen opens both ports, serves on them, and then publishes the addresses.
func (s *server) listen(dir string, o ServeOptions, keys *kms.Server, prev record) error {
	bq, err := listen(o.Addr, prev.bigQueryAddr())
	if err != nil {
		return fmt.Errorf("listening for BigQuery clients: %w", err)
	}
	rpc, err := listen(o.KMSAddr, prev.KMSAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("listening for KMS clients: %w", err), bq.Close())
	}
	rec := record{
		FormatVersion: FormatVersion,
		Instance:      rand.Text(),
		PID:           os.Getpid(),
		StartTime:     time.Now().UTC(),
		BigQueryURL:   "http://" + bq.Addr().String(),
		KMSAddr:       rpc.Addr().String(),
	}
	s.http = &http.Server{
		Handler:           withInstance(rec.Instance, s.warehouse.Handler()),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	s.grpc = grpc.NewServer()
	keys.Register(s.grpc)
	go func() { s.failed <- s.http.Serve(bq) }()
	go func() { s.failed <- s.grpc.Serve(rpc) }()
	if err := writeRecord(dir, rec); err != nil {
		return err
	}
	o.Log.Info("embedded cloud is listening", "dir", dir, "bigquery", rec.BigQueryURL, "kms", rec.KMSAddr)
	return nil
}

// run blocks until the server should stop.
func (s *server) run(ctx context.Context, w watch) error {
	tick := time.NewTicker(max(minTick, min(maxTick, w.idle/4)))
	defer tick.Stop()
	w.lastBusy = time.Now()
	for {
		select {
		case <-ctx.Done():
			s.log.Info("embedded cloud is stopping", "reason", context.Cause(ctx))
			return nil
		case err := <-s.failed:
			return fmt.Errorf("serving the embedded cloud: %w", err)
		case <-tick.C:
			leave, err := w.shouldLeave()
			if err != nil {
				return err
			}
			if leave {
				s.log.Info("embedded cloud is stopping", "reason", "no clients", "idle", w.idle)
				return nil
			}
		}
	}
}

// stop lets calls under way finish for a moment, then closes everything.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	var errs []error
	if s.http != nil {
		if err := s.http.Shutdown(ctx); err != nil {
			errs = append(errs, s.http.Close())
		}
		hard := time.AfterFunc(shutdownGrace, s.grpc.Stop)
		s.grpc.GracefulStop()
		hard.Stop()
	}
	if err := s.warehouse.Close(); err != nil {
		errs = append(errs, fmt.Errorf("closing the warehouse: %w", err))
	}
	return errors.Join(errs...)
}

func withInstance(id string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != instancePath {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, id) // a client that is gone needs no answer
	})
}

// listen opens want. Without a port in want it prefers the port of prev, so that clients find a
// restarted server where they know it.
func listen(want, prev string) (net.Listener, error) {
	host, port := "", ""
	if want != "" {
		var err error
		if host, port, err = net.SplitHostPort(want); err != nil {
			return nil, fmt.Errorf("address %q is not host:port: %w", want, err)
		}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if port != "" && port != "0" {
		return net.Listen("tcp", net.JoinHostPort(host, port))
	}
	if _, prevPort, err := net.SplitHostPort(prev); err == nil {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, prevPort)); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}
