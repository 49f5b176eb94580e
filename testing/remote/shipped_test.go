package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/lab"
)

// shipped are the pipelines whose processors are built, with the tables that they fill.
// Those of a later wave read what those of an earlier one have landed.
var shipped = []struct {
	id     string
	wave   int
	tables []string
}{
	{"openai/cost/usage_extract", 0, []string{"openai_usage_completions_raw", "openai_usage_embeddings_raw"}},
	{"openai/cost/cost_extract", 0, []string{"openai_cost_raw"}},
	{"openai/cost/usage_cost", 0, []string{"openai_usage_daily_raw", "openai_cost_daily"}},
	{"example/usage/example_elt_pipeline", 0, []string{"example_usage_raw", "example_usage_final"}},
	{"openai/cost/cost_calculation", 1, []string{"openai_cost_daily_calculated"}},
	{"example/finance/subscription_costs_transform", 1, []string{"consolidated_subscription_costs_daily"}},
}

// Every pipeline that is shipped and can run does on Dataflow what it does on this machine:
// the same rows, and the same records of its steps. And nothing that Dataflow was told or
// that lies in the bucket holds the credential.
func TestShippedPipelinesDoOnDataflowWhatTheyDoHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.credential()
	w.example()
	w.wantAllShipped()
	w.ok("run", w.target("openai/cost/usage_cost"), "--org", org, "--date", firstDay.String()) // makes the dataset
	w.table("gcp_billing_daily_raw", "gcp/cost/schemas/gcp_billing_daily_raw.json")
	w.Change(t, `INSERT INTO acme_local.gcp_billing_daily_raw (org_slug, usage_date, billing_account_id, usage_start_time, usage_end_time, cost, currency, ingestion_date)
		VALUES ('acme', '2026-08-19', 'b', '2026-08-19 00:00:00', '2026-08-19 01:00:00', 12.5, 'USD', '2026-08-19')`)
	here := w.runAll("prism")
	if jobs := w.sim.Jobs(); len(jobs) != 0 {
		t.Errorf("runs on this machine were jobs of Dataflow: %+v", jobs)
	}
	there := w.runAll("dataflow")
	for _, p := range shipped {
		if diff := cmp.Diff(here[p.id], there[p.id]); diff != "" {
			t.Errorf("%s, on this machine (-) and on Dataflow (+): %s", p.id, diff)
		}
		if o := here[p.id]; len(o.Rows) < len(p.tables) || len(o.Steps) == 0 {
			t.Errorf("%s: %d rows and %d steps prove nothing", p.id, len(o.Rows), len(o.Steps))
		}
	}
	jobs := w.sim.Jobs()
	for _, j := range jobs {
		if j.CurrentState != dataflowsim.Done || j.Labels["convergence-org"] != org {
			t.Errorf("job %s is %s with the labels %v", j.Name, j.CurrentState, j.Labels)
		}
	}
	if len(jobs) != len(shipped) {
		t.Errorf("there are %d jobs, not %d", len(jobs), len(shipped))
	}
	w.nothingHoldsTheCredential(len(shipped))
}

// wantAllShipped wants every shipped pipeline to be one of shipped, or to need what is not
// built.
func (w *world) wantAllShipped() {
	w.T.Helper()
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		w.T.Fatal(err)
	}
	known := 0
	for _, id := range catalog.List() {
		out, err := w.try("run", id, "--org", org, "--dry-run")
		built := err == nil || !strings.Contains(out, " is not part of this version")
		listed := false
		for _, p := range shipped {
			listed = listed || p.id == id
		}
		if built != listed {
			w.T.Errorf("%s can run: %t; it is tested: %t\n%s", id, built, listed, out)
		}
		if listed {
			known++
		}
	}
	if known != len(shipped) {
		w.T.Errorf("%d pipelines of %d are shipped", known, len(shipped))
	}
}

// example puts the example's provider into its document, as its reader is told to.
func (w *world) example() {
	w.T.Helper()
	text, err := fs.ReadFile(configs.Shipped(), "example/usage/example_elt_pipeline.yml")
	if err != nil {
		w.T.Fatal(err)
	}
	mine := strings.ReplaceAll(string(text), "https://api.example.com/v1/usage", w.items.url+"/records")
	if mine == string(text) {
		w.T.Fatal("the example's provider is another")
	}
	w.write("example_elt_pipeline.yml", mine)
}

// target is how a command is told a pipeline.
func (w *world) target(id string) string {
	if id == "example/usage/example_elt_pipeline" {
		return "example_elt_pipeline.yml"
	}
	return id
}

// outcome is what a run has left that does not say who ran it, where and when.
type outcome struct{ Rows, Steps []string }

// runAll runs all pipelines on a runner, those of a wave at the same time.
func (w *world) runAll(runner string) map[string]outcome {
	w.T.Helper()
	for wave := range 2 {
		var wg sync.WaitGroup
		for _, p := range shipped {
			if p.wave == wave {
				wg.Go(func() { w.ok("run", w.target(p.id), "--org", org, "--date", firstDay.String(), "--runner", runner) })
			}
		}
		wg.Wait()
	}
	if w.T.Failed() {
		w.T.FailNow()
	}
	out := map[string]outcome{}
	for _, p := range shipped {
		var o outcome
		for _, table := range p.tables {
			for _, row := range w.Lines(w.T, "SELECT TO_JSON_STRING(t) FROM acme_local."+table+" AS t") {
				o.Rows = append(o.Rows, table+" "+without(w.T, row, "_run_id", "_row_id", "extracted_at", "calculated_at", "ingestion_id", "ingestion_timestamp"))
			}
		}
		slices.Sort(o.Rows)
		o.Steps = w.steps(p.tables[0])
		out[p.id] = o
	}
	return out
}

// steps are the records of the steps of the run that wrote a table.
func (w *world) steps(table string) []string {
	w.T.Helper()
	var out []string
	for _, row := range w.Ask(w.T, "SELECT step_name, step_type, step_index, status, IFNULL(rows_processed, -1), IFNULL(error_message, ''), TO_JSON_STRING(metadata)"+
		" FROM organizations.org_meta_step_logs WHERE pipeline_logging_id IN (SELECT _run_id FROM acme_local."+table+") ORDER BY step_index") {
		last := len(row) - 1
		out = append(out, fmt.Sprint(row[:last])+" "+without(w.T, fmt.Sprint(row[last]), "start", "end", "job_ids"))
	}
	return out
}

// without is an object of JSON but for some members, which it must be known by.
func without(t testing.TB, text string, names ...string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, name := range names {
		delete(members, name)
	}
	b, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// nothingHoldsTheCredential searches what the simulator was told, and its bucket.
func (w *world) nothingHoldsTheCredential(jobs int) {
	w.T.Helper()
	requests := w.sim.Requests()
	for _, r := range requests {
		lab.Absent(w.T, r.Method+" "+r.Path, r.Path+r.Body)
	}
	objects, err := w.sim.Objects("")
	if err != nil {
		w.T.Fatal(err)
	}
	for _, o := range objects {
		if !strings.HasSuffix(o.Name, "/worker") { // the binary
			lab.Absent(w.T, "gs://"+bucket+"/"+o.Name, string(o.Content))
		}
	}
	if len(requests) < jobs || len(objects) < 4*jobs { // spec, job, graph and plan
		w.T.Errorf("searched %d requests and %d files", len(requests), len(objects))
	}
	if _, err := w.Client.Dataset("organizations").Table("org_integration_credentials").Metadata(context.Background()); err != nil {
		w.T.Errorf("there was nothing to leak: %v", err)
	}
}
