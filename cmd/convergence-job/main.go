// Command convergence-job is the Flex Template binary: the entry of a job alone, built
// without CGO. As a launcher it compiles the pipeline of a run spec and hands it to a
// runner; started by a worker it becomes the worker.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Environ(), os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags of a launcher; Beam registers its own beside them.
type options struct {
	spec     string
	pipeline string
	runner   string
}

func execute(ctx context.Context, args, environ []string, stderr io.Writer) int {
	var o options
	flag.StringVar(&o.spec, "spec", "", "run spec: a file")
	flag.StringVar(&o.pipeline, "pipeline", "", "compile a shipped pipeline (provider/domain/name) for nobody, to check that it builds")
	flag.StringVar(&o.runner, "runner", "", "runner, instead of the one that the spec names")
	if err := flag.CommandLine.Parse(args); err != nil {
		return exitUsage
	}
	err := start(ctx, o, environ, stderr)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "convergence-job:", err)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "convergence-job:", err)
		return exitFailed
	}
}

type usageError struct{ error }

func start(ctx context.Context, o options, environ []string, stderr io.Writer) error {
	env, err := wiring.Read(environ)
	if err != nil {
		return usageError{err}
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		return err
	}
	clients, err := env.Connect(ctx)
	if err != nil {
		// A machine without credentials still compiles; what needs them says so itself.
		log.Debug("connect", "error", err)
		env.Static(catalog)
	} else {
		env.Hooks(catalog, clients)
	}
	beam.Init() // does not return in a worker
	spec, folder, err := o.read(catalog)
	if err != nil {
		return err
	}
	result, err := run.Job(ctx, spec, run.Config{Catalog: catalog, Folder: folder, Log: log})
	if err != nil {
		return err
	}
	if result.Code == run.CodeNoOutcome {
		fmt.Fprintf(stderr, "convergence-job: pipeline %s was compiled for %s; %s\n", spec.Pipeline, spec.Runner, handedOver())
		return nil
	}
	if result.State != runfolder.Completed {
		return fmt.Errorf("run %s %s: %s: %s", result.RunID, result.State, result.Code, result.Error)
	}
	return json.NewEncoder(stderr).Encode(result)
}

// handedOver says what became of a graph that this process does not follow, by Beam's
// own flags.
func handedOver() string {
	set := func(name string) string {
		if f := flag.Lookup(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	switch template := set("template_location"); {
	case set("dry_run") == "true":
		return "dry run: nothing was submitted"
	case template != "":
		return "its graph was staged to " + template
	default:
		return "its job was submitted; the service says how it ends"
	}
}

func (o options) read(catalog *configs.Catalog) (runfolder.Spec, *runfolder.Folder, error) {
	switch {
	case o.spec != "" && o.pipeline != "":
		return runfolder.Spec{}, nil, usageError{errors.New("--spec and --pipeline exclude each other")}
	case o.pipeline != "":
		file, ok := catalog.ByPath(o.pipeline)
		if !ok {
			return runfolder.Spec{}, nil, fmt.Errorf("there is no pipeline %s; there are: %s", o.pipeline, strings.Join(catalog.List(), ", "))
		}
		return run.DryRunSpec(file, o.runner, time.Now().UTC()), nil, nil
	case o.spec != "":
		if _, err := os.Stat(o.spec); err != nil { // opening a run folder makes it
			return runfolder.Spec{}, nil, fmt.Errorf("read spec: %w", err)
		}
		folder, err := runfolder.Open(filepath.Dir(o.spec))
		if err != nil {
			return runfolder.Spec{}, nil, err
		}
		spec, err := folder.ReadSpec()
		if o.runner != "" {
			spec.Runner = o.runner
		}
		return spec, folder, err
	default:
		return runfolder.Spec{}, nil, usageError{errors.New("--spec is missing: it names the spec.json of a run folder")}
	}
}
