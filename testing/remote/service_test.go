package remote

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	dataflow "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/lab"
)

// landed wants the rows of the other provider once, and every page of it asked for once.
func (w *world) landed() {
	w.T.Helper()
	all := w.items.pages * pageRows
	if diff := cmp.Diff([]string{fmt.Sprintf("%d %[1]d", all)}, w.Lines(w.T, "SELECT COUNT(*), COUNT(DISTINCT service) FROM acme_local.usage")); diff != "" {
		w.T.Errorf("rows, and different rows: %s", diff)
	}
	for page := range w.items.pages {
		if n := w.items.times(page); n != 1 {
			w.T.Errorf("page %d was asked for %d times", page, n)
		}
	}
}

// recorded wants the tables that others read to say how the only run has ended, and each of
// its ends to have been recorded once.
func (w *world) recorded(id string, status client.Status, steps ...string) {
	w.T.Helper()
	var got []string
	defer func() {
		if w.T.Failed() {
			w.T.Logf("org_meta_pipeline_runs says %q", got)
		}
	}()
	lab.Eventually(w.T, "the end is projected", func() bool {
		got = w.Lines(w.T, "SELECT status FROM organizations.org_meta_pipeline_runs WHERE pipeline_logging_id = '"+id+"'")
		return len(got) == 1 && got[0] == string(status)
	})
	if diff := cmp.Diff([]string{id}, w.Lines(w.T, "SELECT DISTINCT pipeline_logging_id FROM organizations.org_meta_pipeline_runs")); diff != "" {
		w.T.Errorf("runs: %s", diff)
	}
	if diff := cmp.Diff(steps, w.Lines(w.T, "SELECT step_name, status, IFNULL(rows_processed, -1) FROM organizations.org_meta_step_logs WHERE pipeline_logging_id = '"+id+"' ORDER BY step_index")); diff != "" {
		w.T.Errorf("steps: %s", diff)
	}
	ends := w.Lines(w.T, "SELECT DISTINCT state FROM organizations.org_meta_run_events WHERE kind = 'run' AND run_id = '"+id+"' AND state NOT IN ('PENDING', 'RUNNING')")
	if diff := cmp.Diff([]string{string(status)}, ends); diff != "" {
		w.T.Errorf("ends of the run: %s", diff)
	}
}

// job is the only job that Dataflow has ever had, in a state.
func (w *world) job(state string) {
	w.T.Helper()
	if jobs := w.sim.Jobs(); len(jobs) != 1 || jobs[0].CurrentState != state {
		w.T.Errorf("the jobs are not one that is %s: %+v", state, jobs)
	}
}

// A service goes away while its job is at work, in either manner; the one after it, which
// has none of its files, follows the job to its end and records it.
func TestTheNextServiceFollowsTheJob(t *testing.T) {
	t.Parallel()
	kill := (*service).Kill
	for name, c := range map[string]struct {
		leave    func(*service)
		pipeline client.Pipeline
		later    bool // the job has ended before the next service begins
	}{
		"killed":                             {kill, rows, false},
		"stopped":                            {func(s *service) { _ = s.Process.Signal(syscall.SIGTERM) }, rows, false},
		"killed, and the job ends meanwhile": {kill, rows, true},
		"killed, and the job, which might be repeated, ends as well": {kill, replaced, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.seed()
			w.items.Hold(2)
			s := w.serve()
			id := s.post(c.pipeline)
			w.items.Held(t)
			c.leave(s)
			<-s.Ended
			if c.later {
				w.items.Release()
				lab.Eventually(t, "the job has ended", func() bool { return w.sim.Jobs()[0].CurrentState == dataflowsim.Done })
			}
			w.job(map[bool]string{true: dataflowsim.Done, false: dataflowsim.Running}[c.later])
			next := w.serve()
			if !c.later {
				lab.Eventually(t, "the next service follows the job", func() bool { return next.Logged("following a Dataflow job") })
				w.items.Release()
			}
			if run := next.ended(id); run.Status != client.Completed {
				t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
			}
			w.job(dataflowsim.Done)
			w.landed()
			w.recorded(id, client.Completed, fmt.Sprintf("extract COMPLETED %d", w.items.pages*pageRows))
		})
	}
}

// A service is killed after Dataflow has its job and before it knows or has recorded that;
// and the next one does not find the job in Dataflow's list at once.
func TestAServiceKilledAtItsLaunchLeavesOneJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed()
	s := w.serve()
	w.sim.SetFaults(dataflowsim.Faults{ListLag: 3, Call: func(method string, n int) dataflowsim.Fault {
		if method == dataflowsim.CallLaunch && n == 1 {
			s.Kill()
			return dataflowsim.Cut
		}
		return dataflowsim.None
	}})
	id := s.post(rows)
	<-s.Ended
	if run := w.serve().ended(id); run.Status != client.Completed {
		t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	w.job(dataflowsim.Done)
	w.landed()
	w.recorded(id, client.Completed, fmt.Sprintf("extract COMPLETED %d", w.items.pages*pageRows))
}

// What somebody does to a job in Google's console is not success, and not the end of what
// can be done.
func TestAJobThatAnOperatorCancelsIsACancelledRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed()
	w.items.Hold(2)
	s := w.serve()
	id := s.post(rows)
	w.items.Held(t)
	console, err := dataflow.NewService(t.Context(), option.WithEndpoint(w.sim.Endpoint()), option.WithHTTPClient(&http.Client{}))
	if err == nil {
		_, err = console.Projects.Locations.Jobs.Update(lab.Project, region, w.sim.Jobs()[0].Id, &dataflow.Job{RequestedState: dataflowsim.Cancelled}).Do()
	}
	if err != nil {
		t.Fatal(err)
	}
	if run := s.ended(id); run.Status != client.Cancelled || !strings.Contains(run.Error, "somebody else") {
		t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
	w.recorded(id, client.Cancelled, "extract SKIPPED -1")
	w.items.Release()
	again, err := s.Retry(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if run := s.ended(again.ID); run.Status != client.Completed {
		t.Errorf("tried again, the run ended %s: %s: %s", run.Status, run.Code, run.Error)
	}
}
