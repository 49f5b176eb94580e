package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultStartTimeout = 30 * time.Second
	pollInterval        = 20 * time.Millisecond
	watchInterval       = 500 * time.Millisecond
	maxFailedStarts     = 3
	maxLog              = 8 << 20
	logTail             = 2 << 10
)

// ErrMoved says that a restarted server did not get its previous ports back.
var ErrMoved = errors.New("the embedded cloud came back on other ports")

// EnsureOptions says which server is needed and how to start it. Dir and Command are required.
type EnsureOptions struct {
	Dir string
	// Command and its arguments run Serve on Dir. It is started in a session of its own,
	// with its output appended to server.log in Dir.
	Command []string
	// Env is the environment of Command; nil is that of this process.
	Env []string
	// StartTimeout bounds the wait for a server that answers; 0 is 30 s.
	StartTimeout time.Duration
}

// Client is a claim on a running server: while it is open the server does not leave.
type Client struct {
	// BigQueryURL is the origin of the warehouse, whose API is below /bigquery/v2/;
	// KMSAddr is host:port of the KMS (gRPC, no TLS).
	BigQueryURL, KMSAddr string

	o      EnsureOptions
	dir    string
	lock   *os.File
	child  startedServer
	failed int
}

// startedServer is a server process that this process started; the zero value is none.
type startedServer struct {
	pid    int
	logPos int64
}

// Ensure returns a client of the server of o.Dir and starts that server if none runs. Any number of
// processes may do this at once; one server results. The caller closes the client.
func Ensure(ctx context.Context, o EnsureOptions) (*Client, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("ensuring the embedded cloud: no command to start it with")
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	dir, err := prepareDir(o.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := openLock(dir, clientsLock)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, dir: dir, lock: lock}
	rec, err := c.join(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.BigQueryURL, c.KMSAddr = rec.BigQueryURL, rec.KMSAddr
	return c, nil
}

// Close gives the claim up; without other clients the server leaves after its idle time. It can be called twice.
func (c *Client) Close() error {
	if err := c.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("leaving the embedded cloud: %w", err)
	}
	return nil
}

// Watch blocks until ctx ends, whose error it returns, and restarts the server on the same ports whenever
// it has died. It returns ErrMoved if the ports have been taken by others, and why a restart failed.
func (c *Client) Watch(ctx context.Context) error {
	for {
		if err := pause(ctx, watchInterval); err != nil {
			return err
		}
		free, err := c.serverGone()
		if err != nil {
			return err
		}
		if !free {
			continue
		}
		rec, err := c.await(ctx)
		if err != nil {
			return err
		}
		if rec.BigQueryURL != c.BigQueryURL || rec.KMSAddr != c.KMSAddr {
			return fmt.Errorf("restarting the embedded cloud of %s: %w: %s and %s", c.dir, ErrMoved, rec.BigQueryURL, rec.KMSAddr)
		}
	}
}

// join takes the claim, then waits for the server.
func (c *Client) join(ctx context.Context) (record, error) {
	waitCtx, cancel := context.WithTimeout(ctx, c.o.StartTimeout)
	defer cancel()
	for {
		ok, err := tryLock(c.lock, unix.LOCK_SH)
		if err != nil {
			return record{}, err
		}
		if ok {
			break
		}
		if err := pause(waitCtx, pollInterval); err != nil {
			return record{}, fmt.Errorf("waiting for the leaving server of %s: %w", c.dir, err)
		}
	}
	now := time.Now()
	if err := os.Chtimes(c.lock.Name(), now, now); err != nil {
		return record{}, fmt.Errorf("joining the embedded cloud: %w", err)
	}
	return c.await(ctx)
}

// await waits until a server answers and starts one whenever nobody holds server.lock.
func (c *Client) await(ctx context.Context) (record, error) {
	waitCtx, cancel := context.WithTimeout(ctx, c.o.StartTimeout)
	defer cancel()
	c.failed = 0
	for {
		rec, err := readRecord(c.dir)
		switch {
		case err == nil && rec.answers(waitCtx):
			return rec, nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return record{}, err
		}
		if err := c.startIfNone(); err != nil {
			return record{}, err
		}
		if err := pause(waitCtx, pollInterval); err != nil {
			return record{}, fmt.Errorf("waiting for the embedded cloud of %s to answer: %w; see %s", c.dir, err, filepath.Join(c.dir, logFile))
		}
	}
}

func (c *Client) startIfNone() error {
	exited, err := c.reap()
	if err != nil {
		return err
	}
	if c.child.pid != 0 && !exited {
		return nil
	}
	free, err := c.serverGone()
	if err != nil {
		return err
	}
	if exited {
		if free {
			c.failed++
		}
		if c.failed >= maxFailedStarts {
			return fmt.Errorf("starting the embedded cloud of %s: %s ended %d times; it says: %s", c.dir, c.o.Command[0], c.failed, c.lastWords())
		}
		c.child = startedServer{}
	}
	if !free {
		return nil
	}
	return c.start()
}

// serverGone reports whether nobody holds server.lock.
func (c *Client) serverGone() (bool, error) {
	// Opened without creating: a vanished directory must not come back as an empty one.
	f, err := os.OpenFile(filepath.Join(c.dir, serverLock), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(c.dir); err != nil {
			return false, fmt.Errorf("looking for the server of %s: %w", c.dir, ErrVanished)
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the server of %s: %w", c.dir, err)
	}
	defer f.Close()
	return tryLock(f, unix.LOCK_SH)
}

// start runs the command apart from this process's session, so that neither Ctrl-C nor a closed
// terminal reaches it.
func (c *Client) start() error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	path := filepath.Join(c.dir, logFile)
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return fmt.Errorf("starting the embedded cloud: %w", err)
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return fmt.Errorf("starting the embedded cloud: %w", err)
	}
	cmd := exec.Command(c.o.Command[0], c.o.Command[1:]...)
	cmd.Env = c.o.Env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the embedded cloud: %w", err)
	}
	c.child = startedServer{pid: cmd.Process.Pid, logPos: info.Size()}
	if err := cmd.Process.Release(); err != nil {
		return fmt.Errorf("starting the embedded cloud: %w", err)
	}
	return nil
}

// reap reports whether the server that this process started has ended. It never blocks: the server is
// meant to outlive this process, so nobody waits for it.
func (c *Client) reap() (bool, error) {
	if c.child.pid == 0 {
		return false, nil
	}
	for {
		pid, err := unix.Wait4(c.child.pid, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("watching the embedded cloud: %w", err)
		default:
			return pid == c.child.pid, nil
		}
	}
}

// lastWords is the end of what the started server has written.
func (c *Client) lastWords() string {
	f, err := os.Open(filepath.Join(c.dir, logFile))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	from := c.child.logPos
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-logTail)
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, from, logTail))
	if err != nil {
		return err.Error()
	}
	if text := strings.TrimSpace(string(raw)); text != "" {
		return text
	}
	return "nothing"
}
