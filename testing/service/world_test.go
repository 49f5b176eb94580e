package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
	"github.com/cloudact/convergence/launcher/store"
	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

const (
	central = "organizations"
	rootKey = "ca_root_service_test_0123456789012345678901234567"

	// document is a pipeline that extracts day by day.
	document = `pipeline_id: rows
retry_attempts: 0
steps:
  - step_id: extract
    ps_type: generic.api_extractor
    config:
      url: $API/items
      params:
        day: "{start_date}"
      pagination:
        type: cursor
        limit: 1000
      transform:
        flatten: true
    destination:
      table: usage
      schema_ref: example/usage/example_usage_final
      write_mode: append
`
)

var (
	rows     = client.Pipeline{Provider: "my-api", Domain: "usage", Name: "rows"}
	firstDay = civil.Date{Year: 2026, Month: time.August, Day: 1}
)

// world is a warehouse behind a plan of faults, a provider, the documents of a
// deployment, and organisations.
type world struct {
	*lab.Lab
	plan     *faults.Plan
	provider *provider
	endpoint string // of the warehouse, as the services know it
	configs  string
	orgs     []string
	store    *store.Store // past every fault
	day      civil.Date   // on which the test began

	mu       sync.Mutex
	services int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	l := lab.New(t)
	w := &world{Lab: l, plan: &faults.Plan{}, provider: &provider{}, configs: filepath.Join(l.Dir, "configs"), day: civil.DateOf(time.Now().UTC())}
	front, err := front(l.BigQuery, w.plan)
	if err != nil {
		t.Fatal(err)
	}
	warehouse := httptest.NewServer(front)
	api := httptest.NewServer(w.provider)
	w.endpoint = warehouse.URL
	t.Cleanup(func() {
		w.provider.Release()
		for _, s := range []*httptest.Server{warehouse, api} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	w.write("my-api/usage/rows.yml", strings.ReplaceAll(document, "$API", api.URL))
	w.store = store.New(store.Config{Client: l.Client, Dataset: central, Location: lab.Location, Tables: tables(t), Now: launcher.Clock})
	if err := w.store.Setup(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w
}

// tables are the central ones, as the shipped documents have them.
func tables(t testing.TB) map[string][]byte {
	t.Helper()
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, table := range catalog.Central() {
		b, err := json.Marshal(table)
		if err != nil {
			t.Fatal(err)
		}
		out[table.Name] = b
	}
	return out
}

// write puts a document into the deployment's folder.
func (w *world) write(name, text string) {
	w.T.Helper()
	path := filepath.Join(w.configs, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

func keyOf(org string) string { return org + "_api_0123456789abcdefghijkl" }

// seed adds organisations. Each has the given number of runs at
// once.
func (w *world) seed(concurrent int, orgs ...string) {
	w.T.Helper()
	for _, org := range orgs {
		sum := sha256.Sum256([]byte(keyOf(org)))
		err := w.store.SeedDevelopment(context.Background(), store.DevelopmentOrg{
			Slug: org, Company: org, AdminEmail: "admin@" + org + ".example", KeyHash: hex.EncodeToString(sum[:]), Env: "local",
		})
		if err != nil {
			w.T.Fatal(err)
		}
	}
	w.orgs = append(w.orgs, orgs...)
	w.Change(w.T, fmt.Sprintf("UPDATE %s.org_subscriptions SET concurrent_limit = %d WHERE org_slug IN ('%s')", central, concurrent, strings.Join(orgs, "','")))
}

// tally is what the admission log of an organisation says, read as a service reads it.
func (w *world) tally(org string) queue.Tally {
	w.T.Helper()
	usage, err := queue.NewAdmission(queue.AdmissionConfig{
		Register: w.store, Accounts: store.NewAccounts(w.store), Runs: w.store, Owner: "test", Now: launcher.Clock,
	}).Usage(context.Background(), org)
	if err != nil {
		w.T.Fatal(err)
	}
	return usage.Tally
}

// service is a running service of a world.
type service struct {
	*lab.Service
	w *world
}

// fresh names a new data directory.
func (w *world) fresh() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.services++
	return filepath.Join(w.Dir, fmt.Sprintf("service%d", w.services))
}

// serve starts the service on a data directory and a free port, and waits until it
// listens.
func (w *world) serve(data string, environ ...string) *service {
	w.T.Helper()
	return w.serveAs(lab.Binary, data, environ...)
}

// serveAs is serve of another program.
func (w *world) serveAs(program, data string, environ ...string) *service {
	w.T.Helper()
	return &service{Service: lab.Serve(w.T, w.command(program, data, environ...)), w: w}
}

// command is the service's, as a deployment has it.
func (w *world) command(program, data string, environ ...string) *exec.Cmd {
	cmd := exec.Command(program, "serve", "--addr", "127.0.0.1:0", "--data-dir", data)
	cmd.Dir = w.Dir
	cmd.Env = slices.Concat(lab.Environ(w.Dir), []string{
		"LOG_LEVEL=INFO", "RATE_LIMIT_ENABLED=false",
		"CONVERGENCE_BIGQUERY_ENDPOINT=" + w.endpoint, "CONVERGENCE_KMS_ENDPOINT=" + w.KMS, "CONVERGENCE_CONFIGS_DIR=" + w.configs,
		"CA_ROOT_API_KEY=" + rootKey, "SCHEDULER_ENABLED=true",
	}, environ)
	return cmd
}

// working starts the service and a run of acme's, whose job waits for the provider when it
// returns.
func (w *world) working(data string) (*service, client.Started) {
	w.T.Helper()
	s := w.serve(data)
	w.provider.Hold(0)
	started, err := s.as("acme").Run(context.Background(), "acme", rows, day(0))
	if err != nil {
		w.T.Fatal(err)
	}
	lab.Eventually(w.T, "the job works", func() bool { return w.provider.times(firstDay.String()) == 1 })
	return s, started
}

// as returns a client of an organisation; "root" is the platform.
func (s *service) as(org string) *client.Client {
	c := client.Config{BaseURL: s.URL, Poll: 5 * lab.Glance}
	if org == "root" {
		c.RootKey = rootKey
	} else {
		c.Key = keyOf(org)
	}
	return client.New(c)
}

// day is a run of one day, counted from the first.
func day(n int) client.RunOptions { return client.RunOptions{Date: firstDay.AddDays(n).String()} }

// wait waits for the end of a run.
func (s *service) wait(org, id string) client.Run {
	s.w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	run, err := s.as(org).Wait(ctx, id, nil)
	if err != nil {
		s.w.T.Fatal(err)
	}
	return run
}
