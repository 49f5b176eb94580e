package dataflowsim

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// BuildLauncher builds the binary of the Flex Template into a folder, as it is shipped,
// and returns its path. It returns ready, the path of one that is built, unless that is "".
func BuildLauncher(dir, ready string) (string, error) {
	if ready != "" {
		return ready, nil
	}
	path := filepath.Join(dir, "convergence-job")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "github.com/cloudact/convergence/cmd/convergence-job")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build convergence-job: %w\n%s", err, out)
	}
	return path, nil
}
