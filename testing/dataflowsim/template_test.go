package dataflowsim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/providers/openai"
)

func shipped(t *testing.T, id string) string {
	t.Helper()
	file, ok := must(configs.Open(configs.Shipped())).ByPath(id)
	if !ok {
		t.Fatalf("there is no pipeline %s", id)
	}
	return string(file.Text)
}

// runner is a runner as a service configures it, but for how often it polls.
func (w *world) runner() *dataflow.Runner {
	w.t.Helper()
	w.t.TempDir() // it goes after the runner has ended
	r := must(dataflow.New(dataflow.Config{
		Dataflow: w.dataflow, Storage: w.storage, Project: project, Region: region, Template: w.template, Folder: "gs://" + bucket + "/runs",
		Parameters: map[string]string{"environment": "development"}, Poll: 4 * glance, Log: logger(w.t),
	}))
	w.t.Cleanup(r.Close)
	return r
}

// start starts a run.
func (w *world) start(r *dataflow.Runner, s runfolder.Spec) (*runfolder.Folder, process) {
	w.t.Helper()
	folder := must(runfolder.Open(filepath.Join(w.t.TempDir(), "run")))
	if err := folder.WriteSpec(s); err != nil {
		w.t.Fatal(err)
	}
	p, err := r.Start(w.t.Context(), folder)
	if err != nil {
		w.t.Fatalf("start: %v", err)
	}
	return folder, p
}

// run runs a spec to its end.
func (w *world) run(s runfolder.Spec) runfolder.Result {
	w.t.Helper()
	return w.result(w.start(w.runner(), s))
}

// process is a run that was started.
type process interface {
	Wait() error
	Stop()
}

// result waits for the end of a run, but not for ever.
func (w *world) result(folder *runfolder.Folder, p process) runfolder.Result {
	w.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			w.t.Fatalf("wait: %v", err)
		}
	case <-time.After(patience):
		w.t.Fatalf("the run has not ended within %s; the simulator waits for:\n%s", patience, w.sim.Waiting())
	}
	return must(folder.ReadResult())
}

func TestAShippedPipelineRunsOnWorkersAndLeavesNoSecretBehind(t *testing.T) {
	simulator, origin := openai.RunT(t, openai.Config{
		Seed: 1, Days: openai.Days(spec("").StartDate, 2), Orgs: []openai.Org{{Name: "acme", AdminKey: secret}},
	})
	w := newWorld(t, "OPENAI_API_BASE_URL="+origin)
	r := w.run(spec(shipped(t, "openai/cost/usage_cost")))
	if r.State != runfolder.Completed || len(r.Steps) != 2 {
		t.Fatalf("the run ended as %+v", r)
	}
	extract, price := r.Steps[0], r.Steps[1]
	if calls := int64(len(simulator.Requests())); extract.Counts.Requests != calls || extract.Counts.Pages != calls || calls == 0 {
		t.Errorf("the provider was asked %d times, the step says %+v", calls, extract.Counts)
	}
	rows := w.scalar("SELECT COUNT(*) FROM `" + dataset + ".openai_usage_daily_raw`")
	if json.Number(rows) != number(extract.Published) || price.Published != extract.Published || extract.Published == 0 {
		t.Errorf("%s rows landed, the steps say %+v and %+v", rows, extract, price)
	}
	unpriced := w.scalar("SELECT COUNTIF(pricing_status = 'UNPRICED') FROM `" + dataset + ".openai_cost_daily`")
	if json.Number(unpriced) != number(price.Unpriced) || price.Unpriced == 0 {
		t.Errorf("%s rows are unpriced, the step says %d", unpriced, price.Unpriced)
	}
	w.wantNoSecret()
}

func number(n int64) json.Number {
	b, _ := json.Marshal(n)
	return json.Number(b)
}

var base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{16,}`)

// holds looks for a text, also within base64 and base64 within that.
func holds(content []byte, text string, depth int) bool {
	if bytes.Contains(content, []byte(text)) {
		return true
	}
	if depth == 0 {
		return false
	}
	for _, run := range base64Run.FindAll(content, -1) {
		for skip := range min(4, len(run)) {
			decoded := make([]byte, len(run))
			n, _ := base64.RawStdEncoding.Decode(decoded, run[skip:]) // what precedes an error is decoded
			if holds(decoded[:n], text, depth-1) {
				return true
			}
		}
	}
	return false
}

// wantNoSecret looks through all that the service received, and all files of the bucket
// but the binary. The org, which is in every graph, must be found, or the search proves
// nothing.
func (w *world) wantNoSecret() {
	w.t.Helper()
	for _, r := range w.sim.Requests() {
		if holds([]byte(r.Path+r.Body), secret, 2) {
			w.t.Errorf("%s %s holds the secret", r.Method, r.Path)
		}
	}
	graphs := 0
	for _, o := range must(w.sim.Objects("")) {
		if strings.HasSuffix(o.Name, "/worker") {
			continue
		}
		if holds(o.Content, secret, 2) {
			w.t.Errorf("the file %s holds the secret", o.Name)
		}
		if strings.HasSuffix(o.Name, "/model") && holds(o.Content, `"acme"`, 2) {
			graphs++
		}
	}
	if graphs == 0 {
		w.t.Error("the search does not see into the graph")
	}
}

func TestAJobThatIsCancelledEndsAndTheNextOneCompletes(t *testing.T) {
	api := newItems(t, 6, 50)
	entered, release := make(chan struct{}), make(chan struct{})
	api.before = func(n int64) {
		if n == 3 {
			close(entered)
			<-release
		}
	}
	w := newWorld(t)
	s := spec("pipeline_id: p\nsteps:" + api.extractor("fetch", "{table: fetch, write_mode: append}"))
	r := w.runner()
	folder, p := w.start(r, s)
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatalf("the provider was not asked for a third page within %s; the simulator waits for:\n%s", patience, w.sim.Waiting())
	}
	p.Stop()
	result := w.result(folder, p)
	close(release)
	if result.State != runfolder.Cancelled {
		t.Fatalf("the first attempt ended as %+v", result)
	}
	s.Attempt = 2
	if result := w.result(w.start(r, s)); result.State != runfolder.Completed {
		t.Fatalf("the second attempt ended as %+v", result)
	}
	if rows := w.scalar("SELECT COUNT(*) FROM `" + dataset + ".fetch`"); rows != "300" {
		t.Errorf("%s rows landed", rows)
	}
	if jobs := w.sim.Jobs(); len(jobs) != 2 || jobs[0].Name == jobs[1].Name {
		t.Errorf("the jobs are %+v", jobs)
	}
}

func TestAJobThatFailsAtAnyPointSaysWhy(t *testing.T) {
	api := newItems(t, 3, 10)
	w := newWorld(t)
	for i, state := range []string{dataflowsim.Queued, dataflowsim.Pending, dataflowsim.Running} {
		w.sim.SetFaults(dataflowsim.Faults{FailIn: state, FailText: "no machine is to be had in the zone"})
		s := spec("pipeline_id: p\nsteps:" + api.extractor("fetch", "{table: fetch, write_mode: overwrite}"))
		s.Attempt = i + 1
		r := w.run(s)
		if r.State != runfolder.Failed || r.Code != "RUNNER" || !strings.Contains(r.Error, "no machine is to be had in the zone") {
			t.Errorf("failing while %s: the run ended as %+v", state, r)
		}
	}
	w.sim.SetFaults(dataflowsim.Faults{})
	s := spec("pipeline_id: p\nsteps:\n  - step_id: nonsense\n")
	s.Attempt = 4
	if r := w.run(s); r.State != runfolder.Failed || !strings.Contains(r.Error, "nonsense") && !strings.Contains(r.Error, "ps_type") {
		t.Errorf("a document that cannot be compiled: the run ended as %+v", r)
	}
}
