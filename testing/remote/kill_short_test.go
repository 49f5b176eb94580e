//go:build !long

package remote

import "github.com/cloudact/convergence/testing/faults"

// killedAt are the operations at which workers are killed.
var killedAt = []string{faults.Load, faults.Publish}
