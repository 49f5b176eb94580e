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
)

// TestAServiceThatSleptPastItsLeasePublishesNothing stops a service while its job works
// until another one has taken the run over, and lets it go on: the run ends once, and its
// rows are there once.
func TestAServiceThatSleptPastItsLeasePublishesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	first := w.fresh()
	s := w.serve(first)
	w.provider.hold()
	started, err := s.as("acme").Run(t.Context(), "acme", rows, day(0))
	if err != nil {
		t.Fatal(err)
	}
	date := firstDay.String()
	eventually(t, "the job works", func() bool { return w.provider.times(date) == 1 })
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second := w.fresh()
	heir := w.serve(second)
	eventually(t, "another service has a job for the run", func() bool {
		_, err := os.Stat(filepath.Join(second, "runs", started.ID, "job.json"))
		return err == nil
	})
	w.provider.release() // of both jobs
	if run := heir.wait("acme", started.ID); run.Status != client.Completed {
		t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one that slept has noticed", func() bool {
		return strings.Contains(s.stderr.String(), started.ID) && (s.logged("the run was taken over by another process") || s.logged("run ended"))
	})
	w.once("acme", started.ID, date)
	jobs := w.lines(t, "SELECT COUNT(*), COUNT(DISTINCT _run_id) FROM acme_local.usage")
	if diff := cmp.Diff([]string{fmt.Sprintf("%d 1", pageRows)}, jobs); diff != "" {
		t.Errorf("rows and the runs that wrote them: %s", diff)
	}
}
