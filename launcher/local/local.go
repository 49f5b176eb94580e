// Package local runs a job as a child process of the launcher: one process per run, in a
// process group of its own, with an environment of allow-listed names. The child gets the
// path of its spec and nothing else; it answers through its run folder.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/cloudact/convergence/launcher"
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

// Start starts the job of a run folder. Its output goes to job.log there.
func (r *Runner) Start(_ context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	if len(r.Command) == 0 {
		return nil, errors.New("no job command configured")
	}
	log, err := os.OpenFile(folder.Path(runfolder.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open job log: %w", err)
	}
	defer func() { _ = log.Close() }()
	args := append(append([]string(nil), r.Command[1:]...), "--spec", folder.Path(runfolder.SpecFile))
	cmd := exec.Command(r.Command[0], args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{}, r.Env...), log, log // nil would be all of ours
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Command[0], err)
	}
	grace := r.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	return &process{cmd: cmd, grace: grace, gone: make(chan struct{})}, nil
}

type process struct {
	cmd   *exec.Cmd
	grace time.Duration
	once  sync.Once
	gone  chan struct{}
}

// Wait implements launcher.Process; call it once.
func (p *process) Wait() error {
	err := p.cmd.Wait()
	close(p.gone)
	return err
}

// Stop sends SIGTERM to the job's group, and SIGKILL if it is still there after the
// grace period.
func (p *process) Stop() {
	select {
	case <-p.gone: // its group id may be another's by now
		return
	default:
	}
	p.once.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
		go func() {
			select {
			case <-p.gone:
			case <-time.After(p.grace):
				_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			}
		}()
	})
}
