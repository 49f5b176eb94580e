package service

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

// insist posts a run until a service answers, as a client does that has a key for it.
func insist(t *testing.T, s func() *service, org string, o client.RunOptions) client.Started {
	t.Helper()
	var started client.Started
	lab.Eventually(t, "the run is accepted", func() bool {
		var err error
		started, err = s().as(org).Run(context.Background(), org, rows, o)
		return err == nil
	})
	return started
}

// TestAServiceKilledAtAPointLosesNothing kills the service at its first call of a kind,
// before or after the call was made, and starts it again: the run that was being made is
// made once, completes, and holds nothing when it has.
func TestAServiceKilledAtAPointLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var orgs []string
	for i := range killPoints {
		orgs = append(orgs, fmt.Sprintf("victim%02d", i))
	}
	w.seed(2, orgs...)
	data := w.fresh()
	for i, p := range killPoints {
		t.Run(p.String(), func(t *testing.T) {
			w.T = t
			s, org := w.serve(data), orgs[i]
			w.plan.Set(faults.Rule{Op: p.Op, When: p.When, Nth: 1, Do: faults.Kill(s.Kill)})
			defer w.plan.Set()
			o := day(i)
			o.Once = "run of " + org
			started, err := s.as(org).Run(context.Background(), org, rows, o)
			late := time.AfterFunc(lab.Patience, s.Kill)
			<-s.Ended
			if !late.Stop() || !w.plan.Hit() {
				t.Fatalf("the service was not killed at the point: %v\n%s", err, s.Stderr)
			}
			w.plan.Set()
			again := w.serve(data)
			repeated := insist(t, func() *service { return again }, org, o)
			if err == nil && repeated.ID != started.ID {
				t.Errorf("the key made run %s, then %s", started.ID, repeated.ID)
			}
			run := again.wait(org, repeated.ID)
			if run.Status != client.Completed {
				t.Errorf("the run ended %s: %s: %s", run.Status, run.Code, run.Error)
			}
			w.once(org, run.ID, o.Date)
			again.Stop()
			if t.Failed() {
				t.Logf("killed: %s\nafterwards: %s", s.Stderr, again.Stderr)
			}
		})
	}
}

// once wants an organisation to have made one run, whose rows landed once, and to hold
// nothing.
func (w *world) once(org, id, date string) {
	t := w.T
	t.Helper()
	if diff := cmp.Diff([]string{id}, w.Lines(t, "SELECT DISTINCT run_id FROM organizations.org_meta_run_events WHERE kind = 'run' AND org_slug = '"+org+"'")); diff != "" {
		t.Errorf("runs of %s: %s", org, diff)
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("%d %d %s", pageRows, pageRows, date)}, w.Lines(t, "SELECT COUNT(*), COUNT(DISTINCT service), MIN(usage_date) FROM "+org+"_local.usage")); diff != "" {
		t.Errorf("rows of %s: %s", org, diff)
	}
	ended := "SELECT COUNT(DISTINCT event_id) FROM organizations.org_meta_run_events WHERE kind = 'run' AND state = 'COMPLETED' AND run_id = '" + id + "'"
	if diff := cmp.Diff([]string{"1"}, w.Lines(t, ended)); diff != "" {
		t.Errorf("ends of run %s: %s", id, diff)
	}
	w.balanced(org, 1)
	lab.Eventually(t, "run "+id+" is in the central tables", func() bool {
		got := w.Lines(t, "SELECT status FROM organizations.org_meta_pipeline_runs WHERE pipeline_logging_id = '"+id+"'")
		return cmp.Equal(got, []string{"COMPLETED"})
	})
}

// TestAJobOutlivesItsService kills the service while its job works: the next one follows
// the same process, and starts no other.
func TestAJobOutlivesItsService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(2, "acme")
	data, date := w.fresh(), firstDay.String()
	s, started := w.working(data)
	job := jobOf(t, data, started.ID)
	s.Kill()
	<-s.Ended
	again := w.serve(data)
	lab.Eventually(t, "the job is adopted", func() bool { return again.Logged("job adopted") })
	if now := jobOf(t, data, started.ID); now != job {
		t.Errorf("another job was started: process %d after %d", now, job)
	}
	w.provider.Release()
	if run := again.wait("acme", started.ID); run.Status != client.Completed || run.Attempt != 1 {
		t.Errorf("the run ended %s in attempt %d: %s", run.Status, run.Attempt, run.Error)
	}
	if n := w.provider.times(date); n != 1 {
		t.Errorf("the page was asked for %d times", n)
	}
	w.once("acme", started.ID, date)
}
