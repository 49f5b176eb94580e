package dataflowsim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// binaryVariable names a binary that has been built already.
const binaryVariable = "E2E_JOB_BINARY"

// BuildLauncher builds the binary of the Flex Template into a folder, as it is shipped,
// unless E2E_JOB_BINARY names one, and returns its path.
func BuildLauncher(dir string) (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return path, nil
	}
	path := filepath.Join(dir, "convergence-job")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "github.com/cloudact/convergence/cmd/convergence-job")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build convergence-job: %w\n%s", err, out)
	}
	return path, nil
}
