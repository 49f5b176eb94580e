package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

// victim is an organisation whose runs meet faults: the warehouse and the provider behind
// one plan, and a pipeline between them.
type victim struct {
	t       testing.TB
	lab     *lab.Lab
	org     string
	dir     string
	plan    *faults.Plan
	api     *api
	environ []string

	mu  sync.Mutex
	cmd *exec.Cmd // the program that faults are about
}

func newVictim(t testing.TB, l *lab.Lab, org, document string, a *api, aged bool) *victim {
	t.Helper()
	v := &victim{t: t, lab: l, org: org, dir: t.TempDir(), plan: &faults.Plan{}, api: a}
	upstream := l.BigQuery
	if aged {
		upstream = ageEvents(t, l.BigQuery)
	}
	proxy, err := v.plan.Proxy(upstream)
	if err != nil {
		t.Fatal(err)
	}
	warehouse := httptest.NewServer(proxy)
	provider := httptest.NewServer(v.plan.Wrap(a, faults.Provider))
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{warehouse, provider} {
			s.CloseClientConnections()
			s.Close()
		}
		for _, call := range v.plan.Unnamed() {
			t.Errorf("a mutating call has no name in faults.Points: %s", call)
		}
	})
	v.environ = append(lab.Environ(v.dir), "CONVERGENCE_BIGQUERY_ENDPOINT="+warehouse.URL, "CONVERGENCE_KMS_ENDPOINT="+l.KMS)
	text := strings.ReplaceAll(document, "$API", provider.URL)
	if err := os.WriteFile(filepath.Join(v.dir, "pipeline.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

// command is a command line of the victim, in a process group of its own.
func (v *victim) command(args ...string) *exec.Cmd {
	cmd := exec.Command(lab.Binary, append(slices.Clone(args), "--data-dir", filepath.Join(v.dir, "data"))...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = v.dir, v.environ, &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// start starts a command that the hooks of the plan are about.
func (v *victim) start(cmd *exec.Cmd) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.cmd = cmd
}

// signal sends a signal to the whole group of the command.
func (v *victim) signal(s syscall.Signal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = syscall.Kill(-v.cmd.Process.Pid, s)
}

func (v *victim) kill() { v.signal(syscall.SIGKILL) }

// attempt runs a command to its end, whatever that is; -1 is the code of one that was
// killed.
func (v *victim) attempt(args ...string) outcome {
	v.t.Helper()
	cmd := v.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	v.start(cmd)
	late := time.AfterFunc(runPatience, v.kill)
	err := cmd.Wait()
	if !late.Stop() {
		v.t.Errorf("convergence %s did not end within %s", strings.Join(args, " "), runPatience)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		v.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// completes runs a command that has to succeed.
func (v *victim) completes(args ...string) outcome {
	v.t.Helper()
	got := v.attempt(args...)
	if got.code != 0 {
		v.t.Fatalf("convergence %s ended with %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got
}

// runDays is the run command for so many days from the first.
func (v *victim) runDays(days int) []string {
	return []string{"run", "pipeline.yml", "--org", v.org, "--from", firstDay.String(), "--to", firstDay.AddDays(days - 1).String()}
}

// dataset is where the victim's rows land.
func (v *victim) dataset() string { return v.org + "_local" }

// ageEvents stands before a warehouse and says of the table of events that it is old: what
// writes events streams them only then.
func ageEvents(t testing.TB, upstream string) string {
	t.Helper()
	u, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	created := regexp.MustCompile(`"creationTime":\s*"\d+"`)
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method != http.MethodGet || !strings.HasSuffix(r.Request.URL.Path, "/tables/org_meta_run_events") {
				return nil
			}
			b, err := io.ReadAll(r.Body)
			b = created.ReplaceAll(b, []byte(`"creationTime":"1700000000000"`))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			r.Header.Set("Content-Length", strconv.Itoa(len(b)))
			return err
		},
	})
	t.Cleanup(server.Close)
	return server.URL
}
