package e2e

import (
	"testing"

	"github.com/cloudact/convergence/testing/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
