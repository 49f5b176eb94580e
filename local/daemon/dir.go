package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The files of a data directory that this package makes or has made.
const (
	warehouseFile = "warehouse.duckdb"
	keyFile       = "kms.json"
	recordFile    = "server.json"
	logFile       = "server.log"
	serverLock    = "server.lock"
	clientsLock   = "clients.lock"
)

// prepareDir makes the data directory private to its user and returns its absolute path.
// An existing directory that others can enter is narrowed only if it is empty or one of ours.
func prepareDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("opening the data directory: its name is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("opening the data directory: %w", err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", fmt.Errorf("creating the data directory: %w", err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("opening the data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return abs, nil
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return "", fmt.Errorf("opening the data directory: %w", err)
	}
	ours := func(e os.DirEntry) bool { return e.Name() == clientsLock || e.Name() == warehouseFile }
	if len(entries) > 0 && !slices.ContainsFunc(entries, ours) {
		return "", fmt.Errorf("opening the data directory %s: it holds other files and other users can enter it; choose an empty directory or run chmod 700 on it", abs)
	}
	if err := os.Chmod(abs, 0o700); err != nil {
		return "", fmt.Errorf("making the data directory private: %w", err)
	}
	return abs, nil
}

// openLock opens a lock file. Closing it releases the lock; child processes do not inherit it.
func openLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock file: %w", err)
	}
	return f, nil
}

// tryLock takes an flock of the given kind (unix.LOCK_EX or LOCK_SH) if nobody is in the way.
func tryLock(f *os.File, kind int) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), kind|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return false, fmt.Errorf("locking %s: %w; the data directory must be on a local file system", f.Name(), err)
		}
	}
}

func unlock(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		return fmt.Errorf("unlocking %s: %w", f.Name(), err)
	}
	return nil
}

// watch decides when a running server leaves.
type watch struct {
	dir           string
	lock, clients *os.File
	idle          time.Duration
	stay          bool

	lastBusy  time.Time
	lastTouch time.Time // modification time of clients.lock, which every client renews
}

// shouldLeave is called at short intervals. Once it returns true it holds clients.lock exclusively,
// so that no new client can count on a server that is leaving.
func (w *watch) shouldLeave() (bool, error) {
	held, err := w.lock.Stat()
	if err != nil {
		return false, fmt.Errorf("watching %s: %w", w.dir, err)
	}
	there, err := os.Stat(w.lock.Name())
	if err != nil || !os.SameFile(held, there) {
		return false, fmt.Errorf("watching %s: %w", w.dir, ErrVanished)
	}
	if w.stay {
		return false, nil
	}
	alone, err := tryLock(w.clients, unix.LOCK_EX)
	if err != nil {
		return false, err
	}
	info, err := w.clients.Stat()
	if err != nil {
		return false, fmt.Errorf("watching %s: %w", w.dir, err)
	}
	if !alone || !info.ModTime().Equal(w.lastTouch) {
		w.lastBusy, w.lastTouch = time.Now(), info.ModTime()
	}
	if !alone {
		return false, nil
	}
	if time.Since(w.lastBusy) >= w.idle {
		return true, nil
	}
	return false, unlock(w.clients)
}

// pause waits for d or until ctx ends, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
