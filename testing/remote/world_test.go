package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store"
	template "github.com/cloudact/convergence/templates/dataflow"
	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/providers/openai"
)

const (
	org    = "acme"
	bucket = "convergence-runs"
	region = "europe-west1"
	apiKey = "acme_api_0123456789abcdefghijkl"
)

var firstDay = civil.Date{Year: 2026, Month: time.August, Day: 19}

// world is a warehouse, a Dataflow and providers, none of which the product under test can
// take along when it dies.
type world struct {
	*lab.Lab
	sim     *dataflowsim.Sim
	usage   *openai.Server // what OpenAI is
	items   *items         // another provider
	plan    *faults.Plan   // of what workers ask the warehouse and the other provider
	environ []string
	started int // services
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Lab: lab.New(t), plan: &faults.Plan{}}
	binary, err := jobBinary()
	if err != nil {
		t.Fatal(err)
	}
	if w.usage, err = openai.New(openai.Config{Seed: 1, Days: openai.Days(firstDay, 2), Orgs: []openai.Org{{Name: org, AdminKey: lab.Canary}}}); err != nil {
		t.Fatal(err)
	}
	proxy, err := w.plan.Proxy(w.BigQuery)
	if err != nil {
		t.Fatal(err)
	}
	w.items = &items{pages: 6}
	w.items.API = http.HandlerFunc(w.items.page)
	warehouse, api, other := server(t, proxy), server(t, w.usage.Handler()), server(t, w.plan.Wrap(w.items, faults.Provider))
	w.items.url = other
	t.Cleanup(w.items.Release) // before its server is closed
	w.sim, err = dataflowsim.New(dataflowsim.Options{
		Launcher: binary, Bucket: bucket,
		Env: []string{"CONVERGENCE_BIGQUERY_ENDPOINT=" + warehouse, "CONVERGENCE_KMS_ENDPOINT=" + w.KMS, "OPENAI_API_BASE_URL=" + api + "/v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sim.Close)
	spec, err := template.Spec("registry.example/convergence-job:test")
	if err != nil {
		t.Fatal(err)
	}
	w.environ = append(lab.Environ(w.Dir),
		"CONVERGENCE_BIGQUERY_ENDPOINT="+w.BigQuery, "CONVERGENCE_KMS_ENDPOINT="+w.KMS, "OPENAI_API_BASE_URL="+api+"/v1",
		"CONVERGENCE_DATAFLOW_TEMPLATE="+w.sim.Put("templates/convergence.json", spec), "CONVERGENCE_DATAFLOW_REGION="+region,
		"CONVERGENCE_DATAFLOW_FOLDER=gs://"+bucket+"/runs", "CONVERGENCE_DATAFLOW_POLL_SECONDS=1",
		"CONVERGENCE_DATAFLOW_ENDPOINT="+w.sim.Endpoint(), "CONVERGENCE_STORAGE_ENDPOINT=http://"+w.sim.StorageHost(),
		"CONVERGENCE_CONFIGS_DIR="+filepath.Join(w.Dir, "configs"),
	)
	mine := strings.ReplaceAll(document, "$API", other)
	w.write("configs/my-api/usage/rows.yml", mine)
	w.write("configs/my-api/usage/replaced.yml", strings.NewReplacer("pipeline_id: rows", "pipeline_id: replaced", "append", "replace_partition").Replace(mine))
	return w
}

func server(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// write puts a file below the folder of the world and returns its path.
func (w *world) write(name, text string) string {
	w.T.Helper()
	path := filepath.Join(w.Dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		w.T.Fatal(err)
	}
	return path
}

// command is a command of the product, whose data directory is one for all of them.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(lab.Binary, args...)
	cmd.Dir, cmd.Env = w.Dir, append(slices.Clone(w.environ), "CONVERGENCE_DATA_DIR="+filepath.Join(w.Dir, "commands"))
	return cmd
}

// try runs a command and returns all that it printed.
func (w *world) try(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := w.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// ok runs a command that has to succeed.
func (w *world) ok(args ...string) string {
	w.T.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.T.Errorf("convergence %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// credential stores the key of the organisation at OpenAI.
func (w *world) credential() {
	w.T.Helper()
	w.ok("credentials", "set", "OPENAI", "--org", org, "--from-file", w.write("key", lab.Canary))
}

// seed makes the organisation one that the service knows.
func (w *world) seed() {
	w.T.Helper()
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		w.T.Fatal(err)
	}
	tables := map[string][]byte{}
	for _, table := range catalog.Central() {
		if tables[table.Name], err = json.Marshal(table); err != nil {
			w.T.Fatal(err)
		}
	}
	s := store.New(store.Config{Client: w.Client, Dataset: "organizations", Location: lab.Location, Tables: tables, Now: launcher.Clock})
	if err := s.Setup(context.Background()); err != nil {
		w.T.Fatal(err)
	}
	sum := sha256.Sum256([]byte(apiKey))
	err = s.SeedDevelopment(context.Background(), store.DevelopmentOrg{
		Slug: org, Company: org, AdminEmail: "admin@acme.example", KeyHash: hex.EncodeToString(sum[:]), Env: "local",
	})
	if err != nil {
		w.T.Fatal(err)
	}
}

// service is a running service whose runs run on Dataflow.
type service struct {
	*lab.Service
	*client.Client
	w *world
}

// serve starts a service on a data directory that no other has seen, as on another machine.
func (w *world) serve() *service {
	w.T.Helper()
	w.started++
	cmd := exec.Command(lab.Binary, "serve", "--addr", "127.0.0.1:0", "--data-dir", filepath.Join(w.Dir, fmt.Sprintf("service%d", w.started)))
	cmd.Dir = w.Dir
	cmd.Env = append(slices.Clone(w.environ), "LOG_LEVEL=INFO", "CONVERGENCE_RUNNER=dataflow", "SCHEDULER_ENABLED=true", "RATE_LIMIT_ENABLED=false",
		"CA_ROOT_API_KEY=ca_root_remote_test_012345678901234567890123456789")
	s := lab.Serve(w.T, cmd)
	return &service{Service: s, Client: client.New(client.Config{BaseURL: s.URL, Key: apiKey, Poll: 4 * lab.Glance}), w: w}
}

// post starts a run of the first day.
func (s *service) post(p client.Pipeline) string {
	s.w.T.Helper()
	started, err := s.Run(context.Background(), org, p, client.RunOptions{Date: firstDay.String()})
	if err != nil {
		s.w.T.Fatal(err)
	}
	return started.ID
}

// ended waits for the end of a run.
func (s *service) ended(id string) client.Run {
	s.w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	run, err := s.Wait(ctx, id, nil)
	if err != nil {
		s.w.T.Fatalf("wait for run %s: %v; the simulator waits for:\n%s", id, err, s.w.sim.Waiting())
	}
	return run
}

// table makes a table of the organisation as a shipped schema describes it.
func (w *world) table(name, schema string) {
	w.T.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "configs", schema))
	var document struct{ Fields json.RawMessage }
	if err == nil {
		err = json.Unmarshal(b, &document)
	}
	if err != nil {
		w.T.Fatal(err)
	}
	fields, err := bigquery.SchemaFromJSON(document.Fields)
	if err == nil {
		err = w.Client.Dataset(org+"_local").Table(name).Create(context.Background(), &bigquery.TableMetadata{Schema: fields})
	}
	if err != nil {
		w.T.Fatal(err)
	}
}
