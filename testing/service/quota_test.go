package service

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/faults"
)

// mostTries bounds what a run asks of a warehouse that refuses for good.
const mostTries = 20

// TestAWarehouseThatHasHadEnough refuses what runs ask of the warehouse: for the moment,
// which a run gets over, and for the day, which ends it with the reason and without a
// storm of calls.
func TestAWarehouseThatHasHadEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	s := w.serve(w.fresh())
	for n, c := range []struct {
		name, op, reason string
		status           int
		always           bool
	}{
		{"loads refused for a moment", faults.Load, "rateLimitExceeded", 403, false},
		{"publishes refused for a moment", faults.Publish, "jobRateLimitExceeded", 403, false},
		{"everything unavailable for a moment", faults.Mutating, "backendError", 503, false},
		{"loads refused for the day", faults.Load, "quotaExceeded", 403, true},
		{"publishes refused for the day", faults.Publish, "quotaExceeded", 403, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.T = t
			before := w.plan.Calls()[c.op]
			w.plan.Set(faults.Rule{Op: c.op, When: faults.Before, First: !c.always, Do: faults.Fail(c.status, c.reason)})
			defer w.plan.Set()
			started, err := s.as("acme").Run(t.Context(), "acme", rows, day(n))
			if err != nil {
				t.Fatal(err)
			}
			run := s.wait("acme", started.ID)
			if !w.plan.Hit() {
				t.Error("nothing was refused")
			}
			tries := w.plan.Calls()[c.op] - before
			switch {
			case !c.always && run.Status != client.Completed:
				t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
			case c.always && (run.Status != client.Failed || !strings.Contains(run.Error+steps(run), c.reason)):
				t.Errorf("the run ended %s: %s: %s%s", run.Status, run.Code, run.Error, steps(run))
			case c.always && tries > mostTries:
				t.Errorf("%d calls were made", tries)
			}
			t.Logf("%s after %d calls: %s %s", run.Status, tries, run.Error, steps(run))
		})
	}
}

// steps says why steps of a run failed.
func steps(run client.Run) string {
	var b strings.Builder
	for _, s := range run.Steps {
		if s.Error != "" {
			b.WriteString("; " + s.Step + ": " + s.Code + ": " + s.Error)
		}
	}
	return b.String()
}
