package run_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/testing/providers/openai"
)

func shippedDocument(t *testing.T, id string) string {
	t.Helper()
	c, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	f, ok := c.ByPath(id)
	if !ok {
		t.Fatalf("there is no pipeline %s", id)
	}
	return string(f.Text)
}

func TestJobExtractsPricesAndPublishesOnBothRunners(t *testing.T) {
	totals := map[string]string{}
	for _, runner := range []string{run.Prism, run.Direct} {
		t.Run(runner, func(t *testing.T) {
			w := newWorld(t)
			simulator, origin := openai.RunT(t, openai.Config{
				Seed: 1, Days: openai.Days(civil.Date{Year: 2026, Month: 8, Day: 19}, 2), Orgs: []openai.Org{{Name: "acme", AdminKey: adminKey}},
			})
			w.origin = origin
			r := w.job(spec(shippedDocument(t, "openai/cost/usage_cost"), runner))
			if r.State != runfolder.Completed || r.Code != "" || len(r.Steps) != 2 {
				t.Fatalf("the job ended as %+v", r)
			}
			extract, price := step(t, r, "extract_usage"), step(t, r, "transform_cost")
			rows := w.scalar("SELECT COUNT(*) FROM `" + dataset + ".openai_usage_daily_raw`")
			if extract.State != runfolder.StepCompleted || strconv.FormatInt(extract.Published, 10) != rows || extract.Counts.Rows != extract.Published || extract.Published == 0 {
				t.Errorf("%s rows landed, the step says %+v", rows, extract)
			}
			if calls := int64(len(simulator.Requests())); extract.Counts.Requests != calls || extract.Counts.Pages != calls || extract.Counts.Retries != 0 {
				t.Errorf("the provider was asked %d times, the step says %+v", calls, extract.Counts)
			}
			if price.Published != extract.Published || price.Counts.Requests != 0 || price.Counts.Pages != 0 {
				t.Errorf("the cost step says %+v", price)
			}
			unpriced := w.scalar("SELECT COUNTIF(pricing_status = 'UNPRICED') FROM `" + dataset + ".openai_cost_daily`")
			if strconv.FormatInt(price.Unpriced, 10) != unpriced || price.Unpriced == 0 {
				t.Errorf("%s rows are unpriced, the step says %d", unpriced, price.Unpriced)
			}
			totals[runner] = w.scalar("SELECT CAST(SUM(total_cost_usd) AS STRING) FROM `" + dataset + ".openai_cost_daily`")
			if left, err := os.ReadDir(w.temp); err != nil || len(left) != 0 {
				t.Errorf("the job left %v in the folder for temporary files, %v", left, err)
			}
		})
	}
	if totals[run.Prism] != totals[run.Direct] || totals[run.Prism] == "" {
		t.Errorf("the runners disagree about the cost: %v", totals)
	}
}

func TestProgressRisesToTheCountsOfTheResult(t *testing.T) {
	w := newWorld(t)
	const pages, rows = 12, 500
	api := newItems(t, pages, rows)
	slow := make(chan struct{})
	go func() { // paces the provider, so that the job is seen under way
		defer close(slow)
		for range pages {
			time.Sleep(300 * time.Millisecond)
			slow <- struct{}{}
		}
	}()
	api.before = func(int64) { <-slow }
	r := w.job(spec("pipeline_id: p\nsteps:"+api.extractor("fetch", ""), run.Prism))
	if r.State != runfolder.Completed {
		t.Fatalf("the job ended as %+v", r)
	}
	final := step(t, r, "fetch")
	if final.Counts.Rows != pages*rows || final.Counts.Pages != pages || final.Counts.Requests != pages || final.Published != pages*rows {
		t.Errorf("the result says %+v", final)
	}
	var last runfolder.StepCounts
	updates := 0
	for i, e := range w.events() {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has number %d", i, e.Seq)
		}
		if e.Kind != runfolder.KindProgress || e.Step != "fetch" {
			continue
		}
		c := e.StepCounts
		if c.Rows < last.Rows || c.Pages < last.Pages || c.Requests < last.Requests {
			t.Errorf("progress fell from %+v to %+v", last, c)
		}
		if c.Rows > final.Counts.Rows || c.Pages > final.Counts.Pages || c.Requests > final.Counts.Requests {
			t.Errorf("progress %+v is more than the result %+v", c, final.Counts)
		}
		if c.Pages > last.Pages {
			updates++
		}
		last = c
	}
	if updates < 2 || last.Rows == 0 {
		t.Errorf("progress was seen to rise %d times, to %+v", updates, last)
	}
}

func TestStoppedJobIsCancelled(t *testing.T) {
	for _, runner := range []string{run.Prism, run.Direct} {
		t.Run(runner, func(t *testing.T) {
			w := newWorld(t)
			api := newItems(t, 3, 10)
			hold, asked := make(chan struct{}), make(chan struct{}, 1)
			defer close(hold)
			api.before = func(n int64) {
				if n == 2 {
					asked <- struct{}{}
					<-hold
				}
			}
			cmd := w.start(spec("pipeline_id: p\nsteps:"+api.extractor("fetch", ""), runner))
			select {
			case <-asked:
			case <-time.After(patience):
				t.Fatal("the provider was not asked")
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if r := w.wait(cmd); r.State != runfolder.Cancelled || r.Code != run.CodeCancelled {
				t.Errorf("the job ended as %+v", r)
			}
		})
	}
}

func TestJobThatIsLateTimesOut(t *testing.T) {
	w := newWorld(t)
	api := newItems(t, 3, 10)
	hold := make(chan struct{})
	defer close(hold)
	api.before = func(n int64) {
		if n == 2 {
			<-hold
		}
	}
	s := spec("pipeline_id: p\nsteps:"+api.extractor("fetch", ""), run.Prism)
	s.Deadline = time.Now().Add(4 * time.Second)
	if r := w.job(s); r.State != runfolder.Timeout || r.Code != run.CodeTimeout || !strings.Contains(r.Error, "deadline") {
		t.Errorf("the job ended as %+v", r)
	}
}

func TestFailedStepFailsTheRunAndSkipsItsDependents(t *testing.T) {
	w := newWorld(t)
	broken, fine := newItems(t, 2, 10), newItems(t, 1, 10)
	broken.broken = func(page int) int { return []int{0, 404}[page] }
	document := "pipeline_id: p\nsteps:" + broken.extractor("first", "depends_on: []") + fine.extractor("second", "depends_on: first") + fine.extractor("apart", "depends_on: []")
	r := w.job(spec(document, run.Prism))
	if r.State != runfolder.Failed || r.Code != run.CodeStepFailed || !strings.Contains(r.Error, "step first failed") {
		t.Errorf("the job ended as %s %s: %s", r.State, r.Code, r.Error)
	}
	if s := step(t, r, "first"); s.State != runfolder.StepFailed || s.Published != 0 || s.Error == "" || s.Code == "" {
		t.Errorf("the failed step says %+v", s)
	}
	if s := step(t, r, "second"); s.State != runfolder.StepSkipped || s.Published != 0 || s.Code != "DEPENDENCY_FAILED" {
		t.Errorf("its dependent says %+v", s)
	}
	if s := step(t, r, "apart"); s.State != runfolder.StepCompleted || s.Published != 10 {
		t.Errorf("a step that depends on neither says %+v", s)
	}
	ended := map[string]string{}
	for _, e := range w.events() {
		if e.Kind == runfolder.KindStep {
			ended[e.Step] = e.Result.State
		}
	}
	if len(ended) != 3 || ended["second"] != runfolder.StepSkipped {
		t.Errorf("the events say %v", ended)
	}
}

func TestRunGoesOnAfterAStepThatMayFail(t *testing.T) {
	w := newWorld(t)
	broken, fine := newItems(t, 1, 10), newItems(t, 1, 10)
	broken.broken = func(int) int { return 404 }
	document := "pipeline_id: p\nsteps:" + broken.extractor("first", "on_failure: continue") + fine.extractor("second", "depends_on: first")
	r := w.job(spec(document, run.Prism))
	if r.State != runfolder.Completed || r.Code != "" {
		t.Errorf("the job ended as %s %s: %s", r.State, r.Code, r.Error)
	}
	if first, second := step(t, r, "first"), step(t, r, "second"); first.State != runfolder.StepFailed || second.State != runfolder.StepCompleted {
		t.Errorf("the steps say %+v and %+v", first, second)
	}
}

func TestDisabledStepIsSkippedAndItsDependentRuns(t *testing.T) {
	w := newWorld(t)
	api := newItems(t, 1, 10)
	r := w.job(spec("pipeline_id: p\nsteps:"+api.extractor("first", "enabled: false")+api.extractor("second", "depends_on: first"), run.Prism))
	first, second := step(t, r, "first"), step(t, r, "second")
	if r.State != runfolder.Completed || first.State != runfolder.StepSkipped || first.Code != "DISABLED" || second.Published != 10 {
		t.Errorf("the job ended as %+v", r)
	}
}

func TestStepWithoutRowsCompletesAndPublishes(t *testing.T) {
	w := newWorld(t)
	api := newItems(t, 1, 0)
	r := w.job(spec("pipeline_id: p\nsteps:"+api.extractor("fetch", ""), run.Prism))
	if s := step(t, r, "fetch"); r.State != runfolder.Completed || s.State != runfolder.StepCompleted || s.Published != 0 || s.Counts.Pages != 1 {
		t.Errorf("the job ended as %+v", r)
	}
	if n := w.scalar("SELECT COUNT(*) FROM `" + dataset + ".fetch`"); n != "0" {
		t.Errorf("the table has %s rows", n)
	}
}

func TestInvalidDocumentAndUnknownRunnerFailWithTheirReason(t *testing.T) {
	w := newWorld(t)
	if r := w.job(spec("pipeline_id: p\nsteps: []\n", run.Prism)); r.State != runfolder.Failed || r.Code != run.CodeInvalidPipeline || !strings.HasPrefix(r.Error, "p.yml:2:8: steps") {
		t.Errorf("the job ended as %+v", r)
	}
	w = newWorld(t)
	api := newItems(t, 1, 1)
	r := w.job(spec("pipeline_id: p\nsteps:"+api.extractor("fetch", ""), "spark"))
	if r.State != runfolder.Failed || r.Code != run.CodeRunner || !strings.Contains(r.Error, `"spark" is not part of this binary`) || api.requests.Load() != 0 {
		t.Errorf("the job ended as %+v", r)
	}
}
