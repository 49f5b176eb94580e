package service

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/providers/openai"
)

// canary is an admin key that must be seen nowhere but in requests to the provider; rare
// is the part of it that no other text holds.
const (
	rare   = "canary-7c2e91d04ab8"
	canary = "sk-admin-" + rare
)

// spellings of the rare part: as it is, in hex, and in base64 wherever it begins in a
// group of three bytes.
var spellings = func() []string {
	out := []string{rare, hex.EncodeToString([]byte(rare))}
	for skip := range 3 {
		whole := rare[skip:]
		out = append(out, base64.StdEncoding.EncodeToString([]byte(whole[:len(whole)/3*3])))
	}
	return out
}()

func absent(t *testing.T, where, text string) {
	t.Helper()
	for _, s := range spellings {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%s holds the credential: ...%q", where, text[max(0, i-80):i])
			return
		}
	}
}

// upstream is the provider behind a gate; it knows who has asked.
type upstream struct {
	provider
	api  http.Handler
	mu   sync.Mutex
	keys map[string]int
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	if u.keys == nil {
		u.keys = map[string]int{}
	}
	u.keys[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]++
	u.mu.Unlock()
	u.wait(r.Context())
	u.api.ServeHTTP(w, r)
}

func (u *upstream) asked(key string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keys[key]
}

// TestACredentialThatIsSetUpIsSeenOnlyByTheProvider sets a credential up over the API and
// looks for it everywhere.
func TestACredentialThatIsSetUpIsSeenOnlyByTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	simulator, err := openai.New(openai.Config{
		Seed: 1, Days: openai.Days(civil.Date{Year: 2026, Month: 8, Day: 1}, 1), Orgs: []openai.Org{{Name: "acme", AdminKey: canary}},
	})
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{api: simulator.Handler()}
	server := httptest.NewServer(up)
	t.Cleanup(func() { up.release(); server.CloseClientConnections(); server.Close() })
	data := w.fresh()
	s := w.serve(data, "OPENAI_API_BASE_URL="+server.URL+"/v1", "LOG_LEVEL=DEBUG")
	acme := s.as("acme")
	answer, err := acme.SetUp(t.Context(), "acme", "openai", client.Setup{Credential: canary})
	if err != nil || answer.Status != "VALID" {
		t.Fatalf("set up: %+v %v", answer, err)
	}
	absent(t, "answer of setup", fmt.Sprintf("%+v", answer))
	wrong, err := acme.SetUp(t.Context(), "acme", "anthropic", client.Setup{Credential: canary})
	absent(t, "answer of a refused setup", fmt.Sprintf("%+v %v", wrong, err))
	before := up.asked(canary)
	up.hold()
	started, err := acme.Run(t.Context(), "acme", client.Pipeline{Provider: "openai", Domain: "cost", Name: "usage_cost"}, day(0))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job asks the provider", func() bool { return up.asked(canary) > before })
	for name, pid := range map[string]int{"the service": s.cmd.Process.Pid, "the job": jobOf(t, data, started.ID)} {
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil || len(b) == 0 {
				t.Errorf("read %s of %s: %v", file, name, err)
			}
			absent(t, file+" of "+name, string(b))
		}
	}
	up.release()
	if run := s.wait("acme", started.ID); run.Status != client.Completed {
		t.Errorf("the run ended %s: %s", run.Status, run.Error)
	}
	for _, path := range []string{"integrations/acme", "integrations/acme/openai", "pipelines/runs", "pipelines/runs/" + started.ID, "pipelines/runs/" + started.ID + "/logs", "pipelines"} {
		absent(t, "answer of "+path, s.text(t, "acme", "/api/v1/"+path))
	}
	s.stop()
	absent(t, "log of the service", s.stderr.String())
	w.searchTables(t)
	searchFiles(t, w.dir)
}

// text is an answer as it is.
func (s *service) text(t *testing.T, org, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", keyOf(org))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s %v", path, response.Status, err)
	}
	return string(b)
}

func (w *world) searchTables(t *testing.T) {
	t.Helper()
	tables := 0
	for _, dataset := range []string{central, "acme_local"} {
		for _, row := range w.ask(t, "SELECT table_name FROM "+dataset+".INFORMATION_SCHEMA.TABLES") {
			name := fmt.Sprintf("%s.%v", dataset, row[0])
			for _, line := range w.ask(t, "SELECT TO_JSON_STRING(t) FROM `"+name+"` AS t") {
				absent(t, "table "+name, fmt.Sprint(line))
			}
			tables++
		}
	}
	if tables < 10 {
		t.Errorf("searched %d tables", tables)
	}
}

// searchFiles looks into every file of the services and of the warehouse.
func searchFiles(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		absent(t, path, string(b))
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("searched %d files: %v", files, err)
	}
}
