package service

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binaryVariable names a binary that has been built already; without it one is built.
const binaryVariable = "E2E_BINARY"

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "convergence-service-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binary, err = build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		return 1
	}
	return m.Run()
}

// build compiles the binary with the flags of `make build`, so that nothing but the link
// is done twice.
func build(dir string) (string, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "", err
	}
	if err := readSources(root); err != nil {
		return "", err
	}
	if path := os.Getenv(binaryVariable); path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		_, err := os.Stat(path)
		return path, err
	}
	path := filepath.Join(dir, "convergence")
	command := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "./cmd/convergence")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return path, nil
}

// readSources looks at every source file, so that the test cache does not take a result
// for valid when only the binary has changed.
func readSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".sql", ".yml", ".json", ".mod":
			_, err = os.Stat(path)
		}
		return err
	})
}
