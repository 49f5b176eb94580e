package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/runfolder"
)

func (b *bench) run(id string, state launcher.State) launcher.Run {
	start := b.clock().Truncate(time.Microsecond)
	r := launcher.Run{
		ID: id, Org: "acme", PipelineID: "acme-p", Attempt: 1, Epoch: 1, State: state, Trigger: "api", TriggerBy: "me", Start: start,
		RunDate: civil.Date{Year: 2026, Month: 11, Day: 22}, Params: map[string]string{"region": "eu"},
		Steps: []launcher.StepRun{
			{State: state, StepResult: runfolder.StepResult{Step: "a", Type: "openai.usage", Start: start, Published: 5}},
			{State: launcher.Pending, StepResult: runfolder.StepResult{Step: "b", Type: "openai.cost", Index: 1}},
		},
	}
	if state.Terminal() {
		r.End = start.Add(1500 * time.Millisecond)
		r.Steps[0].End, r.Steps[1].State = r.End, launcher.Skipped
	}
	return r
}

func (b *bench) project(runs ...launcher.Run) {
	b.t.Helper()
	if err := b.Project(b.t.Context(), runs...); err != nil {
		b.t.Fatalf("project: %v", err)
	}
}

const (
	projectedRuns  = "SELECT pipeline_logging_id, status, IFNULL(duration_ms, -1), JSON_VALUE(parameters, '$.region'), IFNULL(user_id, '-') FROM `" + central + ".org_meta_pipeline_runs` ORDER BY 1, 2"
	projectedSteps = "SELECT pipeline_logging_id, step_name, status, IFNULL(rows_processed, -1) FROM `" + central + ".org_meta_step_logs` ORDER BY 1, step_index, 3"
)

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func TestProjectionIsReplacedByTheLatest(t *testing.T) {
	b := newBench(t)
	b.project()
	b.project(b.run("r1", launcher.Running), b.run("r2", launcher.Running))
	want(t, b.lines(projectedRuns), "r1 RUNNING -1 eu -", "r2 RUNNING -1 eu -")
	want(t, b.lines(projectedSteps), "r1 a RUNNING -1", "r2 a RUNNING -1")
	b.project(b.run("r1", launcher.Completed))
	want(t, b.lines(projectedRuns), "r1 COMPLETED 1500 eu -", "r2 RUNNING -1 eu -")
	want(t, b.lines(projectedSteps), "r1 a COMPLETED 5", "r1 b SKIPPED -1", "r2 a RUNNING -1")
}

func TestProjectorsAtOnceLeaveOneRowPerRunAndStep(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 3 {
				runs := []launcher.Run{b.run("shared", launcher.Completed), b.run(fmt.Sprint("own", i), launcher.Running)}
				if err := b.Project(t.Context(), runs...); err != nil {
					t.Errorf("projector %d, time %d: %v", i, n, err)
				}
			}
		})
	}
	wg.Wait()
	want(t, b.lines("SELECT COUNT(*), COUNT(DISTINCT pipeline_logging_id) FROM `"+central+".org_meta_pipeline_runs`"), "9 9")
	want(t, b.lines("SELECT COUNT(*), COUNT(DISTINCT step_logging_id) FROM `"+central+".org_meta_step_logs`"), "10 10")
}

func TestLongErrorIsCutBetweenCharacters(t *testing.T) {
	b := newBench(t)
	r := b.run("r1", launcher.Failed)
	r.Error = strings.Repeat("x", 999) + "äöü"
	b.project(r)
	want(t, b.lines("SELECT error_message FROM `"+central+".org_meta_pipeline_runs`"), strings.Repeat("x", 999))
}
