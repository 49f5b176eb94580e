package wiring

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// Job runs one spec in this process. folder may be nil, when nobody follows; Beam and its
// runner log to log, too. Call it once a process: Beam's state is global.
func (e Environment) Job(ctx context.Context, spec runfolder.Spec, folder *runfolder.Folder, log *slog.Logger) (runfolder.Result, error) {
	catalog, err := e.Catalog()
	if err != nil {
		return runfolder.Result{}, err
	}
	catalog = catalog.For(spec.Org)
	clients, err := e.Connect(ctx)
	if err != nil {
		return runfolder.Result{}, err
	}
	defer func() {
		if err := clients.Close(); err != nil {
			log.Debug("close clients", "error", err)
		}
	}()
	e.Hooks(catalog, clients)
	if !beam.Initialized() {
		beam.Init()
	}
	slog.SetDefault(log) // Init has set one that writes to standard error
	beamlog.SetLogger(&beamlog.Structural{})
	result, err := run.Job(ctx, spec, run.Config{Catalog: catalog, Folder: folder, Log: log})
	if err != nil {
		return result, fmt.Errorf("leave result: %w", err)
	}
	return result, nil
}
