//go:build long

package remote

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	dataflow "google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/lab"
)

// A service that is stopped as a process at its launch, and wakes after another has taken
// its run over and brought it to its end, publishes nothing, even if it launches.
func TestAServiceThatSleptThroughItsLaunchChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed()
	s := w.serve()
	w.sim.SetFaults(dataflowsim.Faults{Call: func(method string, n int) dataflowsim.Fault {
		if method == dataflowsim.CallLaunch && n == 1 {
			_ = s.Process.Signal(syscall.SIGSTOP)
			return dataflowsim.Refused // what it hears when it wakes
		}
		return dataflowsim.None
	}})
	id := s.post(rows)
	lab.Eventually(t, "the service is about to launch", func() bool { return w.sim.Count(dataflowsim.CallLaunch) > 0 })
	next := w.serve()
	run := next.ended(id)
	if run.Status != client.Completed {
		t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	_ = s.Process.Signal(syscall.SIGCONT)
	s.Stop()
	lab.Eventually(t, "all jobs have ended", func() bool { // it may have slept between its look for a job and its launch
		return !slices.ContainsFunc(w.sim.Jobs(), func(j dataflow.Job) bool { return j.CurrentState != dataflowsim.Done })
	})
	w.landed()
	w.recorded(id, client.Completed, fmt.Sprintf("extract COMPLETED %d", w.items.pages*pageRows))
}
