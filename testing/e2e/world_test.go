package e2e

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"golang.org/x/sys/unix"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/providers/openai"
)

const (
	usageCost = "openai/cost/usage_cost"
	seed      = 7
)

var firstDay = civil.Date{Year: 2026, Month: time.August, Day: 19}

// orgs are the organisations of a provider whose admin keys nobody looks for.
func orgs(names ...string) []openai.Org {
	var out []openai.Org
	for _, name := range names {
		out = append(out, openai.Org{Name: name, AdminKey: "sk-admin-" + name + "-0123456789"})
	}
	return out
}

// world is a data directory that does not exist yet, and a provider.
type world struct {
	t         testing.TB
	dir       string // working directory of every command
	data      string // data directory
	simulator *openai.Server
	provider  *lab.Upstream
	environ   []string
}

func newWorld(t testing.TB, organisations ...openai.Org) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: dir, data: filepath.Join(dir, "data")}
	simulator, err := openai.New(openai.Config{Seed: seed, Days: openai.Days(firstDay, 2), Orgs: organisations})
	if err != nil {
		t.Fatal(err)
	}
	w.simulator, w.provider = simulator, &lab.Upstream{API: simulator.Handler()}
	server := httptest.NewServer(w.provider)
	t.Cleanup(func() {
		w.provider.Release()
		server.CloseClientConnections()
		server.Close()
	})
	w.environ = append(lab.Environ(dir), "OPENAI_API_BASE_URL="+server.URL+"/v1")
	t.Cleanup(w.stopWarehouse)
	return w
}

// stopWarehouse ends the embedded server of the data directory and waits until its lock
// is free.
func (w *world) stopWarehouse() {
	pid := w.warehousePID()
	if pid == 0 {
		return
	}
	lock, err := os.Open(filepath.Join(w.data, "server.lock"))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer func() { _ = lock.Close() }()
	free := func() bool {
		if unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
			return false
		}
		return unix.Flock(int(lock.Fd()), unix.LOCK_UN) == nil
	}
	if free() {
		return // its process has left, and its id may be another's by now
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	lab.Eventually(w.t, "the embedded server has left", free)
}

// warehousePID is the process of the embedded server as server.json names it; 0 if there
// never was one.
func (w *world) warehousePID() int {
	w.t.Helper()
	var record struct {
		PID int `json:"pid"`
	}
	b, err := os.ReadFile(filepath.Join(w.data, "server.json"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err == nil {
		err = json.Unmarshal(b, &record)
	}
	if err != nil || record.PID <= 1 {
		w.t.Fatalf("read server.json: pid %d, %v", record.PID, err)
	}
	return record.PID
}

// outcome is what a command left.
type outcome struct {
	code           int
	stdout, stderr string
}

// invocation is a command line with what surrounds it.
type invocation struct {
	stdin   string
	environ []string // beside the world's
	args    []string
}

func (w *world) command(ctx context.Context, in invocation) *exec.Cmd {
	cmd := exec.CommandContext(ctx, lab.Binary, append(slices.Clone(in.args), "--data-dir", w.data)...)
	cmd.Dir, cmd.Env = w.dir, append(slices.Clone(w.environ), in.environ...)
	if in.stdin != "" {
		cmd.Stdin = strings.NewReader(in.stdin)
	}
	return cmd
}

func (w *world) do(in invocation) outcome {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	cmd := w.command(ctx, in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		w.t.Fatalf("convergence %s: %v\n%s", strings.Join(in.args, " "), err, stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// run runs a command, however it ends.
func (w *world) run(args ...string) outcome {
	w.t.Helper()
	return w.do(invocation{args: args})
}

// ok runs a command that has to succeed and returns what it printed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	got := w.run(args...)
	if got.code != 0 {
		w.t.Fatalf("convergence %s: exit code %d\n%s", strings.Join(args, " "), got.code, got.stderr)
	}
	return got.stdout
}

// triesOnce gives organisations a document of their own in which a run is not tried again,
// where the service would.
func (w *world) triesOnce(organisations ...openai.Org) {
	w.t.Helper()
	text, err := fs.ReadFile(configs.Shipped(), usageCost+".yml")
	if err != nil {
		w.t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "configs")
	for _, org := range organisations {
		path := filepath.Join(dir, org.Name, usageCost+".yml")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, append([]byte("retry_attempts: 0\n"), text...), 0o600)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.environ = append(w.environ, "CONVERGENCE_CONFIGS_DIR="+dir)
}

// setCredentials stores the admin keys of all organisations.
func (w *world) setCredentials(organisations ...openai.Org) {
	w.t.Helper()
	for _, org := range organisations {
		got := w.do(invocation{stdin: org.AdminKey + "\n", args: []string{"credentials", "set", "OPENAI", "--org", org.Name, "-"}})
		if got.code != 0 {
			w.t.Fatalf("store the credential of %s: %s", org.Name, got.stderr)
		}
	}
}

// rows asks the warehouse through the sql command; NULL is "".
func (w *world) rows(org, sql string) []map[string]string {
	w.t.Helper()
	out := w.ok("sql", "--org", org, "--output", "csv", sql)
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) == 0 {
		w.t.Fatalf("%s: read CSV: %v\n%s", sql, err, out)
	}
	rows := []map[string]string{}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, value := range record {
			row[records[0][i]] = value
		}
		rows = append(rows, row)
	}
	return rows
}
