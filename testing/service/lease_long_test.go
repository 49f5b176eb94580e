//go:build long

package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// TestAServiceThatSleptPastItsLeasePublishesNothing stops a service while its job works
// until another one has taken the run over, and lets it go on: the run ends once, and its
// rows are there once.
func TestAServiceThatSleptPastItsLeasePublishesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	date := firstDay.String()
	s, started := w.working(w.fresh())
	if err := s.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second := w.fresh()
	heir := w.serve(second)
	lab.Eventually(t, "another service has a job for the run", func() bool {
		_, err := os.Stat(filepath.Join(second, "runs", started.ID, "job.json"))
		return err == nil
	})
	w.provider.Release() // of both jobs
	if run := heir.wait("acme", started.ID); run.Status != client.Completed {
		t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	if err := s.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the one that slept has noticed", func() bool {
		return strings.Contains(s.Stderr.String(), started.ID) && (s.Logged("the run was taken over by another process") || s.Logged("run ended"))
	})
	w.once("acme", started.ID, date)
	jobs := w.Lines(t, "SELECT COUNT(*), COUNT(DISTINCT _run_id) FROM acme_local.usage")
	if diff := cmp.Diff([]string{fmt.Sprintf("%d 1", pageRows)}, jobs); diff != "" {
		t.Errorf("rows and the runs that wrote them: %s", diff)
	}
}
