package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/providers/openai"
)

// canary is an admin key that must be seen nowhere but in requests to the provider.
const canary = "sk-admin-canary-d1e57b0a9c4f"

// rare is the part of the canary that no other text holds.
const rare = "canary-d1e57b0a9c4f"

// needles are the spellings of the rare part: as it is, in hex, and in base64 wherever it
// begins in a group of three bytes, without the characters that its neighbours decide.
var needles = func() []string {
	spellings := []string{rare, hex.EncodeToString([]byte(rare))}
	for offset := range 3 {
		skip := (3 - offset) % 3
		whole := rare[skip:]
		spellings = append(spellings, base64.StdEncoding.EncodeToString([]byte(whole[:len(whole)/3*3])))
	}
	return spellings
}()

// birds finds the canary in texts.
type birds struct{ t testing.TB }

func (b birds) absent(where, text string) {
	b.t.Helper()
	for _, part := range needles {
		if i := strings.Index(text, part); i >= 0 {
			b.t.Errorf("%s holds the credential: ...%q", where, text[max(0, i-80):i])
			return
		}
	}
}

func (b birds) absentBelow(dir string) {
	b.t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		b.absent(path, string(text))
		return err
	})
	if err != nil || files == 0 {
		b.t.Errorf("searched %d files below %s: %v", files, dir, err)
	}
}

func TestACredentialIsSeenOnlyByTheProvider(t *testing.T) {
	t.Parallel()
	org := openai.Org{Name: "acme", AdminKey: canary}
	w, search := newWorld(t, org), birds{t}
	// Every command has the secret in its environment, and one starts the embedded server.
	w.environ = append(w.environ, "OPENAI_ADMIN_KEY="+canary)
	stored := w.run("credentials", "set", "OPENAI", "--org", "acme", "--from-env", "OPENAI_ADMIN_KEY", "-v")
	if stored.code != 0 {
		t.Fatal(stored.stderr)
	}
	search.absent("output of credentials set", stored.stdout+stored.stderr)

	s := w.serve("acme")
	w.provider.hold(0)
	started := s.start("acme")
	w.held()
	searched := searchProcesses(t, search, s, started.ID)
	if searched < 3 { // the service, the embedded server, the job
		t.Errorf("searched %d processes", searched)
	}
	w.provider.release()
	s.completed("acme", started.ID)
	if !w.provider.sent(canary) {
		t.Fatal("the provider never saw the credential, so this test shows nothing")
	}
	search.absent("answer of the API", get(t, s, "/api/v1/pipelines/runs/"+started.ID))
	search.absent("list of runs", get(t, s, "/api/v1/pipelines/runs"))
	for _, args := range [][]string{
		{"graph", usageCost},
		{"graph", usageCost, "--format", "json"},
		{"run", usageCost, "--org", "acme", "--dry-run", "--output", "json"},
		{"credentials", "list", "--org", "acme", "--output", "json"},
		{"report", "--org", "acme"},
	} {
		search.absent(strings.Join(args, " "), w.ok(args...))
	}
	searchWarehouse(t, w, search)
	s.stop()
	search.absent("log of the service", s.stderr.String())
	search.absentBelow(w.data)
	w.stopWarehouse() // checkpoints the warehouse file
	search.absentBelow(w.data)
}

// searchProcesses looks at the service and at everything that serves its data directory.
func searchProcesses(t *testing.T, search birds, s *service, run string) int {
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
		search.absent("command line of "+name, line)
		environ := procFile(p.pid, "environ")
		if environ == "" {
			t.Errorf("environment of %s cannot be read", name)
		}
		if p.pid != s.cmd.Process.Pid { // its own was given to it
			search.absent("environment of "+name, environ)
		}
	}
	return searched
}

// searchWarehouse prints every table of every dataset.
func searchWarehouse(t *testing.T, w *world, search birds) {
	t.Helper()
	tables := 0
	for _, dataset := range []string{"organizations", "acme_local"} {
		for _, row := range w.rows("acme", "SELECT table_name FROM "+dataset+".INFORMATION_SCHEMA.TABLES") {
			name := dataset + "." + row["table_name"]
			search.absent("table "+name, w.ok("sql", "--output", "json", "SELECT * FROM `"+name+"`"))
			tables++
		}
	}
	if tables < 10 {
		t.Errorf("searched %d tables", tables)
	}
	for _, row := range w.rows("acme", "SELECT provider, encrypted_credential FROM organizations.org_integration_credentials") {
		if row["provider"] != "OPENAI" || len(row["encrypted_credential"]) <= len(canary) {
			t.Errorf("credential of %s holds %d bytes", row["provider"], len(row["encrypted_credential"]))
		}
	}
}

// get returns the text of an answer.
func get(t *testing.T, s *service, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", s.keys["acme"])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v", path, response.Status, err)
	}
	return string(b)
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
	org := openai.Org{Name: "acme", AdminKey: canary}
	w, search := newWorld(t, org), birds{t}
	w.setCredentials(org)
	w.provider.api = echo{}
	s := w.serve("acme")
	run := s.wait("acme", s.start("acme").ID)
	if run.Status != client.Failed || run.Code != "STEP_FAILED" || !strings.Contains(run.Error, "401") {
		t.Errorf("run ended %s %s: %s", run.Status, run.Code, run.Error)
	}
	if !w.provider.sent(canary) {
		t.Fatal("the provider never saw the credential, so this test shows nothing")
	}
	search.absent("answer of the API", get(t, s, "/api/v1/pipelines/runs/"+run.ID))
	direct := w.run("run", usageCost, "--org", "acme", "--date", "2026-08-19", "-v")
	if direct.code != 1 {
		t.Errorf("run ended with %d", direct.code)
	}
	search.absent("output of run", direct.stdout+direct.stderr)
	searchWarehouse(t, w, search)
	s.stop()
	search.absent("log of the service", s.stderr.String())
	w.stopWarehouse()
	search.absentBelow(w.data)
}
