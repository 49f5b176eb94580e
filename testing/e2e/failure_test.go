package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/providers/openai"
)

const usagePath = "/v1/organization/usage/"

// failing makes every usage request fail; Retry-After spares the test the waiting.
func (w *world) failing(status int) {
	now := "0"
	w.simulator.Fail(openai.Rule{PathPrefix: usagePath, Times: -1, Status: status, RetryAfter: &now})
}

func TestAFailingProviderFailsTheRunAndLeavesTheTables(t *testing.T) {
	t.Parallel()
	acme := orgs("acme")
	w := newWorld(t, acme...)
	w.triesOnce(acme...)
	w.setCredentials(acme...)
	s := w.serve("acme")
	first := s.completed("acme", s.start("acme").ID)
	before := contents(w, "acme")

	w.failing(500)
	run := s.wait("acme", s.startAfter("acme", first.ID).ID)
	if run.Status != client.Failed || run.Code != "STEP_FAILED" || !strings.Contains(run.Error, "step extract_usage failed: ") || !strings.Contains(run.Error, "answered 500") {
		t.Errorf("run ended %s %s: %s", run.Status, run.Code, run.Error)
	}
	if len(run.Steps) != 2 {
		t.Fatalf("steps are %+v", run.Steps)
	}
	if s := run.Steps[0]; s.Status != client.Failed || s.Code != "HTTP_STATUS" || s.Retries == 0 || s.Published != 0 {
		t.Errorf("extract_usage: %+v", s)
	}
	if s := run.Steps[1]; s.Status != client.Skipped || s.Error == "" || s.Published != 0 {
		t.Errorf("transform_cost: %+v", s)
	}
	if diff := cmp.Diff(before, contents(w, "acme")); diff != "" {
		t.Errorf("the failed run changed rows: %s", diff)
	}
	w.projected(run)
	recorded := w.rows("acme", fmt.Sprintf(`SELECT r.status, r.error_message, COUNT(*) AS steps, COUNTIF(s.status = 'COMPLETED') AS completed
		FROM organizations.org_meta_pipeline_runs AS r JOIN organizations.org_meta_step_logs AS s ON s.pipeline_logging_id = r.pipeline_logging_id
		WHERE r.pipeline_logging_id = '%s' GROUP BY 1, 2`, run.ID))
	want := []map[string]string{{"status": "FAILED", "error_message": run.Error, "steps": "2", "completed": "0"}}
	if diff := cmp.Diff(want, recorded); diff != "" {
		t.Errorf("records: %s", diff)
	}

	direct := w.run("run", usageCost, "--org", "acme", "--date", "2026-08-19")
	if direct.code != 1 || !strings.Contains(direct.stderr, "STEP_FAILED: step extract_usage failed: ") || !strings.Contains(direct.stdout, "failed in ") {
		t.Errorf("run ended with %d\n%s%s", direct.code, direct.stdout, direct.stderr)
	}
	w.simulator.ClearFaults()
	s.completed("acme", s.startAfter("acme", first.ID, run.ID).ID)
	if diff := cmp.Diff(before, contents(w, "acme")); diff != "" {
		t.Errorf("the run after the failure changed rows: %s", diff)
	}
}

func TestAMissingCredentialIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	got := w.run("run", usageCost, "--org", "acme", "--date", "2026-08-19")
	message := "the credential of organisation acme for provider OPENAI cannot be opened: set up or validate its integration"
	if got.code != 1 || !strings.Contains(got.stderr, message) || !strings.Contains(got.stdout, "extract_usage: CREDENTIAL: "+message) {
		t.Errorf("run ended with %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if n := len(w.simulator.Requests()); n != 0 {
		t.Errorf("the provider was asked %d times without a credential", n)
	}
	for _, table := range []string{"openai_usage_daily_raw", "openai_cost_daily"} {
		if left := w.rows("acme", "SELECT table_name FROM INFORMATION_SCHEMA.TABLES WHERE table_name = '"+table+"'"); len(left) != 0 {
			if n := w.rows("acme", "SELECT COUNT(*) AS n FROM "+table)[0]["n"]; n != "0" {
				t.Errorf("%s has %s rows", table, n)
			}
		}
	}
}

// background starts a command and returns what it will have written, and its end.
func (w *world) background(args ...string) (*exec.Cmd, *lab.Buffer, chan error) {
	w.t.Helper()
	cmd := w.command(context.Background(), invocation{args: args})
	out := &lab.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out, ended
}

var runLine = regexp.MustCompile(`(?m)^run ([0-9a-f-]{36}) of acme-openai-cost-usage_cost$`)

func TestCtrlCStopsARunThatTheSameCommandCompletes(t *testing.T) {
	t.Parallel()
	acme := orgs("acme")
	w := newWorld(t, acme...)
	w.setCredentials(acme...)
	w.provider.Hold(0)
	args := []string{"run", usageCost, "--org", "acme", "--from", "2026-08-19", "--to", "2026-08-20"}
	cmd, out, ended := w.background(args...)
	w.provider.Held(t)
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(lab.Patience):
		t.Fatal("Ctrl-C did not end the run")
	}
	t.Logf("stopped within %s", time.Since(begun).Round(time.Millisecond))
	id := runLine.FindStringSubmatch(out.String())
	if id == nil {
		t.Fatalf("the run has no id in\n%s", out)
	}
	if !strings.Contains(out.String(), "convergence: run "+id[1]+" was stopped; the same command starts it again\n") {
		t.Errorf("it does not say how to resume:\n%s", out)
	}
	recorded := w.rows("acme", "SELECT status, end_time IS NULL AS open FROM organizations.org_meta_pipeline_runs WHERE pipeline_logging_id = '"+id[1]+"'")
	if diff := cmp.Diff([]map[string]string{{"status": "CANCELLED", "open": "false"}}, recorded); diff != "" {
		t.Errorf("org_meta_pipeline_runs: %s", diff)
	}

	w.provider.Release()
	if text := w.ok(args...); !strings.Contains(text, "completed in ") {
		t.Errorf("the same command printed\n%s", text)
	}
	checkBill(t, w, "acme")
	states := w.rows("acme", "SELECT status, COUNT(*) AS n FROM organizations.org_meta_pipeline_runs GROUP BY 1 ORDER BY 1")
	if diff := cmp.Diff([]map[string]string{{"status": "CANCELLED", "n": "1"}, {"status": "COMPLETED", "n": "1"}}, states); diff != "" {
		t.Errorf("runs: %s", diff)
	}
}

func TestAStoppedServiceLeavesItsRunsForTheNext(t *testing.T) {
	t.Parallel()
	acme := orgs("acme")
	w := newWorld(t, acme...)
	w.setCredentials(acme...)
	s := w.serve("acme")
	w.provider.Hold(1)
	started := s.start("acme")
	w.provider.Held(t)
	s.running("acme", started.ID, "extract_usage")
	job := s.jobOf(started.ID)
	s.Stop()
	if code := s.Code; code != 0 {
		t.Errorf("the service ended with %d", code)
	}
	if line := procFile(job, "cmdline"); strings.Contains(line, started.ID) {
		t.Errorf("the job outlived its service: %q", line)
	}
	var left shownRun
	if err := json.Unmarshal([]byte(w.ok("runs", started.ID, "--org", "acme", "--output", "json")), &left); err != nil {
		t.Fatal(err)
	}
	if left.State != "PENDING" || left.Code != "INTERRUPTED" {
		t.Errorf("with no service the run is %+v", left)
	}
	w.provider.Release()

	again := w.serve("acme")
	if run := again.completed("acme", started.ID); run.Attempt != 1 || run.Code != "" {
		t.Errorf("the next service ended the run as %+v", run)
	}
	checkBill(t, w, "acme")
}

func TestAKilledJobIsLostNeverSuccessful(t *testing.T) {
	t.Parallel()
	acme := orgs("acme")
	w := newWorld(t, acme...)
	w.triesOnce(acme...)
	w.setCredentials(acme...)
	s := w.serve("acme")
	w.provider.Hold(1)
	started := s.start("acme")
	w.provider.Held(t)
	s.running("acme", started.ID, "extract_usage")
	if err := syscall.Kill(s.jobOf(started.ID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	run := s.wait("acme", started.ID)
	if run.Status != client.Failed || run.Code != "LOST" || run.Error == "" || run.End == nil {
		t.Errorf("the run is %+v", run)
	}
	checkEnded(t, run)
	w.provider.Release()
	s.completed("acme", s.startAfter("acme", run.ID).ID)
	checkBill(t, w, "acme")
}

// checkEnded wants no step of a broken run to be complete or under way.
func checkEnded(t *testing.T, run client.Run) {
	t.Helper()
	if len(run.Steps) == 0 {
		t.Errorf("run %s has no steps", run.ID)
	}
	for _, step := range run.Steps {
		if step.Status == client.Completed || !step.Status.Ended() {
			t.Errorf("step %s of a run that ended %s is %s", step.Step, run.Status, step.Status)
		}
	}
}

func TestAnEqualRunIsNotStartedTwice(t *testing.T) {
	t.Parallel()
	acme := orgs("acme")
	w := newWorld(t, acme...)
	w.setCredentials(acme...)
	s := w.serve("acme")
	w.provider.Hold(0)
	type answer struct {
		started client.Started
		err     error
	}
	const posts = 8
	answers := make(chan answer, posts)
	for range posts {
		go func() {
			started, err := s.as("acme").Run(context.Background(), "acme", shipped, bothDays)
			answers <- answer{started, err}
		}()
	}
	ids, pending := map[string]bool{}, 0
	for range posts {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		ids[a.started.ID] = true
		switch a.started.Status {
		case client.Pending:
			pending++
		case client.Running:
			if !strings.Contains(a.started.Message, "already active") {
				t.Errorf("answered %+v", a.started)
			}
		default:
			t.Errorf("answered %+v", a.started)
		}
	}
	if len(ids) != 1 || pending != 1 {
		t.Errorf("%d equal posts: runs %v, %d of them new", posts, ids, pending)
	}
	w.provider.Held(t)
	other, err := s.as("acme").Run(context.Background(), "acme", shipped, client.RunOptions{Date: "2026-08-19"})
	if err != nil || ids[other.ID] {
		t.Errorf("a run of another interval is %s, %v", other.ID, err)
	}
	w.provider.Release()
	for id := range ids {
		s.completed("acme", id)
	}
	s.completed("acme", other.ID)
	s.completed("acme", s.startAfter("acme", slices.Collect(maps.Keys(ids))...).ID)
	checkBill(t, w, "acme")
}
