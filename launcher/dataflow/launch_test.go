package dataflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	df "google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

func TestLaunchNamesAndLabelsTheJobAfterItsRun(t *testing.T) {
	b := newBench(t)
	b.start(b.runner(), b.folder(spec()))
	job := b.only()
	if job.Name != jobName || !regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`).MatchString(job.Name) {
		t.Errorf("the job is named %s", job.Name)
	}
	want := map[string]string{
		"convergence-org": "acme_corp", "convergence-run": runID, "convergence-attempt": "1", "convergence-epoch": "1",
		"convergence-pipeline": "openai_cost_usage_cost", "team": "finops",
	}
	for name, value := range want {
		if job.Labels[name] != value {
			t.Errorf("label %s is %q, want %q", name, job.Labels[name], value)
		}
	}
	var sent df.LaunchFlexTemplateRequest
	for _, r := range b.sim.Requests() {
		if strings.HasSuffix(r.Path, "flexTemplates:launch?alt=json&prettyPrint=false") {
			if err := json.Unmarshal([]byte(r.Body), &sent); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := sent.LaunchParameter
	if p == nil || p.Parameters["spec"] != "gs://"+bucket+"/runs/acme_corp/"+runID+"/a1-"+job.Labels["convergence-folder"]+"/spec.json" || p.Parameters["environment"] != "development" {
		t.Fatalf("the launch says %+v", p)
	}
	if e := p.Environment; e.NumWorkers != 2 || e.MaxWorkers != 5 || e.ServiceAccountEmail == "" || e.IpConfiguration != "WORKER_IP_PRIVATE" {
		t.Errorf("the launch asks for %+v", e)
	}
	objects := must(b.sim.Objects("runs/acme_corp/"))
	var uploaded runfolder.Spec
	if len(objects) != 1 || json.Unmarshal(objects[0].Content, &uploaded) != nil || uploaded.Generations["u"] != 3 || uploaded.Document != spec().Document {
		t.Errorf("uploaded is %v, %+v", objects, uploaded)
	}
}

// What can happen to the one launch of a run, and what must come of it: one job.
func TestLostAnswersNeverMakeASecondJob(t *testing.T) {
	at := func(kind dataflowsim.Fault, calls int) func(string, int) dataflowsim.Fault {
		return func(method string, n int) dataflowsim.Fault {
			if method == dataflowsim.CallLaunch && n <= calls {
				return kind
			}
			return dataflowsim.None
		}
	}
	for name, f := range map[string]dataflowsim.Faults{
		"refused twice, then taken":                {Call: at(dataflowsim.Refused, 2)},
		"taken, but the answer is a 503":           {Call: at(dataflowsim.Lost, 1)},
		"taken, but the connection breaks":         {Call: at(dataflowsim.Cut, 1)},
		"taken and lost, and lists are behind":     {Call: at(dataflowsim.Lost, 1), ListLag: 3},
		"taken and lost, the existing is answered": {Call: at(dataflowsim.Lost, 1), ListLag: 100, ExistingJob: true},
		"no quota at first":                        {Call: at(dataflowsim.Quota, 2)},
		"labels show late":                         {LateLabels: true},
		"every other call of all kinds fails": {Call: func(_ string, n int) dataflowsim.Fault {
			return []dataflowsim.Fault{dataflowsim.Lost, dataflowsim.None}[n%2]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.faults(f)
			b.start(b.runner(), b.folder(spec()))
			if job := b.only(); job.Name != jobName {
				t.Errorf("the job is %+v", job)
			}
		})
	}
}

// A launcher that dies at any point after the launch leaves a job that the next one takes
// over, whatever the job has become meanwhile.
func TestTheNextLauncherTakesTheJobOver(t *testing.T) {
	for name, c := range map[string]struct {
		faults dataflowsim.Faults
		after  func(b *bench, id string)
		want   string
	}{
		"still queued":     {},
		"running":          {after: func(b *bench, id string) { b.sim.SetState(id, dataflowsim.Running) }},
		"not yet in lists": {faults: dataflowsim.Faults{ListLag: 4}},
		"not yet in lists, the existing is answered": {faults: dataflowsim.Faults{ListLag: 100, ExistingJob: true}},
		"already done": {want: runfolder.Completed, after: func(b *bench, id string) {
			b.outcomes(plan("extract"), step("extract", 0, runfolder.StepCompleted))
			b.sim.SetState(id, dataflowsim.Done)
		}},
		"already failed": {want: runfolder.Failed, after: func(b *bench, id string) { b.sim.SetState(id, dataflowsim.Failed) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			dying, die := context.WithCancel(t.Context())
			f := c.faults
			f.Call = func(method string, n int) dataflowsim.Fault {
				if method == dataflowsim.CallLaunch && n == 1 {
					die() // before it has heard that the job exists
					return dataflowsim.Cut
				}
				return dataflowsim.None
			}
			b.faults(f)
			if p, err := b.runner().Start(dying, b.folder(spec())); err == nil {
				t.Fatalf("the first launcher heard of %+v", p)
			}
			b.eventually("the service has done what nobody waits for", func() bool { return len(b.sim.Jobs()) > 0 })
			id := b.only().Id
			if c.after != nil {
				c.after(b, id)
			}
			second := spec()
			second.Epoch = 2
			folder := b.folder(second)
			p := b.start(b.runner(), folder)
			if got := b.only().Id; got != id {
				t.Errorf("the job is %s, not %s", got, id)
			}
			if c.want == "" {
				return
			}
			if r := b.end(p, folder); r.State != c.want {
				t.Errorf("it ended as %+v", r)
			}
		})
	}
}

func TestAdoptFindsJobsOfAllStatesAndStartsNone(t *testing.T) {
	b := newBench(t)
	r := b.runner()
	if _, found, err := r.Adopt(t.Context(), b.folder(spec())); err != nil || found {
		t.Errorf("without a job it says %t, %v", found, err)
	}
	b.start(r, b.folder(spec()))
	if _, lives, err := b.runner().Adopt(t.Context(), b.folder(spec())); err != nil || !lives {
		t.Errorf("of a queued job it says %t, %v", lives, err)
	}
	b.outcomes(plan("a"), step("a", 0, runfolder.StepCompleted))
	b.sim.SetState(b.only().Id, dataflowsim.Done)
	folder := b.folder(spec())
	if _, lives, err := b.runner().Adopt(t.Context(), folder); err != nil || lives {
		t.Errorf("of a job that has ended it says %t, %v", lives, err)
	}
	if result := must(folder.ReadResult()); result.State != runfolder.Completed || len(result.Steps) != 1 {
		t.Errorf("it left %+v", result)
	}
	if n := b.sim.Count(dataflowsim.CallLaunch); n != 1 {
		t.Errorf("%d launches", n)
	}
}

// The attempt of a run may need a second job: its first was cancelled when the service
// was stopped, or its generations were given up. The jobs' outcomes never mix.
func TestOnlyAJobThatDidTheSameWorkIsTakenForTheNextOne(t *testing.T) {
	for name, c := range map[string]struct {
		state  string
		change func(*runfolder.Spec)
		jobs   int
	}{
		"done":                          {dataflowsim.Done, func(*runfolder.Spec) {}, 1},
		"done, seen by the next epoch":  {dataflowsim.Done, func(s *runfolder.Spec) { s.Epoch, s.Deadline = 2, s.Deadline.Add(time.Hour) }, 1},
		"failed":                        {dataflowsim.Failed, func(*runfolder.Spec) {}, 1},
		"failed, with next generations": {dataflowsim.Failed, func(s *runfolder.Spec) { s.Generations = map[string]int{"u": 4} }, 2},
		"cancelled":                     {dataflowsim.Cancelled, func(*runfolder.Spec) {}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.start(b.runner(), b.folder(spec()))
			b.outcomes(plan("a"), step("a", 0, runfolder.StepFailed))
			b.sim.SetState(b.only().Id, c.state)
			next := spec()
			c.change(&next)
			folder := b.folder(next)
			p := b.start(b.runner(), folder)
			jobs := b.sim.Jobs()
			if len(jobs) != c.jobs {
				t.Fatalf("there are %d jobs, not %d", len(jobs), c.jobs)
			}
			if c.jobs == 1 {
				return
			}
			b.outcomes(plan("a"), step("a", 0, runfolder.StepCompleted))
			b.sim.SetState(jobs[1].Id, dataflowsim.Done)
			if r := b.end(p, folder); r.State != runfolder.Completed || len(r.Steps) != 1 {
				t.Errorf("the second job left %+v", r)
			}
		})
	}
}

// A launcher that was paused between its look and its launch wakes up after another has
// taken over and launched, and even after that job has ended.
func TestALauncherThatWasPausedLaunchesNoSecondJob(t *testing.T) {
	b := newBench(t)
	woken := make(chan struct{})
	other := b.runner()
	b.faults(dataflowsim.Faults{Call: func(method string, n int) dataflowsim.Fault {
		if method == dataflowsim.CallLaunch && n == 1 {
			<-woken // the request of the first is on its way that long
		}
		return dataflowsim.None
	}})
	first := make(chan error, 1)
	go func() {
		_, err := b.runner().Start(t.Context(), b.folder(spec()))
		first <- err
	}()
	b.eventually("the first has sent its launch", func() bool { return b.sim.Count(dataflowsim.CallLaunch) == 1 })
	takeover := spec()
	takeover.Epoch = 2
	b.start(other, b.folder(takeover))
	id := b.only().Id
	close(woken)
	if err := <-first; err != nil {
		t.Errorf("the first launcher says %v", err)
	}
	if got := b.only().Id; got != id {
		t.Errorf("the job is %s, not %s", got, id)
	}
	b.sim.SetState(id, dataflowsim.Done)
	b.start(b.runner(), b.folder(spec()))
	b.only()
}

func TestAJobOfAnotherOrganisationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		state  string
		faults dataflowsim.Faults
	}{
		"another org's":           {labels: map[string]string{"convergence-org": "globex", "convergence-run": runID, "convergence-attempt": "1"}, state: dataflowsim.Running},
		"another run's":           {labels: map[string]string{"convergence-org": "acme_corp", "convergence-run": "other", "convergence-attempt": "1"}, state: dataflowsim.Queued},
		"nobody's, and running":   {state: dataflowsim.Running},
		"somebody's other labels": {labels: map[string]string{"team": "x"}, state: dataflowsim.Pending},
		"only seen at the launch": {
			labels: map[string]string{"convergence-org": "globex"}, state: dataflowsim.Running,
			faults: dataflowsim.Faults{ListLag: 1000, ExistingJob: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.faults(c.faults)
			id := b.sim.Plant(project, region, jobName, c.state, c.labels)
			_, err := b.runner().Start(t.Context(), b.folder(spec()))
			var coded *launcher.Error
			if !errors.As(err, &coded) || coded.Code != dataflow.CodeForeign {
				t.Errorf("start says %v", err)
			}
			if job := b.only(); job.Id != id || job.CurrentState != c.state {
				t.Errorf("the other's job is now %+v", job)
			}
			if n := b.sim.Count(dataflowsim.CallUpdate); n != 0 {
				t.Errorf("the other's job got %d requests to change", n)
			}
		})
	}
}

func TestALaunchThatCannotSucceedSaysWhy(t *testing.T) {
	never := func(kind dataflowsim.Fault) dataflowsim.Faults {
		return dataflowsim.Faults{Call: func(method string, _ int) dataflowsim.Fault {
			if method == dataflowsim.CallLaunch {
				return kind
			}
			return dataflowsim.None
		}}
	}
	for name, c := range map[string]struct {
		faults dataflowsim.Faults
		change func(*dataflow.Config)
		code   launcher.Code
		text   string
	}{
		"a parameter that the template does not have": {
			change: func(c *dataflow.Config) { c.Parameters = map[string]string{"colour": "red"} },
			code:   dataflow.CodeLaunch, text: "unrecognized parameter colour",
		},
		"a template that is not there": {
			change: func(c *dataflow.Config) { c.Template = "gs://" + bucket + "/none.json" },
			code:   dataflow.CodeLaunch, text: "unable to open template file",
		},
		"never room":   {faults: never(dataflowsim.Quota), code: dataflow.CodeUnknown, text: "did not take the job"},
		"never answer": {faults: never(dataflowsim.Refused), code: dataflow.CodeUnknown, text: "did not take the job"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.faults(c.faults)
			b.config.Patience = 200 * time.Millisecond
			if c.change != nil {
				c.change(&b.config)
			}
			_, err := b.runner().Start(t.Context(), b.folder(spec()))
			var coded *launcher.Error
			if !errors.As(err, &coded) || coded.Code != c.code || !strings.Contains(coded.Message, c.text) {
				t.Errorf("start says %v", err)
			}
			if jobs := b.sim.Jobs(); len(jobs) != 0 {
				t.Errorf("there are jobs: %+v", jobs)
			}
		})
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	b := newBench(t)
	for name, change := range map[string]func(*dataflow.Config){
		"region must be set":              func(c *dataflow.Config) { c.Region = "" },
		"project, template must be set":   func(c *dataflow.Config) { c.Project, c.Template = "", "" },
		"gs:// address of a container":    func(c *dataflow.Config) { c.Template = "/tmp/spec.json" },
		"no folder of Cloud Storage":      func(c *dataflow.Config) { c.Folder = "gs://bucket" },
		"clients of Dataflow and Cloud S": func(c *dataflow.Config) { c.Dataflow = nil },
	} {
		config := b.config
		change(&config)
		if _, err := dataflow.New(config); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}
