package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const watchEvery = 200 * time.Millisecond // an adopted job, whose end nobody reports

var _ launcher.Adopter = (*Runner)(nil)

// ErrLives says that a job works in a folder in which another one is to be started.
var ErrLives = errors.New("a job of this run still lives")

// openLog opens the log of a job and locks it. The lock belongs to the open file, which
// the job inherits as its output: it is held as long as the job lives, whatever becomes
// of its launcher, and nobody has to believe a process id.
func openLog(folder *runfolder.Folder) (*os.File, error) {
	log, err := os.OpenFile(folder.Path(runfolder.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open job log: %w", err)
	}
	err = syscall.Flock(int(log.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return log, nil
	}
	_ = log.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, ErrLives
	}
	return nil, fmt.Errorf("lock job log: %w", err)
}

// lives reports whether a job works in the folder.
func lives(folder *runfolder.Folder) (bool, error) {
	if _, err := os.Stat(folder.Path(runfolder.LogFile)); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	log, err := openLog(folder)
	if errors.Is(err, ErrLives) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, log.Close()
}

// Adopt returns the job that lives in a folder, which a launcher that is gone has started.
func (r *Runner) Adopt(_ context.Context, folder *runfolder.Folder) (launcher.Process, bool, error) {
	alive, err := lives(folder)
	if err != nil || !alive {
		return nil, false, err
	}
	a := &adopted{folder: folder, grace: r.grace(), gone: make(chan struct{})}
	job, err := folder.ReadJob()
	if err == nil {
		id, ok := procid.Parse(job.Process)
		if ok && id.Fate() == procid.Alive && id.PID == job.PID {
			a.pid = job.PID
		}
	}
	// Without a process id (the launcher died between starting the job and noting it) the
	// job can be followed but not stopped; it ends at its own deadline at the latest.
	return a, true, nil
}

// adopted is a job that is no child of this process.
type adopted struct {
	folder *runfolder.Folder
	pid    int // 0 = unknown
	grace  time.Duration
	stopper
	gone chan struct{}
}

// Wait implements launcher.Process; call it once.
func (a *adopted) Wait() error {
	defer close(a.gone)
	for {
		alive, err := lives(a.folder)
		if err != nil || !alive {
			return err
		}
		time.Sleep(watchEvery)
	}
}

// Stop implements launcher.Process.
func (a *adopted) Stop() {
	if a.pid > 0 {
		a.stop(a.pid, a.grace, a.gone)
	}
}
