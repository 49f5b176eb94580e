package dataflow_test

import (
	"strings"
	"testing"
	"time"

	df "google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

func plan(ids ...string) []gcsfolder.Step {
	var out []gcsfolder.Step
	for _, id := range ids {
		out = append(out, gcsfolder.Step{ID: id})
	}
	return out
}

func metric(step, name string, n int, tentative bool) *df.MetricUpdate {
	at := map[string]string{"step": "x", "namespace": step}
	if tentative {
		at["tentative"] = "true"
	}
	return &df.MetricUpdate{Name: &df.MetricStructuredName{Origin: "user", Name: name, Context: at}, Scalar: n}
}

func TestAJobIsFollowedToTheResultThatAChildWouldLeave(t *testing.T) {
	b := newBench(t)
	folder := b.folder(spec())
	p := b.start(b.runner(), folder)
	id := b.only().Id
	b.sim.SetState(id, dataflowsim.Running)
	b.sim.Measure(id, metric("extract", "rows", 3, true), metric("extract", "fetched_pages", 1, true))
	kinds := func(kind string) int {
		events, _, err := folder.Events(0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range events {
			if e.Kind == kind {
				n++
			}
		}
		return n
	}
	b.eventually("progress is told", func() bool { return kinds(runfolder.KindProgress) == 1 })
	b.outcomes(plan("extract", "price"), step("extract", 0, runfolder.StepCompleted))
	b.eventually("the end of the first step is told", func() bool { return kinds(runfolder.KindStep) == 1 })
	b.outcomes(plan("extract", "price"), step("price", 1, runfolder.StepCompleted))
	b.sim.Measure(id,
		metric("extract", "retries", 2, false), metric("extract", "retries", 9, true), metric("extract", "requests", 5, false),
		metric("extract", "requests", 1, false), metric("price", "unpriced", 4, false))
	b.sim.SetState(id, dataflowsim.Done)
	r := b.end(p, folder)
	if r.State != runfolder.Completed || r.RunID != runID || len(r.Steps) != 2 || r.Start.IsZero() || r.End.Before(r.Start) {
		t.Fatalf("the result is %+v", r)
	}
	if c := r.Steps[0].Counts; c.Retries != 2 || c.Requests != 6 || c.Rows != 7 {
		t.Errorf("counts of bundles that did not count are in %+v", c)
	}
	if r.Steps[1].Unpriced != 4 || r.Steps[1].Published != 7 {
		t.Errorf("the second step is %+v", r.Steps[1])
	}
	if kinds(runfolder.KindStarted) != 1 || kinds(runfolder.KindStep) != 2 {
		t.Errorf("%d starts and %d ends of steps are told", kinds(runfolder.KindStarted), kinds(runfolder.KindStep))
	}
}

func TestEveryEndOfAJobBecomesAResult(t *testing.T) {
	done, failed, skipped := runfolder.StepCompleted, runfolder.StepFailed, runfolder.StepSkipped
	for name, c := range map[string]struct {
		state      string
		plan       []gcsfolder.Step
		steps      []runfolder.StepResult
		want, code string
		text       string
	}{
		"done":                           {dataflowsim.Done, plan("a"), []runfolder.StepResult{step("a", 0, done)}, runfolder.Completed, "", ""},
		"done, but a step is silent":     {dataflowsim.Done, plan("a", "b"), []runfolder.StepResult{step("a", 0, done)}, runfolder.Failed, "RUNNER", "step b ended without saying how"},
		"done, but there is no plan":     {dataflowsim.Done, nil, nil, runfolder.Failed, "RUNNER", "without a plan"},
		"done, but a step failed":        {dataflowsim.Done, plan("a", "b"), []runfolder.StepResult{step("a", 0, failed), step("b", 1, skipped)}, runfolder.Failed, "STEP_FAILED", "step a failed"},
		"done, a step may fail":          {dataflowsim.Done, []gcsfolder.Step{{ID: "a", MayFail: true}}, []runfolder.StepResult{step("a", 0, failed)}, runfolder.Completed, "", ""},
		"a step told twice, differently": {dataflowsim.Done, plan("a"), []runfolder.StepResult{step("a", 0, failed), step("a", 0, done)}, runfolder.Completed, "", ""},
		"failed":                         {dataflowsim.Failed, plan("a"), nil, runfolder.Failed, "RUNNER", "Dataflow: the workers could not start"},
		"failed in a step":               {dataflowsim.Failed, plan("a", "b"), []runfolder.StepResult{step("a", 0, failed)}, runfolder.Failed, "STEP_FAILED", "step a failed"},
		"cancelled by an operator":       {dataflowsim.Cancelled, plan("a"), nil, runfolder.Cancelled, "CANCELLED", "somebody else"},
		"cancelled, but all has ended":   {dataflowsim.Cancelled, plan("a"), []runfolder.StepResult{step("a", 0, done)}, runfolder.Completed, "", ""},
		"drained":                        {dataflowsim.Drained, plan("a"), nil, runfolder.Cancelled, dataflow.CodeDrained, "DRAINED"},
		"updated by nobody knows what":   {dataflowsim.Updated, plan("a"), nil, runfolder.Cancelled, dataflow.CodeDrained, "UPDATED"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			folder := b.folder(spec())
			p := b.start(b.runner(), folder)
			id := b.only().Id
			if c.plan != nil {
				b.outcomes(c.plan, c.steps...)
			}
			b.sim.Say(id, "JOB_MESSAGE_ERROR", "the workers could not start")
			b.sim.Say(id, "JOB_MESSAGE_DETAILED", "of no interest")
			b.sim.SetState(id, c.state)
			r := b.end(p, folder)
			if r.State != c.want || r.Code != c.code || !strings.Contains(r.Error, c.text) || strings.Contains(r.Error, "no interest") {
				t.Errorf("the result is %+v", r)
			}
		})
	}
}

func TestUnknownStatesAndFailingPollsAreWaitedOut(t *testing.T) {
	b := newBench(t)
	folder := b.folder(spec())
	p := b.start(b.runner(), folder)
	id := b.only().Id
	b.sim.SetState(id, "JOB_STATE_OF_NEXT_YEAR")
	b.faults(dataflowsim.Faults{Call: func(_ string, n int) dataflowsim.Fault {
		return []dataflowsim.Fault{dataflowsim.Refused, dataflowsim.Cut, dataflowsim.None}[n%3]
	}})
	b.eventually("it has been polled a while", func() bool { return b.sim.Count(dataflowsim.CallList) > 10 })
	if _, err := folder.ReadResult(); err == nil {
		t.Fatal("a state that nobody knows has ended the run")
	}
	b.outcomes(plan("a"), step("a", 0, runfolder.StepCompleted))
	b.sim.SetState(id, dataflowsim.Done)
	if r := b.end(p, folder); r.State != runfolder.Completed {
		t.Errorf("the result is %+v", r)
	}
}

func TestAnUpdatedJobIsFollowedToTheOneThatReplacedIt(t *testing.T) {
	b := newBench(t)
	folder := b.folder(spec())
	p := b.start(b.runner(), folder)
	old := b.only()
	b.sim.SetState(old.Id, dataflowsim.Updated)
	next := b.sim.Plant(project, region, jobName, dataflowsim.Running, old.Labels)
	b.sim.Change(old.Id, func(j *df.Job) { j.ReplacedByJobId = next })
	b.outcomes(plan("a"), step("a", 0, runfolder.StepCompleted))
	b.sim.SetState(next, dataflowsim.Done)
	if r := b.end(p, folder); r.State != runfolder.Completed {
		t.Errorf("the result is %+v", r)
	}
}

func TestStopCancelsABatchJobAndDrainsAStreamingOne(t *testing.T) {
	for kind, c := range map[string]struct{ state, want string }{
		"JOB_TYPE_BATCH":     {dataflowsim.Cancelled, `"requestedState":"JOB_STATE_CANCELLED"`},
		"JOB_TYPE_STREAMING": {dataflowsim.Drained, `"requestedState":"JOB_STATE_DRAINED"`},
	} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t)
			b.faults(dataflowsim.Faults{Call: func(method string, n int) dataflowsim.Fault {
				if method == dataflowsim.CallUpdate && n < 3 {
					return dataflowsim.Refused
				}
				return dataflowsim.None
			}})
			folder := b.folder(spec())
			p := b.start(b.runner(), folder)
			id := b.only().Id
			b.sim.Change(id, func(j *df.Job) { j.Type, j.CurrentState = kind, dataflowsim.Running })
			b.eventually("the job is seen to run", func() bool {
				events, _, err := folder.Events(0)
				return err == nil && len(events) > 0
			})
			p.Stop()
			p.Stop()
			r := b.end(p, folder)
			if r.State != runfolder.Cancelled || b.only().CurrentState != c.state {
				t.Errorf("the result is %+v of a job %s", r, b.only().CurrentState)
			}
			asked := 0
			for _, request := range b.sim.Requests() {
				if strings.Contains(request.Body, c.want) {
					asked++
				}
			}
			if asked != 3 {
				t.Errorf("the service was asked %d times", asked)
			}
		})
	}
}

func TestCloseLeavesJobsAlone(t *testing.T) {
	b := newBench(t)
	r := must(dataflow.New(b.config))
	p := b.start(r, b.folder(spec()))
	r.Close()
	if err := p.Wait(); err == nil {
		t.Error("a process that is not followed any more ended without an error")
	}
	if state := b.only().CurrentState; state != dataflowsim.Queued {
		t.Errorf("the job is %s", state)
	}
}

// BenchmarkPollingAThousandJobs reports which share of a core a thousand running jobs
// cost at the default interval; more than a fifth fails.
func BenchmarkPollingAThousandJobs(b *testing.B) {
	benchmarkPolling(b, 1000, 15*time.Second, 0.20)
}
