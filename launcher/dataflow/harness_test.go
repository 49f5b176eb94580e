package dataflow_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
	template "github.com/cloudact/convergence/templates/dataflow"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

const (
	project = "platform"
	region  = "europe-west1"
	bucket  = "convergence-runs"
	runID   = "0b5c1f0e-0000-5000-8000-000000000001"
	jobName = "convergence-acme-corp-" + runID + "-a1"

	patience = 20 * time.Second
	glance   = 10 * time.Millisecond
)

// bench is a Dataflow whose jobs stay queued until the test moves them.
type bench struct {
	t      *testing.T
	sim    *dataflowsim.Sim
	config dataflow.Config
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.TempDir() // before any runner is made, so that it goes after they have ended
	b := &bench{t: t, sim: must(dataflowsim.New(dataflowsim.Options{Launcher: "/bin/true", Bucket: bucket}))}
	t.Cleanup(b.sim.Close)
	b.faults(dataflowsim.Faults{})
	storage := must(gcsfolder.NewClient(t.Context(), option.WithEndpoint("http://"+b.sim.StorageHost()+"/storage/v1/"), option.WithoutAuthentication()))
	t.Cleanup(func() { _ = storage.Close() })
	b.config = dataflow.Config{
		Dataflow: must(df.NewService(t.Context(), option.WithEndpoint(b.sim.Endpoint()), option.WithHTTPClient(&http.Client{}))),
		Storage:  storage, Project: project, Region: region, Folder: "gs://" + bucket + "/runs",
		Template:   b.sim.Put("templates/convergence.json", must(template.Spec("registry.example/convergence-job:test"))),
		Parameters: map[string]string{"environment": "development"},
		Environment: df.FlexTemplateRuntimeEnvironment{
			NumWorkers: 2, MaxWorkers: 5, MachineType: "e2-standard-2", ServiceAccountEmail: "etl@platform.example",
			IpConfiguration: "WORKER_IP_PRIVATE", AdditionalUserLabels: map[string]string{"team": "finops"},
		},
		Poll: 20 * time.Millisecond, Patience: 2 * time.Second, Backoff: 5 * time.Millisecond,
	}
	return b
}

// faults sets faults; jobs are held where they start, so that no launcher runs.
func (b *bench) faults(f dataflowsim.Faults) {
	f.HoldIn = dataflowsim.Queued
	b.sim.SetFaults(f)
}

func (b *bench) runner() *dataflow.Runner {
	b.t.Helper()
	r := must(dataflow.New(b.config))
	b.t.Cleanup(r.Close)
	return r
}

func spec() runfolder.Spec {
	now := time.Now().UTC()
	return runfolder.Spec{
		RunID: runID, Attempt: 1, Epoch: 1, Org: "acme_corp", Env: "local", Project: project, Dataset: "acme_corp_local", Location: "US",
		Pipeline: "openai/cost/usage_cost", Document: "pipeline_id: p", File: "p.yml", StartDate: civil.DateOf(now), EndDate: civil.DateOf(now),
		Now: now, Deadline: now.Add(time.Hour), Runner: "dataflow", Generations: map[string]int{"u": 3},
	}
}

// folder makes the run folder of a launcher.
func (b *bench) folder(s runfolder.Spec) *runfolder.Folder {
	b.t.Helper()
	f := must(runfolder.Open(filepath.Join(b.t.TempDir(), "run")))
	if err := f.WriteSpec(s); err != nil {
		b.t.Fatal(err)
	}
	return f
}

func (b *bench) start(r *dataflow.Runner, f *runfolder.Folder) launcher.Process {
	b.t.Helper()
	p, err := r.Start(b.t.Context(), f)
	if err != nil {
		b.t.Fatalf("start: %v", err)
	}
	return p
}

// only demands that there is one job, and returns it.
func (b *bench) only() df.Job {
	b.t.Helper()
	jobs := b.sim.Jobs()
	if len(jobs) != 1 {
		b.t.Fatalf("there are %d jobs: %+v", len(jobs), jobs)
	}
	return jobs[0]
}

// outcomes leaves what the job's own processes leave: the plan, and how steps ended.
func (b *bench) outcomes(plan []gcsfolder.Step, steps ...runfolder.StepResult) {
	b.t.Helper()
	jobs := b.sim.Jobs() // of the newest
	f := must(gcsfolder.Open(b.config.Storage, fmt.Sprintf("%s/acme_corp/%s/a1-%s", b.config.Folder, runID, jobs[len(jobs)-1].Labels["convergence-folder"])))
	if err := f.WritePlan(b.t.Context(), gcsfolder.Plan{Steps: plan}); err != nil {
		b.t.Fatal(err)
	}
	for _, s := range steps {
		if err := f.WriteStep(b.t.Context(), s); err != nil {
			b.t.Fatal(err)
		}
	}
}

func step(id string, index int, state string) runfolder.StepResult {
	return runfolder.StepResult{Step: id, Index: index, State: state, Published: 7, Counts: runfolder.StepCounts{Rows: 7}, End: time.Now().UTC()}
}

// end waits for a process and reads what it left.
func (b *bench) end(p launcher.Process, f *runfolder.Folder) runfolder.Result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			b.t.Fatalf("wait: %v", err)
		}
	case <-ctx.Done():
		b.t.Fatal("the job did not end")
	}
	return must(f.ReadResult())
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited %s in vain until %s", patience, what)
		}
		time.Sleep(glance)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
