package service

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
	"github.com/cloudact/convergence/launcher/store"
	"github.com/cloudact/convergence/testing/faults"
)

const (
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
	*lab
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
	l := newLab(t)
	w := &world{lab: l, plan: &faults.Plan{}, provider: &provider{}, configs: filepath.Join(l.dir, "configs"), day: civil.DateOf(time.Now().UTC())}
	front, err := front(l.bigQuery, w.plan)
	if err != nil {
		t.Fatal(err)
	}
	warehouse := httptest.NewServer(front)
	api := httptest.NewServer(w.provider)
	w.endpoint = warehouse.URL
	t.Cleanup(func() {
		w.provider.release()
		for _, s := range []*httptest.Server{warehouse, api} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	w.write("my-api/usage/rows.yml", strings.ReplaceAll(document, "$API", api.URL))
	w.store = store.New(store.Config{Client: l.client, Dataset: central, Location: location, Tables: tables(t), Now: launcher.Clock})
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
	w.t.Helper()
	path := filepath.Join(w.configs, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func keyOf(org string) string { return org + "_api_0123456789abcdefghijkl" }

// seed adds organisations. Each has the given number of runs at
// once.
func (w *world) seed(concurrent int, orgs ...string) {
	w.t.Helper()
	for _, org := range orgs {
		sum := sha256.Sum256([]byte(keyOf(org)))
		err := w.store.SeedDevelopment(context.Background(), store.DevelopmentOrg{
			Slug: org, Company: org, AdminEmail: "admin@" + org + ".example", KeyHash: hex.EncodeToString(sum[:]), Env: "local",
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.orgs = append(w.orgs, orgs...)
	w.change(w.t, fmt.Sprintf("UPDATE %s.org_subscriptions SET concurrent_limit = %d WHERE org_slug IN ('%s')", central, concurrent, strings.Join(orgs, "','")))
}

// tally is what the admission log of an organisation says, read as a service reads it.
func (w *world) tally(org string) queue.Tally {
	w.t.Helper()
	usage, err := queue.NewAdmission(queue.AdmissionConfig{
		Register: w.store, Accounts: store.NewAccounts(w.store), Runs: w.store, Owner: "test", Now: launcher.Clock,
	}).Usage(context.Background(), org)
	if err != nil {
		w.t.Fatal(err)
	}
	return usage.Tally
}

// service is a running `convergence serve`.
type service struct {
	w      *world
	cmd    *exec.Cmd
	data   string
	url    string
	stderr *buffer
	ended  chan struct{}
	code   int // once it has ended
}

// fresh names a new data directory.
func (w *world) fresh() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.services++
	return filepath.Join(w.dir, fmt.Sprintf("service%d", w.services))
}

// serve starts the service on a data directory and a free port, and waits until it
// listens.
func (w *world) serve(data string, environ ...string) *service {
	w.t.Helper()
	s := &service{w: w, data: data, stderr: &buffer{}, ended: make(chan struct{})}
	s.cmd = exec.Command(binary, "serve", "--addr", "127.0.0.1:0", "--data-dir", data)
	s.cmd.Dir = w.dir
	s.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TMPDIR=" + os.TempDir(), "LOG_LEVEL=INFO", "RATE_LIMIT_ENABLED=false",
		"CONVERGENCE_BIGQUERY_ENDPOINT=" + w.endpoint, "CONVERGENCE_KMS_ENDPOINT=" + w.kms, "CONVERGENCE_CONFIGS_DIR=" + w.configs,
		"CA_ROOT_API_KEY=" + rootKey, "SCHEDULER_ENABLED=true",
	}, environ...)
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.stop)
	lines := bufio.NewScanner(stdout)
	for s.url == "" && lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.url = url
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = s.cmd.Wait()
		s.code = s.cmd.ProcessState.ExitCode()
		close(s.ended)
	}()
	if s.url == "" {
		<-s.ended
		w.t.Fatalf("the service ended without listening: %s", s.stderr)
	}
	return s
}

// stop ends the service as a service manager would, and shows its log if the test failed.
func (s *service) stop() {
	select {
	case <-s.ended:
	default:
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
			<-s.ended
			s.w.t.Errorf("the service did not end within %s of SIGTERM", patience)
		}
	}
	if !s.w.t.Failed() {
		return
	}
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.Contains(line, `"msg":"request"`) {
			s.w.t.Log("service: " + strings.TrimSpace(line))
		}
	}
}

// kill ends the service as the kernel would; its jobs live on.
func (s *service) kill() { _ = s.cmd.Process.Kill() }

// as returns a client of an organisation; "root" is the platform.
func (s *service) as(org string) *client.Client {
	c := client.Config{BaseURL: s.url, Poll: 5 * glance}
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
	s.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run, err := s.as(org).Wait(ctx, id, nil)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return run
}
