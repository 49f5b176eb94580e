package main

import (
	"context"
	"log/slog"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// runners starts the job of a run where its spec says. Close it after the launcher.
type runners struct {
	here     launcher.Runner
	dataflow *dataflow.Runner // nil: not set up
	env      wiring.Environment
}

var (
	_ launcher.Adopter = (*runners)(nil)
	_ launcher.Remote  = (*runners)(nil)
)

func newRunners(ctx context.Context, env wiring.Environment, here launcher.Runner, log *slog.Logger) (*runners, error) {
	remote, err := env.DataflowRunner(ctx, log)
	return &runners{here: here, dataflow: remote, env: env}, err
}

// of returns the runner of a spec.
func (r *runners) of(folder *runfolder.Folder) (launcher.Runner, error) {
	spec, err := folder.ReadSpec()
	if err != nil {
		return nil, err
	}
	if spec.Runner != run.Dataflow {
		return r.here, nil
	}
	if r.dataflow == nil { // it was set up when the run was recorded
		return nil, &launcher.Error{Code: launcher.CodeNotConfigured, Message: r.env.CheckRunner(run.Dataflow).Error()}
	}
	return r.dataflow, nil
}

// Start implements launcher.Runner.
func (r *runners) Start(ctx context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	runner, err := r.of(folder)
	if err != nil {
		return nil, err
	}
	return runner.Start(ctx, folder)
}

// Adopt implements launcher.Adopter.
func (r *runners) Adopt(ctx context.Context, folder *runfolder.Folder) (launcher.Process, bool, error) {
	runner, err := r.of(folder)
	if err != nil {
		return nil, false, err
	}
	if adopter, ok := runner.(launcher.Adopter); ok {
		return adopter.Adopt(ctx, folder)
	}
	return nil, false, nil
}

// IsRemote implements launcher.Remote.
func (r *runners) IsRemote(engine string) bool { return engine == run.Dataflow && r.dataflow != nil }

// Detach implements launcher.Remote.
func (r *runners) Detach(p launcher.Process) { r.dataflow.Detach(p) }

func (r *runners) close() {
	if r.dataflow != nil {
		r.dataflow.Close()
	}
}
