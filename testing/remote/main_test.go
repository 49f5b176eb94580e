package remote

import (
	"os"
	"sync"
	"testing"

	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// jobBinary is the binary of the Flex Template, built once unless E2E_JOB_BINARY names one.
var jobBinary = sync.OnceValues(func() (string, error) {
	return dataflowsim.BuildLauncher(lab.Shared, os.Getenv("E2E_JOB_BINARY"))
})
