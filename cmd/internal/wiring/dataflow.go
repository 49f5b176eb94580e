package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	template "github.com/cloudact/convergence/templates/dataflow"
)

// Names of runners. Those that this process knows how to start jobs of.
const (
	RunnerPrism    = "prism"
	RunnerDirect   = "direct"
	RunnerDataflow = "dataflow"
)

// Names of the settings without which there is no Dataflow.
const (
	envTemplate = "CONVERGENCE_DATAFLOW_TEMPLATE"
	envRegion   = "CONVERGENCE_DATAFLOW_REGION"
	envFolder   = "CONVERGENCE_DATAFLOW_FOLDER"
)

// Dataflow says where and how jobs of the Flex Template run.
type Dataflow struct {
	Template, Region, Folder string
	ServiceAccount           string
	Subnetwork               string
	MachineType              string
	MaxWorkers               int
	Poll                     time.Duration
	Endpoint                 string // base URL; "" = Google's
	StorageEndpoint          string // base URL; "" = Google's
}

// CheckRunner refuses a runner whose jobs cannot be started here. "" is the default one.
func (e Environment) CheckRunner(name string) error {
	if name == "" {
		name = e.Runner
	}
	switch name {
	case RunnerPrism, RunnerDirect:
		return nil
	case RunnerDataflow:
		return e.checkDataflow()
	default:
		return fmt.Errorf("runner %q is not one that jobs can be started on; there are %s, %s and %s", name, RunnerPrism, RunnerDirect, RunnerDataflow)
	}
}

func (e Environment) checkDataflow() error {
	var missing []string
	for _, s := range []struct{ name, value string }{{envTemplate, e.Dataflow.Template}, {envRegion, e.Dataflow.Region}, {envFolder, e.Dataflow.Folder}} {
		if s.value == "" {
			missing = append(missing, s.name)
		}
	}
	switch {
	case len(missing) > 0:
		return fmt.Errorf("the runner dataflow is not set up: set %s", strings.Join(missing, ", "))
	case e.Embedded() && e.Dataflow.Endpoint == "": // workers of a simulated one are on this machine
		return errors.New("the runner dataflow needs a warehouse that its workers reach, and the one in use is embedded: set " + envProject)
	}
	return nil
}

// DataflowRunner returns the runner of Dataflow jobs, nil where none is set up. Close it
// after the launcher; jobs go on without it.
func (e Environment) DataflowRunner(ctx context.Context, log *slog.Logger) (*dataflow.Runner, error) {
	if e.checkDataflow() != nil {
		return nil, nil
	}
	var jobs, files []option.ClientOption
	if e.Dataflow.Endpoint != "" {
		jobs = append(jobs, option.WithEndpoint(strings.TrimSuffix(e.Dataflow.Endpoint, "/")+"/"), option.WithHTTPClient(&http.Client{}))
	}
	if e.Dataflow.StorageEndpoint != "" {
		files = append(files, option.WithEndpoint(strings.TrimSuffix(e.Dataflow.StorageEndpoint, "/")+"/storage/v1/"), option.WithoutAuthentication())
	}
	service, err := df.NewService(ctx, jobs...)
	if err != nil {
		return nil, fmt.Errorf("make Dataflow client: %w", err)
	}
	storage, err := gcsfolder.NewClient(ctx, files...)
	if err != nil {
		return nil, err
	}
	parameters := map[string]string{template.ParamEnvironment: e.Name, template.ParamLogLevel: e.LogLevel}
	if e.KMSKey != "" {
		parameters[template.ParamKMSKey] = e.KMSKey
	}
	return dataflow.New(dataflow.Config{
		Dataflow: service, Storage: storage, Project: e.Project, Region: e.Dataflow.Region, Template: e.Dataflow.Template, Folder: e.Dataflow.Folder,
		Parameters: parameters, Poll: e.Dataflow.Poll, Log: log,
		Environment: df.FlexTemplateRuntimeEnvironment{
			ServiceAccountEmail: e.Dataflow.ServiceAccount, Subnetwork: e.Dataflow.Subnetwork, MachineType: e.Dataflow.MachineType, MaxWorkers: int64(e.Dataflow.MaxWorkers),
		},
	})
}

func bucketAddress(_ *Environment, v string) error {
	if name, _, _ := strings.Cut(strings.TrimPrefix(v, "gs://"), "/"); !strings.HasPrefix(v, "gs://") || name == "" {
		return fmt.Errorf("is %q; it must be an address in Cloud Storage, such as gs://bucket/folder", v)
	}
	return nil
}
