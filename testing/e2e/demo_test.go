package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudact/convergence/testing/lab"
)

func TestTheDemoShowsItsReportAndReconcilesEveryCent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	demo := filepath.Join(t.TempDir(), "demo")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", demo, "./testing/demo")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(ctx, demo, "-bin", lab.Binary, "-days", "1").CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	for _, want := range []string{
		`^Provider simulator: 2\d{4} real requests of 2 organisations, 2026-08-19 to 2026-08-19`,
		`\n== acme ==\n`, `\n== globex ==\n`, `\nCost per model\n`,
		`\n  acme +7 of +7 day-model totals equal within leaves x 0\.5e-9; (every one exact|largest difference \S+ USD); `,
		`\n  globex +fetched again, published anew as generation 2: \d+ rows in 2 tables, every row and cent equal\n`,
		`\nAll of it took `,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("the demo does not show %s:\n%s", want, out)
		}
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "{") {
			t.Errorf("a log line stands between the demo's: %s", line)
		}
	}
}
