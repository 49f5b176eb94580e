package e2e

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/providers/openai"
)

func TestTwoOrganisationsGetTheirOwnUsagePricedAndRecorded(t *testing.T) {
	t.Parallel()
	both := []openai.Org{{Name: "acme", AdminKey: "sk-admin-acme-1", Share: 3}, {Name: "globex", AdminKey: "sk-admin-globex-1"}}
	w := newWorld(t, both...)
	w.setCredentials(both...)
	s := w.serve("acme", "globex")

	first := map[string]client.Run{}
	started := map[string]client.Started{}
	for _, org := range both {
		started[org.Name] = s.start(org.Name)
	}
	for _, org := range both {
		first[org.Name] = s.completed(org.Name, started[org.Name].ID)
	}
	published := map[string][]string{}
	for _, org := range both {
		checkRun(t, org.Name, started[org.Name], first[org.Name])
		checkBill(t, w, org.Name)
		checkRecords(t, w, first[org.Name])
		published[org.Name] = contents(w, org.Name)
	}

	// The same days again: fetched again and published as the next generation.
	asked := len(w.simulator.Requests())
	for _, org := range both {
		again := s.completed(org.Name, s.startAfter(org.Name, first[org.Name].ID).ID)
		if again.ID == first[org.Name].ID {
			t.Errorf("%s: the second run is the first", org.Name)
		}
		checkRecords(t, w, again)
		if diff := cmp.Diff(published[org.Name], contents(w, org.Name)); diff != "" {
			t.Errorf("%s: the second run changed rows: %s", org.Name, diff)
		}
		for _, table := range []string{"openai_usage_daily_raw", "openai_cost_daily"} {
			writers := w.rows(org.Name, "SELECT DISTINCT _run_id AS id FROM "+table)
			if len(writers) != 1 || writers[0]["id"] != again.ID {
				t.Errorf("%s: %s holds rows of %v, want those of %s alone", org.Name, table, writers, again.ID)
			}
		}
		checkGenerations(t, w, first[org.Name], again)
		checkList(t, s, org.Name, again, first[org.Name])
	}
	if len(w.simulator.Requests()) == asked {
		t.Error("the second run asked the provider for nothing")
	}
}

func checkRun(t *testing.T, org string, started client.Started, run client.Run) {
	t.Helper()
	if started.PipelineID != org+"-openai-cost-usage_cost" || started.Org != org || started.Status != client.Pending {
		t.Errorf("%s: started as %+v", org, started)
	}
	if run.ID != started.ID || run.Org != org || run.Trigger != "api" || run.TriggerBy != "e2e" || run.RunDate != "2026-08-19" || run.Code != "" || run.Error != "" {
		t.Errorf("%s: run is %+v", org, run)
	}
	if run.End == nil || run.DurationMS == nil || run.End.Sub(run.Start).Milliseconds() != *run.DurationMS {
		t.Errorf("%s: run from %s to %v took %v ms", org, run.Start, run.End, run.DurationMS)
	}
	var steps []string
	for _, s := range run.Steps {
		steps = append(steps, fmt.Sprintf("%d %s %s %s %s", s.Index, s.Step, s.Type, s.Table, s.Status))
		if s.Start == nil || s.End == nil || s.Start.Before(run.Start) || s.End.After(*run.End) || s.End.Before(*s.Start) {
			t.Errorf("%s: step %s lasted from %v to %v within %s to %s", org, s.Step, s.Start, s.End, run.Start, run.End)
		}
		if s.Published == 0 || s.Rows != s.Published || s.Rejected != 0 || len(s.JobIDs) == 0 {
			t.Errorf("%s: step %s: %+v", org, s.Step, s)
		}
	}
	want := []string{
		"0 extract_usage openai.usage " + org + "_local.openai_usage_daily_raw COMPLETED",
		"1 transform_cost openai.cost " + org + "_local.openai_cost_daily COMPLETED",
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("%s: steps: %s", org, diff)
	}
	if run.Steps[0].Pages == 0 || run.Steps[0].Requests < run.Steps[0].Pages {
		t.Errorf("%s: %d pages in %d requests", org, run.Steps[0].Pages, run.Steps[0].Requests)
	}
}

// checkBill compares the cost table with what the provider has on record.
func checkBill(t *testing.T, w *world, org string) {
	t.Helper()
	totals, err := w.simulator.Totals(org)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	for _, row := range w.rows(org, `SELECT CAST(usage_date AS STRING) AS day, model, SUM(requests) AS requests, SUM(total_cost_usd) AS cost,
		COUNTIF(pricing_status = 'UNPRICED') AS unpriced FROM openai_cost_daily GROUP BY 1, 2`) {
		got[row["day"]+" "+row["model"]] = row
	}
	for _, day := range totals.Days {
		key := day.Day.String() + " " + day.Model
		row := got[key]
		delete(got, key)
		if row["requests"] != strconv.FormatInt(day.Requests, 10) {
			t.Errorf("%s %s: %s requests, the provider counts %d", org, key, row["requests"], day.Requests)
		}
		if day.Model == openai.UnpricedModel {
			if row["cost"] != "" || row["unpriced"] == "0" {
				t.Errorf("%s %s: has no price, but costs %q", org, key, row["cost"])
			}
			continue
		}
		cost, ok := new(big.Rat).SetString(row["cost"])
		billed, billedOK := new(big.Rat).SetString(day.Cost)
		if !ok || !billedOK {
			t.Errorf("%s %s: cost %q, billed %q", org, key, row["cost"], day.Cost)
			continue
		}
		difference := new(big.Rat).Sub(cost, billed)
		tolerance := new(big.Rat).Mul(big.NewRat(int64(day.UserLeaves), 1), big.NewRat(5, 10_000_000_000))
		if difference.Abs(difference).Cmp(tolerance) > 0 {
			t.Errorf("%s %s: calculated %s, billed %s", org, key, row["cost"], day.Cost)
		}
	}
	if len(got) > 0 {
		t.Errorf("%s: the provider never billed %v", org, got)
	}
}

// checkRecords compares the central tables with what the API says of a run.
func checkRecords(t *testing.T, w *world, run client.Run) {
	t.Helper()
	w.projected(run)
	got := w.rows(run.Org, fmt.Sprintf(`SELECT org_slug, pipeline_id, status, trigger_type, trigger_by, CAST(run_date AS STRING) AS run_date,
		UNIX_MILLIS(start_time) AS started, UNIX_MILLIS(end_time) AS ended, duration_ms, error_message
		FROM organizations.org_meta_pipeline_runs WHERE pipeline_logging_id = '%s'`, run.ID))
	want := []map[string]string{{
		"org_slug": run.Org, "pipeline_id": run.PipelineID, "status": string(run.Status), "trigger_type": "api", "trigger_by": "e2e",
		"run_date": "2026-08-19", "started": strconv.FormatInt(run.Start.UnixMilli(), 10), "ended": strconv.FormatInt(run.End.UnixMilli(), 10),
		"duration_ms": strconv.FormatInt(*run.DurationMS, 10), "error_message": "",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("org_meta_pipeline_runs: %s", diff)
	}
	steps := w.rows(run.Org, fmt.Sprintf(`SELECT step_name, step_type, step_index, status, rows_processed, UNIX_MILLIS(start_time) AS started,
		UNIX_MILLIS(end_time) AS ended, duration_ms, error_message FROM organizations.org_meta_step_logs
		WHERE pipeline_logging_id = '%s' ORDER BY step_index`, run.ID))
	var wantSteps []map[string]string
	for _, s := range run.Steps {
		wantSteps = append(wantSteps, map[string]string{
			"step_name": s.Step, "step_type": s.Type, "step_index": strconv.Itoa(s.Index), "status": string(s.Status),
			"rows_processed": strconv.FormatInt(s.Published, 10), "started": strconv.FormatInt(s.Start.UnixMilli(), 10),
			"ended": strconv.FormatInt(s.End.UnixMilli(), 10), "duration_ms": strconv.FormatInt(*s.DurationMS, 10), "error_message": "",
		})
		rows := w.rows(run.Org, "SELECT COUNT(*) AS n FROM "+s.Table)
		if rows[0]["n"] != strconv.FormatInt(s.Published, 10) {
			t.Errorf("%s: %s holds %s rows, step %s published %d", run.Org, s.Table, rows[0]["n"], s.Step, s.Published)
		}
	}
	if diff := cmp.Diff(wantSteps, steps); diff != "" {
		t.Errorf("org_meta_step_logs: %s", diff)
	}
}

// checkGenerations holds every unit of the second run to the generation after the first's.
func checkGenerations(t *testing.T, w *world, first, second client.Run) {
	t.Helper()
	query := `SELECT step AS unit, seq FROM organizations.org_meta_run_events WHERE kind = 'generation' AND run_id = '%s' ORDER BY 1`
	before := w.rows(first.Org, fmt.Sprintf(query, first.ID))
	after := w.rows(second.Org, fmt.Sprintf(query, second.ID))
	if len(before) == 0 || len(before) != len(after) {
		t.Fatalf("%s: %d units, then %d", first.Org, len(before), len(after))
	}
	for i := range before {
		if before[i]["unit"] != after[i]["unit"] || before[i]["seq"] != "1" || after[i]["seq"] != "2" {
			t.Errorf("%s: generation %v, then %v", first.Org, before[i], after[i])
		}
	}
}

// checkList wants exactly these runs of the organisation, newest first.
func checkList(t *testing.T, s *service, org string, want ...client.Run) {
	t.Helper()
	got, err := s.as(org).List(context.Background(), client.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var ids, wantIDs []string
	for _, r := range got {
		ids = append(ids, r.ID+" "+string(r.Status))
	}
	for _, r := range want {
		wantIDs = append(wantIDs, r.ID+" "+string(r.Status))
	}
	if diff := cmp.Diff(wantIDs, ids); diff != "" {
		t.Errorf("runs of %s: %s", org, diff)
	}
	one, err := s.as(org).List(context.Background(), client.Filter{PipelineID: want[0].PipelineID, Status: client.Completed, Limit: 1})
	if err != nil || len(one) != 1 || one[0].ID != want[0].ID {
		t.Errorf("newest completed run of %s: %v, %v", org, one, err)
	}
	none, err := s.as(org).List(context.Background(), client.Filter{Status: client.Failed})
	if err != nil || len(none) != 0 {
		t.Errorf("failed runs of %s: %v, %v", org, none, err)
	}
}

// contents are the rows of the pipeline's tables but for who wrote them and when, sorted.
func contents(w *world, org string) []string {
	w.t.Helper()
	var out []string
	for _, table := range []string{"openai_usage_daily_raw", "openai_cost_daily"} {
		for _, row := range w.rows(org, "SELECT * FROM "+table) {
			var cells []string
			for name, value := range row {
				if !slices.Contains([]string{"_run_id", "_row_id", "extracted_at", "calculated_at"}, name) {
					cells = append(cells, name+"="+value)
				}
			}
			slices.Sort(cells)
			out = append(out, table+": "+strings.Join(cells, " "))
		}
	}
	slices.Sort(out)
	return out
}
