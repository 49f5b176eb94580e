// Package local runs a job as a child process of the launcher: one process per run, in a
// process group of its own, with an environment of allow-listed names. The child gets the
// path of its spec and nothing else; it answers through its run folder.
package local

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const defaultGrace = 10 * time.Second

// Runner starts jobs. Command is the program with its leading arguments, to which
// "--spec FILE" is added; Env is the whole environment of the child.
type Runner struct {
	Command []string
	Env     []string
	Grace   time.Duration // between asking a job to stop and killing its group; 0 = 10 s
}

var _ launcher.Runner = (*Runner)(nil)

// Start starts the job of a run folder. Its output goes to job.log there. The error is
// ErrLives if a job works in the folder already.
func (r *Runner) Start(_ context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	if len(r.Command) == 0 {
		return nil, errors.New("no job command configured")
	}
	log, err := openLog(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	args := append(append([]string(nil), r.Command[1:]...), "--spec", folder.Path(runfolder.SpecFile))
	cmd := exec.Command(r.Command[0], args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{}, r.Env...), log, log // nil would be all of ours
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Command[0], err)
	}
	p := &process{cmd: cmd, grace: r.grace(), gone: make(chan struct{})}
	id := procid.New() // of this machine, with the child's process id
	id.PID = cmd.Process.Pid
	id.Start, _ = procid.StartTime(id.PID)
	if err := folder.WriteJob(runfolder.Job{PID: id.PID, Process: id.String()}); err != nil {
		p.Stop() // a launcher that comes after this one could not
		return nil, errors.Join(err, p.Wait())
	}
	return p, nil
}

func (r *Runner) grace() time.Duration {
	if r.Grace <= 0 {
		return defaultGrace
	}
	return r.Grace
}

type process struct {
	cmd   *exec.Cmd
	grace time.Duration
	stopper
	gone chan struct{}
}

// Wait implements launcher.Process; call it once.
func (p *process) Wait() error {
	err := p.cmd.Wait()
	close(p.gone)
	return err
}

// Stop implements launcher.Process.
func (p *process) Stop() { p.stop(p.cmd.Process.Pid, p.grace, p.gone) }

// stopper ends a process group once.
type stopper struct{ once sync.Once }

// stop sends SIGTERM to the job's group, and SIGKILL if it is still there after the grace
// period.
func (s *stopper) stop(pid int, grace time.Duration, gone <-chan struct{}) {
	select {
	case <-gone: // its group id may be another's by now
		return
	default:
	}
	s.once.Do(func() {
		_ = syscall.Kill(-pid, syscall.SIGTERM)
		go func() {
			select {
			case <-gone:
			case <-time.After(grace):
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}()
	})
}
