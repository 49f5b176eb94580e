package service

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/faults"
)

// stopGrace is how long a service manager waits between SIGTERM and SIGKILL.
const stopGrace = 30 * time.Second

// TestATerminatedServiceAnswersAndLetsGo sends SIGTERM while requests are under way and
// jobs work: every request is answered, the process leaves in time, and a service on
// another host goes on with the runs at once.
func TestATerminatedServiceAnswersAndLetsGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	s := w.serve(w.fresh())
	w.provider.hold()
	var ids []string
	for n := range drainedRuns {
		started, err := s.as("acme").Run(t.Context(), "acme", rows, day(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, started.ID)
	}
	eventually(t, "all jobs work", func() bool {
		for n := range drainedRuns {
			if w.provider.times(firstDay.AddDays(n).String()) == 0 {
				return false
			}
		}
		return true
	})
	w.plan.Set(faults.Rule{Op: faults.Read, When: faults.Before, Do: faults.Slow(2 * time.Second)})
	before := w.plan.Calls()[faults.Read]
	var wg sync.WaitGroup
	for range drainedRequests {
		wg.Go(func() {
			if _, err := s.as("acme").Get(t.Context(), ids[0]); err != nil {
				t.Errorf("a request that was under way: %v", err)
			}
		})
	}
	eventually(t, "the requests are under way", func() bool { return w.plan.Calls()[faults.Read] >= before+drainedRequests })
	terminated := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	w.plan.Set()
	<-s.ended
	if took := time.Since(terminated); s.code != 0 || took > stopGrace {
		t.Errorf("the service ended with %d after %s", s.code, took)
	}
	if _, err := http.Get(s.url + "/health"); err == nil {
		t.Error("something still answers at the service's address")
	}
	w.provider.release()
	again := w.serve(w.fresh())
	for n, id := range ids {
		if run := again.wait("acme", id); run.Status != client.Completed {
			t.Errorf("run %d ended %s: %s: %s", n, run.Status, run.Code, run.Error)
		}
	}
	got := w.lines(t, "SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, service)) FROM acme_local.usage")
	if want := fmt.Sprintf("%d %[1]d", drainedRuns*pageRows); len(got) != 1 || got[0] != want {
		t.Errorf("rows are %v, not %s", got, want)
	}
	w.balanced("acme", drainedRuns)
}
