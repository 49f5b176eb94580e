package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
)

const previewed = `pipeline_id: p
steps:
  - step_id: fetch
    ps_type: generic.api_extractor
    config: {url: "%s/items"%s}
    destination: {table: items, write_mode: append}
  - step_id: sum
    ps_type: bq_transformer
    config: {sql: "SELECT DATE '{date}' AS usage_date, 1 AS n"}
    destination: sums
`

// runIn runs a command over a data folder of its own.
func runIn(t *testing.T, data string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	environ := []string{"CONVERGENCE_DATA_DIR=" + data, "ENVIRONMENT=development", "HOME=" + data}
	if code := execute(t.Context(), args, environ, &out, &errs); code != want {
		t.Fatalf("%v ended with %d: %s", args, code, errs.String())
	}
	return out.String(), errs.String()
}

func TestAPreviewWritesNothing(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":[{"id":1,"name":"one"},{"id":2,"name":"two"}]}`)
	}))
	defer api.Close()
	data := localCloud(t)
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "p.yml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	whole := write(fmt.Sprintf(previewed, api.URL, ""))
	list := func() string {
		all := ""
		for _, query := range []string{
			"SELECT table_name FROM dev_org_local_local.INFORMATION_SCHEMA.TABLES ORDER BY 1",
			"SELECT table_name FROM organizations.INFORMATION_SCHEMA.TABLES ORDER BY 1",
			"SELECT * FROM organizations.org_meta_pipeline_runs",
			"SELECT * FROM dev_org_local_local.sums",
		} {
			rows, _ := runIn(t, data, exitOK, "sql", "--output", "csv", query)
			all += rows
		}
		return all
	}
	_, alone, _ := strings.Cut(previewed, "  - step_id: sum")
	runIn(t, data, exitOK, "run", write("pipeline_id: p\nsteps:\n  - step_id: sum"+alone), "--runner", "direct", "--date", "2026-01-01")
	before, files := list(), runFiles(t, data)
	rows, said := runIn(t, data, exitOK, "preview", whole, "--output", "json")
	if !strings.Contains(rows, "one") || !strings.Contains(rows, "two") || !strings.Contains(said, "nothing was written") {
		t.Errorf("the rows are %s, said was %s", rows, said)
	}
	rows, said = runIn(t, data, exitOK, "preview", write(fmt.Sprintf(previewed, api.URL, ", transform: {flatten: true}")))
	if !strings.Contains(rows, `"name": "name"`) || !strings.Contains(said, "declares no schema") {
		t.Errorf("the schema of flattened rows is %s, said was %s", rows, said)
	}
	rows, _ = runIn(t, data, exitOK, "preview", whole, "--step", "sum", "--date", "2026-01-02")
	if !strings.Contains(rows, "2026-01-02") {
		t.Errorf("the rows of the statement are %s", rows)
	}
	if after := list(); after != before {
		t.Errorf("the tables were\n%s\nand are\n%s", before, after)
	}
	if after := runFiles(t, data); after != files {
		t.Errorf("the folders of runs were %q and are %q", files, after)
	}
}

// localCloud runs the embedded cloud of a new data folder until the test ends.
func localCloud(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var said strings.Builder
	go func() {
		ended <- execute(ctx, []string{"local", "--data-dir", data}, []string{"ENVIRONMENT=development"}, &said, &said)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("the embedded cloud ended with %d: %s", code, said.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(data, "server.json")); err == nil {
			return data
		}
		if time.Now().After(deadline) {
			t.Fatal("the embedded cloud does not say where it listens")
		}
	}
}

// runFiles lists what is below the folder of runs.
func runFiles(t *testing.T, data string) string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(data), ".", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(name, "runs/") {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// TestARunCarriesWhatItsJobCannotRead checks the tables and providers that travel with a
// run: a job has neither the configs folder nor an analyzer of SQL.
func TestARunCarriesWhatItsJobCannotRead(t *testing.T) {
	_, catalog := checkedPlanner(t)
	env, err := wiring.Read([]string{"ENVIRONMENT=development", "HOME=" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlanner(env, catalog)
	text := fmt.Sprintf(previewed, "https://api.example.com", ", auth: {secret_key: openai_api_key}")
	planned, err := p.Plan(t.Context(), launcher.Request{Org: "acme", Document: &launcher.Document{File: "p.yml", Text: text}}, "0b5c1f0e-0000-5000-8000-000000000000", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(planned.Tables["system/step/sum"]); !strings.Contains(got, "usage_date") {
		t.Errorf("the columns of the statement are %s", got)
	}
	bare, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	carried, err := bare.WithTables(planned.Tables).WithProviders(planned.Providers)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := carried.Providers().ByContextKey("openai_api_key"); !ok || !strings.Contains(string(planned.Providers), `"OPENAI"`) {
		t.Errorf("the providers are %s", planned.Providers)
	}
	job := plan.New(plan.Deps{Catalog: carried, Processors: compile.Processors()})
	again, err := job.Plan(t.Context(), plan.Request{
		Source: configs.File{Name: "p.yml", Text: []byte(text)}, Org: "acme", Env: env.Suffix(), Project: env.Project, Location: env.Location, Dataset: launcher.Dataset("acme", env.Suffix()),
		RunID: "0b5c1f0e-0000-5000-8000-000000000000", Start: planned.Start, End: planned.End, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range planned.Units {
		if s := again.Steps[i]; s.Units[0].ID != u.ID || label(s.ConfigHash) != u.Hash || s.Destination.Table != "items" && len(s.Schema.Fields) != 2 {
			t.Errorf("the job plans unit %s of %s as %s with hash %s (%s), columns %v", u.ID, s.ID, s.Units[0].ID, s.ConfigHash, u.Hash, s.Schema.Fields.Names())
		}
	}
}
