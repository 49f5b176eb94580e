package dataflowsim_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	dataflow "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	template "github.com/cloudact/convergence/templates/dataflow"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

// newService is a simulator whose jobs stay queued.
func newService(t *testing.T) (*dataflowsim.Sim, *dataflow.Service) {
	t.Helper()
	sim := must(dataflowsim.New(dataflowsim.Options{Launcher: "/bin/true", Bucket: bucket}))
	t.Cleanup(sim.Close)
	sim.SetFaults(dataflowsim.Faults{HoldIn: dataflowsim.Queued})
	return sim, must(dataflow.NewService(t.Context(), option.WithEndpoint(sim.Endpoint()), option.WithHTTPClient(&http.Client{})))
}

func status(err error) int {
	var answer *googleapi.Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}

func TestListsAreFilteredAndPaged(t *testing.T) {
	sim, service := newService(t)
	for i := range 25 {
		sim.Plant(project, region, fmt.Sprint("job-", i), []string{dataflowsim.Running, dataflowsim.Done}[i%2], nil)
	}
	sim.Plant(project, "us-central1", "elsewhere", dataflowsim.Running, nil)
	for filter, want := range map[string]int{"ALL": 25, "ACTIVE": 13, "TERMINATED": 12} {
		var names []string
		pages := 0
		err := service.Projects.Locations.Jobs.List(project, region).Filter(filter).PageSize(10).Pages(t.Context(), func(r *dataflow.ListJobsResponse) error {
			pages++
			for _, j := range r.Jobs {
				names = append(names, j.Name)
			}
			return nil
		})
		slices.Sort(names)
		if err != nil || len(slices.Compact(names)) != want || pages != (want+9)/10 {
			t.Errorf("%s: %d jobs on %d pages, %v", filter, len(names), pages, err)
		}
	}
	named := must(service.Projects.Locations.Jobs.List(project, region).Filter("ALL").Name("job-3").Do())
	if len(named.Jobs) != 1 || named.Jobs[0].CurrentState != dataflowsim.Done {
		t.Errorf("by name it lists %+v", named.Jobs)
	}
	if _, err := service.Projects.Locations.Jobs.List(project, region).PageToken("x").Do(); status(err) != http.StatusBadRequest {
		t.Errorf("a page token that is none: %v", err)
	}
}

func TestLaunchesAreHeldToTheTemplateAndToNames(t *testing.T) {
	sim, service := newService(t)
	path := sim.Put("t.json", must(template.Spec("image:1")))
	launch := func(name string, parameters map[string]string) error {
		_, err := service.Projects.Locations.FlexTemplates.Launch(project, region, &dataflow.LaunchFlexTemplateRequest{
			LaunchParameter: &dataflow.LaunchFlexTemplateParameter{JobName: name, ContainerSpecGcsPath: path, Parameters: parameters},
		}).Do()
		return err
	}
	good := map[string]string{"spec": "gs://bucket-1/a/spec.json"}
	for name, c := range map[string]struct {
		job        string
		parameters map[string]string
		want       int
	}{
		"a parameter is missing":       {"a", nil, http.StatusBadRequest},
		"a parameter does not match":   {"a", map[string]string{"spec": "/etc/passwd"}, http.StatusBadRequest},
		"a parameter is not known":     {"a", map[string]string{"spec": good["spec"], "x": "1"}, http.StatusBadRequest},
		"a name that cannot be":        {"A_b", good, http.StatusBadRequest},
		"a name that ends in a hyphen": {"a-", good, http.StatusBadRequest},
		"all is well":                  {"fine", good, 0},
	} {
		if err := launch(c.job, c.parameters); status(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := launch("fine", good); status(err) != http.StatusConflict {
		t.Errorf("the name of an active job: %v", err)
	}
	sim.SetFaults(dataflowsim.Faults{MaxActive: 1, HoldIn: dataflowsim.Queued})
	if err := launch("another", good); status(err) != http.StatusTooManyRequests {
		t.Errorf("beyond the quota: %v", err)
	}
	sim.SetState(sim.Jobs()[0].Id, dataflowsim.Done)
	if err := launch("fine", good); err != nil {
		t.Errorf("the name of a job that has ended: %v", err)
	}
}

func TestACreatedJobThatIsNotWholeFails(t *testing.T) {
	_, service := newService(t)
	j := must(service.Projects.Locations.Jobs.Create(project, region, &dataflow.Job{Name: "created", Environment: &dataflow.Environment{}}).Do())
	eventually(t, "it has failed", func() bool {
		return must(service.Projects.Locations.Jobs.Get(project, region, j.Id).Do()).CurrentState == dataflowsim.Failed
	})
	messages := must(service.Projects.Locations.Jobs.Messages.List(project, region, j.Id).MinimumImportance("JOB_MESSAGE_ERROR").Do())
	if len(messages.JobMessages) != 1 {
		t.Errorf("it says %+v", messages.JobMessages)
	}
	if _, err := service.Projects.Locations.Jobs.Update(project, region, j.Id, &dataflow.Job{RequestedState: dataflowsim.Cancelled}).Do(); status(err) != http.StatusBadRequest {
		t.Errorf("to cancel what has ended: %v", err)
	}
	if _, err := service.Projects.Locations.Jobs.Get(project, region, "none").Do(); status(err) != http.StatusNotFound {
		t.Errorf("a job that never was: %v", err)
	}
}
