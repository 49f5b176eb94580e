package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const laptop = "http://127.0.0.1:8001"

// readme returns the block of commands of the README that speaks to the service.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "```") {
		if strings.Contains(block, "API="+laptop) {
			return block
		}
	}
	t.Fatal("the README has no commands for the service")
	return ""
}

// TestTheCommandsOfTheReadmeWork runs them as they stand, but for the port, against the
// service and the simulator.
func TestTheCommandsOfTheReadmeWork(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("the commands need %s", tool)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := os.Getenv("E2E_BINARY")
	if bin == "" {
		bin = filepath.Join(t.TempDir(), "convergence")
		build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", bin, "./cmd/convergence")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	dir := t.TempDir()
	d := &demo{bin: bin, dir: filepath.Join(dir, ".convergence"), days: nil}
	d.days = append(d.days, day)
	if err := d.provider(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	if err := d.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	script := "set -eo pipefail\ncurl() { command curl --silent --show-error --fail-with-body \"$@\" && echo; }\n" + strings.Replace(readme(t), laptop, d.service.url, 1)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "OPENAI_ADMIN_KEY="+organisations[0].AdminKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"validation_status":"VALID"`, `"state":"COMPLETED"`, `"schedule_cron":"0 3 * * *"`, `"triggered_count":0`, `"input_price_per_1k"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no answer holds %s:\n%s", want, out)
		}
	}
}
