package service

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/providers/openai"
)

// TestACredentialThatIsSetUpIsSeenOnlyByTheProvider sets a credential up over the API and
// looks for it everywhere.
func TestACredentialThatIsSetUpIsSeenOnlyByTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	simulator, err := openai.New(openai.Config{
		Seed: 1, Days: openai.Days(civil.Date{Year: 2026, Month: 8, Day: 1}, 1), Orgs: []openai.Org{{Name: "acme", AdminKey: lab.Canary}},
	})
	if err != nil {
		t.Fatal(err)
	}
	up := &lab.Upstream{API: simulator.Handler()}
	server := httptest.NewServer(up)
	t.Cleanup(func() { up.Release(); server.CloseClientConnections(); server.Close() })
	data := w.fresh()
	s := w.serve(data, "OPENAI_API_BASE_URL="+server.URL+"/v1", "LOG_LEVEL=DEBUG")
	acme := s.as("acme")
	answer, err := acme.SetUp(t.Context(), "acme", "openai", client.Setup{Credential: lab.Canary})
	if err != nil || answer.Status != "VALID" {
		t.Fatalf("set up: %+v %v", answer, err)
	}
	lab.Absent(t, "answer of setup", fmt.Sprintf("%+v", answer))
	wrong, err := acme.SetUp(t.Context(), "acme", "anthropic", client.Setup{Credential: lab.Canary})
	lab.Absent(t, "answer of a refused setup", fmt.Sprintf("%+v %v", wrong, err))
	up.Hold(0)
	started, err := acme.Run(t.Context(), "acme", client.Pipeline{Provider: "openai", Domain: "cost", Name: "usage_cost"}, day(0))
	if err != nil {
		t.Fatal(err)
	}
	up.Held(t)
	if !up.Saw(lab.Canary) {
		t.Error("the provider did not see the credential, so this test shows nothing")
	}
	for name, pid := range map[string]int{"the service": s.Process.Pid, "the job": jobOf(t, data, started.ID)} {
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil || len(b) == 0 {
				t.Errorf("read %s of %s: %v", file, name, err)
			}
			lab.Absent(t, file+" of "+name, string(b))
		}
	}
	up.Release()
	if run := s.wait("acme", started.ID); run.Status != client.Completed {
		t.Errorf("the run ended %s: %s", run.Status, run.Error)
	}
	for _, path := range []string{"integrations/acme", "integrations/acme/openai", "pipelines/runs", "pipelines/runs/" + started.ID, "pipelines/runs/" + started.ID + "/logs", "pipelines"} {
		lab.Absent(t, "answer of "+path, s.Text(t, keyOf("acme"), "/api/v1/"+path))
	}
	s.Stop()
	lab.Absent(t, "log of the service", s.Stderr.String())
	w.searchTables(t)
	lab.AbsentBelow(t, w.Dir, 5)
}

func (w *world) searchTables(t *testing.T) {
	t.Helper()
	tables := 0
	for _, dataset := range []string{central, "acme_local"} {
		for _, row := range w.Ask(t, "SELECT table_name FROM "+dataset+".INFORMATION_SCHEMA.TABLES") {
			name := fmt.Sprintf("%s.%v", dataset, row[0])
			for _, line := range w.Ask(t, "SELECT TO_JSON_STRING(t) FROM `"+name+"` AS t") {
				lab.Absent(t, "table "+name, fmt.Sprint(line))
			}
			tables++
		}
	}
	if tables < 10 {
		t.Errorf("searched %d tables", tables)
	}
}
