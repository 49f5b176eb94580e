package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/storage"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	template "github.com/cloudact/convergence/templates/dataflow"
	"github.com/cloudact/convergence/transforms/sink"
	"github.com/cloudact/convergence/transforms/source"
)

// Pipeline options that the launcher sets beside its flags.
const (
	optionProject  = "warehouse_project"
	optionLocation = "warehouse_location"
)

// optionsFile names the file in which a container finds the pipeline options.
const optionsFile = "PIPELINE_OPTIONS_FILE"

const reportTimeout = time.Minute

func isWorker() bool { return flagValue("worker") == "true" }

// work makes this process a worker. What it may know it knows from the pipeline options,
// which hold references only; what it may do is what its machine's identity may do.
func work(environ []string, log *slog.Logger) error {
	set, err := pipelineOptions(environ)
	if err != nil {
		return err
	}
	env, err := wiring.Read(above(environ, map[string]string{
		envName: set[template.ParamEnvironment], envKMSKey: set[template.ParamKMSKey], envLogLevel: set[template.ParamLogLevel],
		envProject: set[optionProject], envLocation: set[optionLocation],
	}))
	if err != nil {
		return err
	}
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		return err
	}
	hooks(env, catalog)
	if spec := set[template.ParamSpec]; remote(spec) {
		r := &reporter{spec: spec, log: log}
		compile.UseReporter(r.report)
	}
	beam.Init() // does not return
	return errors.New("the worker was started without Beam's flags for one")
}

// pipelineOptions reads the options before Beam does, from where Beam does.
func pipelineOptions(environ []string) (map[string]string, error) {
	text := []byte(flagValue("options"))
	for _, pair := range environ {
		if len(pair) > len(optionsFile) && pair[:len(optionsFile)+1] == optionsFile+"=" && len(pair) > len(optionsFile)+1 {
			b, err := os.ReadFile(pair[len(optionsFile)+1:])
			if err != nil {
				return nil, fmt.Errorf("read pipeline options: %w", err)
			}
			text = b
		}
	}
	if len(text) == 0 {
		return nil, nil
	}
	var all runtime.RawOptionsWrapper
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read pipeline options: %w", err)
	}
	return all.Options.Options, nil
}

// reporter leaves outcomes of steps in the run's folder.
type reporter struct {
	spec string
	log  *slog.Logger

	once   sync.Once
	folder *gcsfolder.Folder
	err    error
}

func (r *reporter) report(s sink.StepResult) error {
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	r.once.Do(func() {
		var client *storage.Client
		if client, r.err = gcsfolder.NewClient(context.Background()); r.err == nil {
			r.folder, r.err = gcsfolder.Of(client, r.spec)
		}
	})
	if r.err != nil {
		return r.err
	}
	r.log.Info("step ended", "step", s.Step, "state", s.State, "code", s.Code)
	return r.folder.WriteStep(ctx, run.StepResult(s))
}

// hooks gives transforms what a graph does not carry. Nothing is connected before the
// first Setup needs it: a machine that only compiles has no credentials.
func hooks(env wiring.Environment, catalog *configs.Catalog) {
	env.Static(catalog)
	c := &connection{env: env}
	source.UseSecrets(c)
	sink.UseWarehouse(c)
}

// connection makes the clients when they are first needed. An error is not kept: the
// metadata server of a machine that has just started may need a moment.
type connection struct {
	env wiring.Environment

	mu      sync.Mutex
	clients *wiring.Clients
}

func (c *connection) connect() (*wiring.Clients, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients == nil {
		clients, err := c.env.Connect(context.Background()) // it outlives whoever asks first
		if err != nil {
			return nil, err
		}
		c.clients = clients
	}
	return c.clients, nil
}

// Client implements sink.Warehouse.
func (c *connection) Client(ctx context.Context, project string) (*bigquery.Client, error) {
	clients, err := c.connect()
	if err != nil {
		return nil, err
	}
	return clients.Client(ctx, project)
}

// Resolve implements source.Secrets.
func (c *connection) Resolve(ctx context.Context, org, provider string) (string, error) {
	clients, err := c.connect()
	if err != nil {
		return "", err
	}
	return credentials.Plain{Store: clients.Credentials}.Resolve(ctx, org, provider)
}
