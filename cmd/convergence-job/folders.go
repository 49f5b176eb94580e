package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// folders are where a job finds its spec and leaves how it went: a folder of this
// machine, or one of Cloud Storage, or neither.
type folders struct {
	local  *runfolder.Folder
	remote *gcsfolder.Folder
}

func remote(spec string) bool { return strings.HasPrefix(spec, "gs://") }

func (o *options) read(ctx context.Context, catalog *configs.Catalog) (runfolder.Spec, folders, error) {
	runner := runnerName(o.runner)
	switch spec := o.spec(); {
	case spec != "" && o.pipeline != "":
		return runfolder.Spec{}, folders{}, usageError{errors.New("--spec and --pipeline exclude each other")}
	case o.pipeline != "":
		file, ok := catalog.ByPath(o.pipeline)
		if !ok {
			return runfolder.Spec{}, folders{}, fmt.Errorf("there is no pipeline %s; there are: %s", o.pipeline, strings.Join(catalog.List(), ", "))
		}
		return run.DryRunSpec(file, runner, time.Now().UTC()), folders{}, nil
	case spec == "":
		return runfolder.Spec{}, folders{}, usageError{errors.New("--spec is missing: it names the spec.json of a run folder")}
	case remote(spec):
		return readRemote(ctx, spec, runner)
	default:
		return readLocal(spec, runner)
	}
}

func readLocal(spec, runner string) (runfolder.Spec, folders, error) {
	if _, err := os.Stat(spec); err != nil { // opening a run folder makes it
		return runfolder.Spec{}, folders{}, fmt.Errorf("read spec: %w", err)
	}
	folder, err := runfolder.Open(filepath.Dir(spec))
	if err != nil {
		return runfolder.Spec{}, folders{}, err
	}
	s, err := folder.ReadSpec()
	s.Runner = cmp.Or(runner, s.Runner)
	return s, folders{local: folder}, err
}

// readRemote reads a spec of Cloud Storage. Only Dataflow leaves outcomes there; a job of
// another runner would end without a trace.
func readRemote(ctx context.Context, spec, runner string) (runfolder.Spec, folders, error) {
	client, err := gcsfolder.NewClient(ctx)
	if err != nil {
		return runfolder.Spec{}, folders{}, err
	}
	folder, err := gcsfolder.Of(client, spec)
	if err != nil {
		return runfolder.Spec{}, folders{}, usageError{err}
	}
	s, err := folder.ReadSpec(ctx)
	if err != nil {
		return runfolder.Spec{}, folders{}, err
	}
	if s.Runner = cmp.Or(runner, s.Runner); s.Runner != run.Dataflow {
		return runfolder.Spec{}, folders{}, usageError{fmt.Errorf("a spec in Cloud Storage is for --runner dataflow, not for %q", s.Runner)}
	}
	return s, folders{remote: folder}, nil
}

// prepare leaves the plan where the launcher of the run looks for it, and tells Beam what
// workers must know: which binary they are, and whose warehouse they write to.
func prepare(ctx context.Context, spec runfolder.Spec, catalog *configs.Catalog, folder *gcsfolder.Folder) error {
	if flagValue("worker_binary") == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		if err := flag.Set("worker_binary", self); err != nil { // else Beam would look for a compiler
			return err
		}
	}
	if err := flag.Set("async", "true"); err != nil { // the launcher of the run follows the job
		return err
	}
	beam.PipelineOptions.Set(optionProject, spec.Project)
	beam.PipelineOptions.Set(optionLocation, spec.Location)
	if folder == nil {
		return nil
	}
	p, err := run.Plan(ctx, spec, catalog)
	if err != nil {
		return err
	}
	var plan gcsfolder.Plan
	for _, s := range p.Steps {
		plan.Steps = append(plan.Steps, gcsfolder.Step{ID: s.ID, MayFail: s.OnFailure == "continue" || s.OnFailure == "alert"})
	}
	return folder.WritePlan(ctx, plan)
}
