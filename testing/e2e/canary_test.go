package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/providers/openai"
)

func TestACredentialIsSeenOnlyByTheProvider(t *testing.T) {
	t.Parallel()
	org := openai.Org{Name: "acme", AdminKey: lab.Canary}
	w := newWorld(t, org)
	// Every command has the secret in its environment, and one starts the embedded server.
	w.environ = append(w.environ, "OPENAI_ADMIN_KEY="+lab.Canary)
	stored := w.run("credentials", "set", "OPENAI", "--org", "acme", "--from-env", "OPENAI_ADMIN_KEY", "-v")
	if stored.code != 0 {
		t.Fatal(stored.stderr)
	}
	lab.Absent(t, "output of credentials set", stored.stdout+stored.stderr)

	s := w.serve("acme")
	w.provider.Hold(0)
	started := s.start("acme")
	w.provider.Held(t)
	searched := searchProcesses(t, s, started.ID)
	if searched < 3 { // the service, the embedded server, the job
		t.Errorf("searched %d processes", searched)
	}
	w.provider.Release()
	s.completed("acme", started.ID)
	if !w.provider.Saw(lab.Canary) {
		t.Fatal("the provider never saw the credential, so this test shows nothing")
	}
	lab.Absent(t, "answer of the API", s.Text(t, s.keys["acme"], "/api/v1/pipelines/runs/"+started.ID))
	lab.Absent(t, "list of runs", s.Text(t, s.keys["acme"], "/api/v1/pipelines/runs"))
	for _, args := range [][]string{
		{"graph", usageCost},
		{"graph", usageCost, "--format", "json"},
		{"run", usageCost, "--org", "acme", "--dry-run", "--output", "json"},
		{"credentials", "list", "--org", "acme", "--output", "json"},
		{"report", "--org", "acme"},
	} {
		lab.Absent(t, strings.Join(args, " "), w.ok(args...))
	}
	searchWarehouse(t, w)
	s.Stop()
	lab.Absent(t, "log of the service", s.Stderr.String())
	lab.AbsentBelow(t, w.data, 1)
	w.stopWarehouse() // checkpoints the warehouse file
	lab.AbsentBelow(t, w.data, 1)
}

// searchProcesses looks at the service and at everything that serves its data directory.
func searchProcesses(t *testing.T, s *service, run string) int {
	t.Helper()
	job := s.jobOf(run)
	searched := 0
	for _, p := range processes(t) {
		line := procFile(p.pid, "cmdline")
		if p.pid != job && !strings.Contains(line, s.w.data) {
			continue
		}
		searched++
		name := fmt.Sprintf("process %q", strings.ReplaceAll(line, "\x00", " "))
		lab.Absent(t, "command line of "+name, line)
		environ := procFile(p.pid, "environ")
		if environ == "" {
			t.Errorf("environment of %s cannot be read", name)
		}
		if p.pid != s.Process.Pid { // its own was given to it
			lab.Absent(t, "environment of "+name, environ)
		}
	}
	return searched
}

// searchWarehouse prints every table of every dataset.
func searchWarehouse(t *testing.T, w *world) {
	t.Helper()
	tables := 0
	for _, dataset := range []string{"organizations", "acme_local"} {
		for _, row := range w.rows("acme", "SELECT table_name FROM "+dataset+".INFORMATION_SCHEMA.TABLES") {
			name := dataset + "." + row["table_name"]
			lab.Absent(t, "table "+name, w.ok("sql", "--output", "json", "SELECT * FROM `"+name+"`"))
			tables++
		}
	}
	if tables < 10 {
		t.Errorf("searched %d tables", tables)
	}
	for _, row := range w.rows("acme", "SELECT provider, encrypted_credential FROM organizations.org_integration_credentials") {
		if row["provider"] != "OPENAI" || len(row["encrypted_credential"]) <= len(lab.Canary) {
			t.Errorf("credential of %s holds %d bytes", row["provider"], len(row["encrypted_credential"]))
		}
	}
}

// echo answers 401 and repeats the key that it was sent, as careless servers do.
type echo struct{}

// ServeHTTP implements http.Handler.
func (echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Authorization")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Refused", key)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s","code":"invalid_api_key"}}`, key)
}

func TestARefusedCredentialIsNotRepeated(t *testing.T) {
	t.Parallel()
	org := openai.Org{Name: "acme", AdminKey: lab.Canary}
	w := newWorld(t, org)
	w.setCredentials(org)
	w.provider.API = echo{}
	s := w.serve("acme")
	run := s.wait("acme", s.start("acme").ID)
	if run.Status != client.Failed || run.Code != "STEP_FAILED" || !strings.Contains(run.Error, "401") {
		t.Errorf("run ended %s %s: %s", run.Status, run.Code, run.Error)
	}
	if !w.provider.Saw(lab.Canary) {
		t.Fatal("the provider never saw the credential, so this test shows nothing")
	}
	lab.Absent(t, "answer of the API", s.Text(t, s.keys["acme"], "/api/v1/pipelines/runs/"+run.ID))
	direct := w.run("run", usageCost, "--org", "acme", "--date", "2026-08-19", "-v")
	if direct.code != 1 {
		t.Errorf("run ended with %d", direct.code)
	}
	lab.Absent(t, "output of run", direct.stdout+direct.stderr)
	searchWarehouse(t, w)
	s.Stop()
	lab.Absent(t, "log of the service", s.Stderr.String())
	w.stopWarehouse()
	lab.AbsentBelow(t, w.data, 1)
}
