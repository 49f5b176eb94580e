//go:build long

package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRow53TwoVersionsShareAWarehouse is row 53 of the fault matrix: while a deployment is
// replaced, the version before works beside this one. Nothing is lost or doubled, and no
// limit is exceeded.
func TestRow53TwoVersionsShareAWarehouse(t *testing.T) {
	load{orgs: 5, each: 6, concurrent: 5, global: 4, services: 2, others: buildBefore(t)}.test(t)
}

// buildBefore builds the version before the last change of what services share: their
// events, their register, their tables.
func buildBefore(t *testing.T) string {
	t.Helper()
	root := git(t, ".", "rev-parse", "--show-toplevel")
	last := git(t, root, "log", "-1", "--format=%H", "--", "launcher")
	if parent := git(t, root, "log", "-1", "--format=%P", last); parent == "" {
		t.Fatalf("%s has no version before it: the history of the repository is not all here", last)
	}
	dir := t.TempDir()
	for _, args := range [][]string{
		{"git", "-C", root, "archive", "--output", filepath.Join(dir, "before.tar"), last + "^1"},
		{"tar", "-xf", filepath.Join(dir, "before.tar"), "-C", dir},
		{"go", "build", "-C", dir, "-ldflags", "-s -w", "-o", filepath.Join(dir, "convergence"), "./cmd/convergence"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	return filepath.Join(dir, "convergence")
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}
