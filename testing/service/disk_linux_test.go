package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// smallDisk runs a program whose data directory is a disk of one megabyte of its own.
const smallDisk = `mount -t tmpfs -o size=1m tmpfs "$1" && shift && exec "$@"`

// TestRow51AFullDiskHoldsRunsUp is row 51 of the fault matrix: while the disk of the data
// directory is full the service is not ready and starts nothing, and no run that it was
// asked for is lost; when there is room again they run, and what a killed job had half
// written is no reason to fail.
func TestRow51AFullDiskHoldsRunsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	data := w.fresh()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	s := w.serveOn(data, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", smallDisk, "sh", data)
	seen := fmt.Sprintf("/proc/%d/root%s", s.Process.Pid, data) // as the service sees it
	first, err := s.as("acme").Run(t.Context(), "acme", rows, day(0))
	if err != nil {
		t.Fatal(err)
	}
	if run := s.wait("acme", first.ID); run.Status != client.Completed {
		t.Fatalf("with room the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	w.settled(first.ID)
	fill(t, filepath.Join(seen, "ballast"))
	if status, checks := s.ready(t); status != http.StatusServiceUnavailable || checks["data_directory"] {
		t.Errorf("with a full disk the service is ready: %d %v", status, checks)
	}
	second, err := s.as("acme").Run(t.Context(), "acme", rows, day(1))
	if err != nil {
		t.Fatalf("a run is refused: %v", err)
	}
	lab.Eventually(t, "the service has tried to start it", func() bool { return strings.Contains(s.Stderr.String(), second.ID+" is not started") })
	if run, err := s.as("acme").Get(t.Context(), second.ID); err != nil || run.Status != client.Pending {
		t.Errorf("with a full disk the run is %s: %v", run.Status, err)
	}
	if n := w.provider.times(firstDay.AddDays(1).String()); n != 0 {
		t.Errorf("a job asked for %d pages", n)
	}
	if err := os.Remove(filepath.Join(seen, "ballast")); err != nil {
		t.Fatal(err)
	}
	if run := s.wait("acme", second.ID); run.Status != client.Completed {
		t.Errorf("with room again the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	if status, checks := s.ready(t); status != http.StatusOK {
		t.Errorf("with room again the service is not ready: %v", checks)
	}
	w.halfWritten(s, seen)
	lab.Eventually(t, "acme holds nothing", func() bool { return len(w.tally("acme").Holds) == 0 })
	if got := w.tally("acme"); got.Month != 4 || got.Slots != 0 {
		t.Errorf("acme has used %+v for 4 runs", got)
	}
	got := w.Lines(t, "SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, service)) FROM acme_local.usage")
	if diff := cmp.Diff([]string{fmt.Sprintf("%d %[1]d", 3*pageRows)}, got); diff != "" {
		t.Errorf("rows: %s", diff)
	}
}

// halfWritten kills the job of a run and cuts what it recorded in the middle of a line:
// what is not whole is not read.
func (w *world) halfWritten(s *service, data string) {
	w.T.Helper()
	w.provider.Hold(0)
	started, err := s.as("acme").Run(context.Background(), "acme", rows, day(2))
	if err != nil {
		w.T.Fatal(err)
	}
	lab.Eventually(w.T, "the job works", func() bool { return w.provider.times(firstDay.AddDays(2).String()) == 1 })
	events := filepath.Join(data, "runs", started.ID, "events.jsonl")
	file, err := os.OpenFile(events, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(`{"seq":99,"kind":"result","step":"extract","result":{"step":"extract","state":"COMPL`)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		w.T.Fatal(err)
	}
	if err := syscall.Kill(jobOf(w.T, data, started.ID), syscall.SIGKILL); err != nil {
		w.T.Fatal(err)
	}
	run := s.wait("acme", started.ID)
	if run.Status != client.Failed || run.Code != "LOST" {
		w.T.Errorf("a killed job made its run %s: %s: %s", run.Status, run.Code, run.Error)
	}
	w.provider.Release()
	again, err := s.as("acme").Retry(context.Background(), started.ID)
	if err != nil {
		w.T.Fatal(err)
	}
	if run := s.wait("acme", again.ID); run.Status != client.Completed {
		w.T.Errorf("the retry ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
}

// fill writes a file until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for block := make([]byte, 4096); ; {
		if _, err := file.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}

// ready asks whether the service is.
func (s *service) ready(t *testing.T) (int, map[string]bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/health/ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body struct {
		Checks map[string]bool `json:"checks"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body.Checks
}

// serveOn is serve below a command that prepares the data directory.
func (w *world) serveOn(data string, before ...string) *service {
	w.T.Helper()
	cmd := w.command(lab.Binary, data)
	path, err := exec.LookPath(before[0])
	if err != nil {
		w.T.Fatal(err)
	}
	cmd.Path, cmd.Args = path, append(before, cmd.Args...)
	return &service{Service: lab.Serve(w.T, cmd), w: w}
}
