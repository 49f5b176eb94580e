// Command convergence-job is the Flex Template binary: the entry of a job alone, built
// without CGO. As a launcher it compiles the pipeline of a run spec and hands it to a
// runner; started by a worker it becomes the worker.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
	template "github.com/cloudact/convergence/templates/dataflow"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// version is set when the binary is linked.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags of a launcher; Beam registers its own beside them.
type options struct {
	parameters    map[string]*string // of the template
	pipeline      string
	runner        string
	containerSpec string
	version       bool
}

func (o options) spec() string { return *o.parameters[template.ParamSpec] }

func register(flags *flag.FlagSet) *options {
	o := &options{parameters: template.Register(flags)}
	flags.StringVar(&o.pipeline, "pipeline", "", "compile a shipped pipeline (provider/domain/name) for nobody, to check that it builds")
	flags.StringVar(&o.runner, "runner", "", "runner, instead of the one that the spec names")
	flags.StringVar(&o.containerSpec, "container_spec", "", "print the container spec of the Flex Template for the image of this name, and end")
	flags.BoolVar(&o.version, "version", false, "print the version, and end")
	return o
}

func execute(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	o := register(flag.CommandLine)
	args, unknown := tolerate(args, flag.CommandLine)
	if err := flag.CommandLine.Parse(args); err != nil {
		return exitUsage
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if len(unknown) > 0 {
		log.Warn("flags of the launcher that this version does not know are left out", "flags", unknown)
	}
	err := start(ctx, o, environ, stdout, stderr, log)
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

func start(ctx context.Context, o *options, environ []string, stdout, stderr io.Writer, log *slog.Logger) error {
	switch {
	case o.version:
		fmt.Fprintln(stdout, "convergence-job", version)
		return nil
	case o.containerSpec != "":
		b, err := template.Spec(o.containerSpec)
		if err != nil {
			return usageError{err}
		}
		_, err = stdout.Write(b)
		return err
	}
	if isWorker() {
		return work(environ, log)
	}
	env, err := o.environment(environ)
	if err != nil {
		return usageError{err}
	}
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		return err
	}
	hooks(env, catalog)
	beam.Init()
	spec, folders, err := o.read(ctx, catalog)
	if err != nil {
		return err
	}
	if catalog, err = catalog.WithProviders(spec.Providers); err != nil {
		return err
	}
	env.Static(catalog) // a deployment may have providers of its own
	if spec.Runner == run.Dataflow {
		if err := prepare(ctx, spec, catalog, folders.remote); err != nil {
			return err
		}
	}
	result, err := run.Job(ctx, spec, run.Config{Catalog: catalog, Folder: folders.local, Log: log})
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

// environment is that of the process with the parameters of the template above it. A job
// of the template is one of production unless somebody says otherwise.
func (o *options) environment(environ []string) (wiring.Environment, error) {
	for _, p := range template.Parameters() {
		value := *o.parameters[p.Name]
		if p.Name == template.ParamSpec && !remote(value) {
			continue // a file of this machine
		}
		if err := p.Check(value); err != nil {
			return wiring.Environment{}, err
		}
	}
	settings := map[string]string{
		envKMSKey: *o.parameters[template.ParamKMSKey], envLogLevel: *o.parameters[template.ParamLogLevel],
		envName: *o.parameters[template.ParamEnvironment],
	}
	if remote(o.spec()) && !named(environ, envName) {
		settings[envName] = cmp.Or(settings[envName], "production")
	}
	return wiring.Read(above(environ, settings))
}

// Names of the settings that parameters and pipeline options carry.
const (
	envName     = "ENVIRONMENT"
	envProject  = "GCP_PROJECT_ID"
	envLocation = "BIGQUERY_LOCATION"
	envKMSKey   = "KMS_KEY_NAME"
	envLogLevel = "LOG_LEVEL"
)

// above puts settings over an environment; empty ones leave it as it is.
func above(environ []string, settings map[string]string) []string {
	environ = slices.Clone(environ)
	for name, value := range settings {
		if value != "" {
			environ = append(environ, name+"="+value) // the last one counts
		}
	}
	return environ
}

func named(environ []string, name string) bool {
	return slices.ContainsFunc(environ, func(pair string) bool {
		value, ok := strings.CutPrefix(pair, name+"=")
		return ok && value != ""
	})
}

// handedOver says what became of a graph that this process does not follow, by Beam's
// own flags.
func handedOver() string {
	switch template := flagValue("template_location"); {
	case flagValue("dry_run") == "true":
		return "dry run: nothing was submitted"
	case template != "":
		return "its graph was staged to " + template
	default:
		return "its job was submitted; the service says how it ends"
	}
}

func flagValue(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}
