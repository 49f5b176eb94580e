package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

func (v *victim) backfill(days, parallel int, more ...string) []string {
	return append([]string{
		"backfill", "pipeline.yml", "--org", v.org, "--from", firstDay.String(), "--to", firstDay.AddDays(days - 1).String(),
		"--parallel", fmt.Sprint(parallel), "--output", "json",
	}, more...)
}

// outcomes counts the days of a backfill by how they ended.
func outcomes(t testing.TB, stdout string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for line := range strings.Lines(stdout) {
		var day struct {
			Date    string `json:"date"`
			Outcome string `json:"outcome"`
		}
		if err := json.Unmarshal([]byte(line), &day); err != nil || day.Date == "" {
			t.Fatalf("a day is %q: %v", line, err)
		}
		out[day.Outcome]++
	}
	return out
}

// killTree kills the command and the jobs that it has started, which have groups of their
// own.
func (v *victim) killTree() {
	v.mu.Lock()
	defer v.mu.Unlock()
	jobs := children(v.t, v.cmd.Process.Pid)
	_ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL)
	for _, pid := range jobs {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

func TestABackfillThatIsKilledGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	v := newVictim(t, l, "backfilled", mode("replace").document(), &api{pages: 2, rows: 10}, false)
	for i := range backfillKills {
		v.plan.Set(faults.Rule{Op: faults.Publish, When: []faults.When{faults.Before, faults.After}[i%2], Nth: backfillDays / (2 * backfillKills), Do: faults.Kill(v.killTree)})
		if got := v.attempt(v.backfill(backfillDays, 3)...); got.code != -1 {
			t.Fatalf("the backfill was not killed, it ended with %d\n%s", got.code, got.stderr)
		}
	}
	v.plan.Set()
	got := v.completes(v.backfill(backfillDays, 3)...)
	ended := outcomes(t, got.stdout)
	if ended["skipped"] == 0 || ended["completed"]+ended["skipped"] != backfillDays {
		t.Errorf("days: %v", ended)
	}
	v.landed(backfillDays)
	v.holds("SELECT COUNT(DISTINCT usage_date), MIN(usage_date), MAX(usage_date) FROM `"+v.dataset()+".usage`",
		fmt.Sprintf("%d %s %s", backfillDays, firstDay, firstDay.AddDays(backfillDays-1)))
	v.holds("SELECT DISTINCT status FROM organizations.org_meta_pipeline_runs WHERE org_slug = '"+v.org+"' ORDER BY 1", "COMPLETED", "FAILED")
	v.holds("SELECT DISTINCT JSON_VALUE(run_metadata, '$.code') FROM organizations.org_meta_pipeline_runs WHERE status = 'FAILED' AND org_slug = '"+v.org+"'", "LOST")

	v.api.forget()
	again := v.completes(v.backfill(backfillDays, 3)...)
	if diff := cmp.Diff(map[string]int{"skipped": backfillDays}, outcomes(t, again.stdout)); diff != "" {
		t.Errorf("a second backfill: %s", diff)
	}
	if asked := v.api.again(); len(asked) != 0 {
		t.Errorf("finished days were fetched again: %v", asked)
	}
	forced := v.completes(v.backfill(2, 2, "--force")...)
	if diff := cmp.Diff(map[string]int{"completed": 2}, outcomes(t, forced.stdout)); diff != "" {
		t.Errorf("a forced backfill: %s", diff)
	}
	v.landed(backfillDays)
}

// operated is a pipeline that rejects records, whose step lands the rest.
func operated(t *testing.T, bad int) *victim {
	t.Helper()
	document := strings.Replace(mode("merge").document(), "max_rejected: 1%", "max_rejected: 50%", 1)
	return newVictim(t, lab.New(t), "operated", document, &api{pages: 2, rows: 10, bad: bad}, false)
}

func (v *victim) decode(into any, args ...string) {
	v.t.Helper()
	got := v.completes(append(args, "--org", v.org, "--output", "json")...)
	if err := json.Unmarshal([]byte(got.stdout), into); err != nil {
		v.t.Fatalf("convergence %s printed %q: %v", strings.Join(args, " "), got.stdout, err)
	}
}

type shownRun struct {
	ID    string `json:"run_id"`
	State string `json:"state"`
	Code  string `json:"error_code"`
	Retry string `json:"retry_of"`
	Steps []struct {
		Step   string `json:"step"`
		State  string `json:"state"`
		Counts struct {
			Rows, Pages, Adopted, Rejected int64
		} `json:"counts"`
	} `json:"steps"`
}

type shownUnit struct {
	Step, Slice, State string
	Generation         int
	Staged             bool
	Positions          []struct {
		Pages, Rows int64
		Ended       bool
	}
}

func TestRunsStateAndDeadLettersOperateWhatRan(t *testing.T) {
	t.Parallel()
	v := operated(t, 3)
	days := []string{"--date", firstDay.String()}
	var units []shownUnit
	v.decode(&units, append([]string{"state", "show", "pipeline.yml"}, days...)...)
	if len(units) != 1 || units[0].State != "NONE" {
		t.Errorf("before any run: %+v", units)
	}
	v.plan.Set(faults.Rule{Op: faults.Publish, When: faults.Before, Do: faults.Kill(v.kill)})
	if got := v.attempt(v.runDays(1)...); got.code != -1 {
		t.Fatalf("the run was not killed: %d", got.code)
	}
	v.plan.Set()
	v.decode(&units, append([]string{"state", "show", "pipeline.yml"}, days...)...)
	if len(units) != 1 || units[0].State != "OPEN" || !units[0].Staged || len(units[0].Positions) != 1 || !units[0].Positions[0].Ended || units[0].Positions[0].Pages != 2 {
		t.Errorf("after a kill: %+v", units)
	}
	text := v.completes(append([]string{"state", "reset", "pipeline.yml", "--org", v.org}, days...)...).stdout
	if !strings.Contains(text, "generation 1 is closed and its stage dropped") {
		t.Errorf("reset printed %s", text)
	}
	v.api.forget()
	v.completes(v.runDays(1)...)
	if v.api.pagesAsked() != 2 {
		t.Errorf("after a reset %d pages were asked for", v.api.pagesAsked())
	}
	v.decode(&units, append([]string{"state", "show", "pipeline.yml"}, days...)...)
	if len(units) != 1 || units[0].State != "PUBLISHED" || units[0].Generation != 2 {
		t.Errorf("after the next run: %+v", units)
	}
	v.landed(1)

	var runs []shownRun
	v.decode(&runs, "runs")
	if len(runs) != 2 || runs[0].State != "COMPLETED" || runs[1].State != "FAILED" || runs[1].Code != "LOST" {
		t.Fatalf("runs: %+v", runs)
	}
	var one shownRun
	v.decode(&one, "runs", runs[0].ID)
	if len(one.Steps) != 1 || one.Steps[0].Counts.Rows != 20 || one.Steps[0].Counts.Rejected != 3 || one.Steps[0].Counts.Pages != 2 {
		t.Errorf("the run is %+v", one)
	}
	table := v.completes("runs", runs[0].ID, "--org", v.org).stdout
	for _, want := range []string{"COMPLETED", "extract", "FETCHED", "ADOPTED", "AGAIN"} {
		if !strings.Contains(table, want) {
			t.Errorf("runs ID does not say %s:\n%s", want, table)
		}
	}
	if log := v.completes("runs", runs[0].ID, "--org", v.org, "--logs").stdout; log == "" {
		t.Error("the log is empty")
	}
	v.refuses(1, "is COMPLETED; only a run that has not ended can be cancelled", "runs", runs[0].ID, "--org", v.org, "--cancel")
	v.refuses(1, "has completed", "runs", runs[0].ID, "--org", v.org, "--retry")
	v.refuses(1, "not found", "runs", runs[0].ID, "--org", "another", "--logs")
	v.refuses(1, "not found", "runs", "00000000-0000-4000-8000-000000000000", "--org", v.org)
	retried := v.completes("runs", runs[1].ID, "--org", v.org, "--retry", "--output", "json")
	if err := json.Unmarshal([]byte(retried.stdout), &one); err != nil || one.State != "COMPLETED" || one.Retry != runs[1].ID {
		t.Errorf("the retry is %+v, %v", one, err)
	}
	v.landed(1)
	v.replayed()
}

// replayed wants rejected rows to land once the provider sends them right.
func (v *victim) replayed() {
	v.t.Helper()
	type group struct {
		Run     string `json:"run_id"`
		Code    string `json:"code"`
		Letters int    `json:"letters"`
	}
	var groups []group
	v.decode(&groups, "dlq", "list")
	if len(groups) == 0 || groups[0].Letters != 3 {
		v.t.Fatalf("dead letters: %+v", groups)
	}
	var letters []struct {
		Record string `json:"raw_data"`
	}
	v.decode(&letters, "dlq", "list", "--rows", "--run", groups[0].Run)
	if len(letters) != 3 || !strings.Contains(letters[0].Record, "many") {
		v.t.Errorf("letters: %+v", letters)
	}
	v.api.mend()
	v.completes("dlq", "replay", "pipeline.yml", "--org", v.org)
	v.landed(1)
	v.decode(&groups, "dlq", "list")
	if len(groups) != 0 {
		v.t.Errorf("after the replay: %+v", groups)
	}
	v.decode(&groups, "dlq", "list", "--all")
	if len(groups) == 0 {
		v.t.Error("dead letters were forgotten")
	}
	if got := v.completes("dlq", "replay", "pipeline.yml", "--org", v.org); !strings.Contains(got.stderr, "nothing to replay") {
		v.t.Errorf("a second replay: %s%s", got.stdout, got.stderr)
	}
}

// refuses wants a command to end with a code and say why.
func (v *victim) refuses(code int, message string, args ...string) {
	v.t.Helper()
	if got := v.attempt(args...); got.code != code || !strings.Contains(got.stderr, message) {
		v.t.Errorf("convergence %s ended with %d: %s", strings.Join(args, " "), got.code, got.stderr)
	}
}

func TestAFailedRunIsRetriedFromWhatItStaged(t *testing.T) {
	t.Parallel()
	v := newVictim(t, lab.New(t), "retried", mode("replace").document(), &api{pages: 2, rows: 10}, false)
	v.plan.Set(faults.Rule{Op: faults.Publish, When: faults.Before, Do: faults.Fail(400, "invalidQuery")})
	if got := v.attempt(v.runDays(1)...); got.code != 1 {
		t.Fatalf("the run ended with %d: %s", got.code, got.stderr)
	}
	v.plan.Set()
	var runs []shownRun
	v.decode(&runs, "runs", "--state", "FAILED")
	if len(runs) != 1 {
		t.Fatalf("failed runs: %+v", runs)
	}
	v.completes("runs", runs[0].ID, "--org", v.org, "--retry")
	v.landed(1)
	if again := v.api.again(); again[firstDay.String()] != 0 {
		t.Errorf("pages were asked for again: %v", again)
	}
}

func TestARunOfAnotherProcessIsCancelled(t *testing.T) {
	t.Parallel()
	v := newVictim(t, lab.New(t), "cancelled", mode("replace").document(), &api{pages: 2, rows: 10}, false)
	gate := faults.NewGate()
	defer gate.Open()
	v.plan.Set(faults.Rule{Op: faults.Page, When: faults.Before, Nth: 2, Do: gate.Pause()})
	owner := v.command(v.runDays(1)...)
	said := &lab.Buffer{}
	owner.Stdout, owner.Stderr = said, said
	v.start(owner)
	defer func() { _ = syscall.Kill(-owner.Process.Pid, syscall.SIGKILL) }()
	<-gate.Arrived()
	var runs []shownRun
	v.decode(&runs, "runs")
	if len(runs) != 1 || runs[0].State != "RUNNING" {
		t.Fatalf("runs: %+v", runs)
	}
	got := v.completes("runs", runs[0].ID, "--org", v.org, "--cancel", "--discard")
	if !strings.Contains(got.stdout, "CANCELLED") {
		t.Errorf("cancel printed %s%s", got.stdout, got.stderr)
	}
	gate.Open()
	_ = owner.Wait()
	if owner.ProcessState.ExitCode() != 1 {
		t.Errorf("the owner ended with %d: %s", owner.ProcessState.ExitCode(), said)
	}
	v.plan.Set()
	v.completes(v.runDays(1)...)
	v.landed(1)
}

// TestACommandGoesOnWithTheEqualRunThatWasLost starts a run twice: the second command is
// answered with the first one's run, and makes its own of what that has staged when the
// first one is killed. A third one that is interrupted leaves the run alone.
func TestACommandGoesOnWithTheEqualRunThatWasLost(t *testing.T) {
	t.Parallel()
	v := newVictim(t, lab.New(t), "heir", mode("append").document(), &api{pages: 2, rows: 10}, false)
	gate := faults.NewGate()
	defer gate.Open()
	v.plan.Set(faults.Rule{Op: faults.Page, When: faults.Before, Nth: 2, Do: gate.Pause()})
	owner := v.command(v.runDays(1)...)
	v.start(owner)
	<-gate.Arrived()
	heir, said := v.command(v.runDays(1)...), &lab.Buffer{}
	heir.Stdout, heir.Stderr = said, said
	if err := heir.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-heir.Process.Pid, syscall.SIGKILL) }()
	var runs []shownRun
	v.decode(&runs, "runs")
	lab.Eventually(t, "the second command is answered with the first one's run", func() bool {
		return len(runs) == 1 && strings.Contains(said.String(), "run "+runs[0].ID) && strings.Contains(said.String(), "waiting for its end")
	})
	tired, gaveUp := v.command(v.runDays(1)...), &lab.Buffer{}
	tired.Stdout, tired.Stderr = gaveUp, gaveUp
	if err := tired.Start(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "a third command waits too", func() bool { return strings.Contains(gaveUp.String(), "waiting for its end") })
	_ = tired.Process.Signal(os.Interrupt)
	if _ = tired.Wait(); tired.ProcessState.ExitCode() != 1 || !strings.Contains(gaveUp.String(), "run "+runs[0].ID+" goes on without this command") {
		t.Errorf("interrupted, it ended with %d: %s", tired.ProcessState.ExitCode(), gaveUp)
	}
	if err := syscall.Kill(-owner.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	v.plan.Set()
	gate.Open()
	if err := heir.Wait(); err != nil {
		t.Fatalf("the second command ended with %v\n%s", err, said)
	}
	v.landed(1)
	v.buried()
	v.decode(&runs, "runs")
	if len(runs) != 2 || runs[0].State != "COMPLETED" || runs[1].Code != "LOST" {
		t.Errorf("runs: %+v", runs)
	}
}

func TestWrongUseOfTheCommandsThatOperate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	if err := os.WriteFile(w.dir+"/pipeline.yml", []byte(strings.ReplaceAll(mode("replace").document(), "$API", "https://api.example.com")), 0o600); err != nil {
		t.Fatal(err)
	}
	id := "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct {
		args, want string
	}{
		{"runs x", `"x" is no ID of a run`},
		{"runs " + id + " " + id, "one run at a time"},
		{"runs --logs", "need the ID of a run"},
		{"runs " + id + " --logs --cancel", "three things to do"},
		{"runs " + id + " --discard", "--discard belongs to --cancel"},
		{"runs --state DONE", `--state is "DONE"`},
		{"runs --limit 0", "--limit is 0"},
		{"runs --org A", `--org is "A"`},
		{"backfill", "accepts 1 arg(s), received 0"},
		{"backfill pipeline.yml", "--from and --to are both needed"},
		{"backfill pipeline.yml --from 2026-08-19", "--from and --to are both needed"},
		{"backfill pipeline.yml --from 2026-08-19 --to 2026-08-18", "--to 2026-08-18 is before --from 2026-08-19"},
		{"backfill pipeline.yml --from yesterday --to 2026-08-18", `--from is "yesterday"`},
		{"backfill pipeline.yml --from 2026-08-19 --to 2026-08-20 --parallel 0", "--parallel is 0"},
		{"backfill pipeline.yml --from 2026-08-19 --to 2026-08-20 --var date=2026-08-19", "the days of a backfill are --from and --to"},
		{"state forget", "there are show and reset"},
		{"state reset pipeline.yml", "say which days"},
		{"state show pipeline.yml --date 2026-08-19 --to 2026-08-19", "give one or the other"},
		{"dlq empty", "there are list and replay"},
		{"dlq list --limit 0", "--limit is 0"},
		{"dlq replay pipeline.yml --parallel 99", "--parallel is 99"},
	} {
		got := w.run(strings.Fields(c.args)...)
		if got.code != 2 || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("convergence %s: exit code %d, want 2 and %s in\n%s%s", c.args, got.code, c.want, got.stdout, got.stderr)
		}
	}
	if _, err := os.Stat(w.data); err == nil {
		t.Error("wrong use made the data directory")
	}
}
