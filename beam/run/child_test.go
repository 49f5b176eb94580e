package run_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/process"
	"github.com/cloudact/convergence/transforms/sink"
	"github.com/cloudact/convergence/transforms/source"
)

// Names of the variables that make this test binary a job process: a process runs one
// job, because Beam's state is global.
const (
	envFolder    = "RUN_TEST_FOLDER"
	envWarehouse = "RUN_TEST_WAREHOUSE"
	envOrigin    = "RUN_TEST_ORIGIN"
	adminKey     = "sk-admin-run-5d20b1"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if folder := os.Getenv(envFolder); folder != "" {
		os.Exit(child(folder))
	}
	os.Exit(m.Run())
}

// child is a job process. It leaves a result or says why it could not.
func child(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runJob(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		return 1
	}
	return 0
}

func runJob(ctx context.Context, dir string) error {
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		return err
	}
	source.UseSecrets(secrets{})
	source.UseOrigins(func(string) string { return os.Getenv(envOrigin) })
	source.UseGuard(source.Guard{AllowLoopback: true})
	process.UsePrices(prices)
	sink.UseWarehouse(warehouse{os.Getenv(envWarehouse)})
	beam.Init()
	folder, err := runfolder.Open(dir)
	if err != nil {
		return err
	}
	spec, err := folder.ReadSpec()
	if err != nil {
		return err
	}
	_, err = run.Job(ctx, spec, run.Config{Catalog: catalog, Folder: folder, Log: slog.Default()})
	return err
}

type secrets struct{}

func (secrets) Resolve(context.Context, string, string) (string, error) { return adminKey, nil }

func prices() (*pricing.Table, error) {
	var files []pricing.File
	for _, name := range []string{"genai-prices.json", "openai_tiers.json"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "configs", "pricing", name))
		if err != nil {
			return nil, err
		}
		files = append(files, pricing.File{Name: name, Data: data})
	}
	return pricing.Parse(files...)
}

type warehouse struct{ url string }

func (w warehouse) Client(ctx context.Context, project string) (*bigquery.Client, error) {
	return bigquery.NewClient(ctx, project, option.WithEndpoint(w.url+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
}
