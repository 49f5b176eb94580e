package dataflowsim_test

import (
	"testing"

	"google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
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

func TestTemplateRunsAShippedPipelineOnWorkers(t *testing.T) {
	simulator, origin := openai.RunT(t, openai.Config{
		Seed: 1, Days: openai.Days(spec("").StartDate, 2), Orgs: []openai.Org{{Name: "acme", AdminKey: secret}},
	})
	w := newWorld(t, "OPENAI_API_BASE_URL="+origin)
	folder := must(gcsfolder.Open(w.storage, "gs://"+bucket+"/runs/1"))
	if err := folder.WriteSpec(t.Context(), spec(shipped(t, "openai/cost/usage_cost"))); err != nil {
		t.Fatal(err)
	}
	r := must(w.dataflow.Projects.Locations.FlexTemplates.Launch(project, region, &dataflow.LaunchFlexTemplateRequest{
		LaunchParameter: &dataflow.LaunchFlexTemplateParameter{
			JobName: "a-job", ContainerSpecGcsPath: w.template,
			Parameters: map[string]string{"spec": folder.Address(gcsfolder.SpecFile), "environment": "development"},
		},
	}).Do())
	eventually(t, "the job has ended", func() bool {
		state := must(w.dataflow.Projects.Locations.Jobs.Get(project, region, r.Job.Id).Do()).CurrentState
		return state == dataflowsim.Done || state == dataflowsim.Failed
	})
	job := must(w.dataflow.Projects.Locations.Jobs.Get(project, region, r.Job.Id).Do())
	if job.CurrentState != dataflowsim.Done {
		messages := must(w.dataflow.Projects.Locations.Jobs.Messages.List(project, region, r.Job.Id).Do())
		for _, m := range messages.JobMessages {
			t.Log(m.MessageText)
		}
		t.Fatalf("the job is %s", job.CurrentState)
	}
	steps := must(folder.ReadSteps(t.Context()))
	if len(steps) != 2 || steps[0].State != runfolder.StepCompleted || steps[1].State != runfolder.StepCompleted {
		t.Fatalf("the steps ended as %+v", steps)
	}
	rows := w.scalar("SELECT COUNT(*) FROM `" + dataset + ".openai_cost_daily`")
	if rows == "0" || len(simulator.Requests()) == 0 {
		t.Errorf("%s rows landed after %d requests", rows, len(simulator.Requests()))
	}
}
