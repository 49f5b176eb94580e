package service

import (
	"os"
	"testing"

	"github.com/cloudact/convergence/testing/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
