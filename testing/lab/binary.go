package lab

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// binaryVariable names a binary that has been built already; without it one is built.
const binaryVariable = "E2E_BINARY"

// Binary is the program under test, from when Main has begun.
var Binary string

// Shared is a folder for what else the tests of a package build once; it goes with them.
var Shared string

// Main is what the TestMain of a package two folders below the root runs whose tests run
// the binary; it returns the exit code. They wait for processes more than they compute, so
// more of them run at the same time than there are cores, unless -parallel says how many.
func Main(m *testing.M) int {
	flag.Parse()
	if chosen := flag.Lookup("test.parallel"); chosen.Value.String() == chosen.DefValue {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, "set how many tests run at the same time:", err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "convergence-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the binary:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	Shared = dir
	if Binary, err = build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
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
		return "", fmt.Errorf("read the sources of the binary: %w", err)
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
