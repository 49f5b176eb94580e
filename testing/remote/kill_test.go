package remote

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/faults"
)

// The worker of a job is killed before its first call of a kind takes effect, and the one
// after it when the same call has taken effect and before it hears of that. The job
// completes on the third, in one run, and every row is there once.
func TestAWorkerKilledAtAPointLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, op := range killedAt {
		t.Run(op, func(t *testing.T) {
			w.T = t
			victim := fmt.Sprintf("victim%d", i)
			kill := faults.Kill(w.sim.LoseWorkers)
			w.plan.Set(faults.Rule{Op: op, When: faults.Before, Nth: 1, Do: kill}, faults.Rule{Op: op, When: faults.After, Nth: 2, Do: kill})
			defer w.plan.Set()
			out := w.ok("run", "my-api/usage/rows", "--org", victim, "--date", firstDay.String(), "--runner", "dataflow")
			if !w.plan.Hit() {
				t.Errorf("the worker was not killed on both sides of the call: %v\n%s", w.plan.Calls(), out)
			}
			all := w.items.pages * pageRows
			want := []string{fmt.Sprintf("%d %[1]d", all)}
			if diff := cmp.Diff(want, w.Lines(t, "SELECT COUNT(*), COUNT(DISTINCT service) FROM "+victim+"_local.usage")); diff != "" {
				t.Errorf("rows, and different rows: %s\n%s", diff, out)
			}
			want = []string{fmt.Sprintf("COMPLETED %d", all)}
			if diff := cmp.Diff(want, w.Lines(t, "SELECT status, rows_processed FROM organizations.org_meta_step_logs WHERE org_slug = '"+victim+"'")); diff != "" {
				t.Errorf("the record of the step: %s", diff)
			}
			if jobs := w.sim.Jobs(); len(jobs) != i+1 || jobs[i].CurrentState != dataflowsim.Done {
				t.Errorf("the jobs are %+v", jobs)
			}
		})
	}
}
