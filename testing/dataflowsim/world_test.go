package dataflowsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/storage"
	dataflow "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
	bqlocal "github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/kms"
	template "github.com/cloudact/convergence/templates/dataflow"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

const (
	project  = "platform"
	region   = "europe-west1"
	bucket   = "convergence-runs"
	dataset  = "acme_local"
	secret   = "sk-admin-canary-5d20b1f0"
	patience = 90 * time.Second
	glance   = 50 * time.Millisecond
)

var built struct {
	sync.Once
	dir, path string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// jobBinary builds the binary of the template once, unless E2E_JOB_BINARY names one.
func jobBinary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "convergence-job-"); built.err == nil { //nolint:usetesting // it outlives the test that needs it first
			built.path, built.err = dataflowsim.BuildLauncher(built.dir, os.Getenv("E2E_JOB_BINARY"))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// world is a Dataflow, a warehouse, a key service and a credential.
type world struct {
	t        *testing.T
	sim      *dataflowsim.Sim
	dataflow *dataflow.Service
	storage  *storage.Client
	bigquery *bigquery.Client
	template string
}

// newWorld starts everything; environ is what launchers and workers get beside the
// addresses of the warehouse and the key service.
func newWorld(t *testing.T, environ ...string) *world {
	t.Helper()
	w := &world{t: t}
	url := bqlocal.RunT(t)
	w.bigquery = must(bigquery.NewClient(t.Context(), project, option.WithEndpoint(url+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{})))
	keys := w.prepareWarehouse()
	var err error
	w.sim, err = dataflowsim.New(dataflowsim.Options{
		Launcher: jobBinary(t), Bucket: bucket, LauncherFlags: []string{"--a_flag_of_a_newer_launcher=1", "--another"}, Log: logger(t),
		Env: append([]string{"CONVERGENCE_BIGQUERY_ENDPOINT=" + url, "CONVERGENCE_KMS_ENDPOINT=" + keys}, environ...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sim.Close)
	w.dataflow = must(dataflow.NewService(t.Context(), option.WithEndpoint(w.sim.Endpoint()), option.WithHTTPClient(&http.Client{})))
	w.storage = must(gcsfolder.NewClient(t.Context(), option.WithEndpoint("http://"+w.sim.StorageHost()+"/storage/v1/"), option.WithoutAuthentication()))
	spec := must(template.Spec("registry.example/convergence-job:test"))
	w.template = w.sim.Put("templates/convergence.json", spec)
	return w
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func logger(t *testing.T) *slog.Logger {
	if !testing.Verbose() {
		return nil
	}
	return slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type writer struct{ t *testing.T }

func (w writer) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(string(b))
	}
	return len(b), nil
}

// prepareWarehouse makes the datasets, and stores the credential of acme. It returns the
// address of the key service.
func (w *world) prepareWarehouse() string {
	w.t.Helper()
	ctx := w.t.Context()
	for _, name := range []string{"organizations", dataset} {
		if err := w.bigquery.Dataset(name).Create(ctx, &bigquery.DatasetMetadata{Location: "US"}); err != nil {
			w.t.Fatal(err)
		}
	}
	var document struct{ Fields json.RawMessage }
	if err := json.Unmarshal(must(os.ReadFile("../../configs/organizations/org_integration_credentials.json")), &document); err != nil {
		w.t.Fatal(err)
	}
	schema := must(bigquery.SchemaFromJSON(document.Fields))
	if err := w.bigquery.Dataset("organizations").Table("org_integration_credentials").Create(ctx, &bigquery.TableMetadata{Schema: schema}); err != nil {
		w.t.Fatal(err)
	}
	server := must(kms.Open(""))
	name := credentials.DefaultKeyName(project)
	if err := server.EnsureKey(name); err != nil {
		w.t.Fatal(err)
	}
	address := kms.RunT(w.t, server)
	client := must(kmsapi.NewKeyManagementClient(ctx, option.WithEndpoint(address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))))
	w.t.Cleanup(func() { _ = client.Close() })
	store := credentials.New(credentials.Config{BigQuery: w.bigquery, KMS: client, KeyName: name, Dataset: "organizations", Clock: time.Now})
	if _, err := store.Set(ctx, credentials.Credential{
		Org: "acme", Provider: "OPENAI", Type: credentials.APIKey, Secret: credentials.NewSecret(secret), Status: credentials.Valid,
	}); err != nil {
		w.t.Fatal(err)
	}
	return address
}

// spec is a run of a document over two days.
func spec(document string) runfolder.Spec {
	now := time.Now().UTC()
	return runfolder.Spec{
		RunID: "0b5c1f0e-0000-5000-8000-000000000001", Attempt: 1, Epoch: 1, Org: "acme", Env: "local", Project: project,
		Dataset: dataset, Location: "US", Pipeline: "openai/cost/usage_cost", Document: document, File: "p.yml",
		StartDate: civil.Date{Year: 2026, Month: 8, Day: 19}, EndDate: civil.Date{Year: 2026, Month: 8, Day: 20},
		Now: now, Deadline: now.Add(patience), Runner: "dataflow",
	}
}

// scalar returns the only cell of a query.
func (w *world) scalar(sql string) string {
	w.t.Helper()
	it, err := w.bigquery.Query(sql).Read(w.t.Context())
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	var cells []bigquery.Value
	if err := it.Next(&cells); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	if err := it.Next(new([]bigquery.Value)); !errors.Is(err, iterator.Done) {
		w.t.Fatalf("%s has more than one row", sql)
	}
	return fmt.Sprint(cells[0])
}

// eventually polls, because processes have no other way to tell.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s in vain until %s", patience, what)
		case <-time.After(glance):
		}
	}
}
