//go:build long

package remote

import "github.com/cloudact/convergence/testing/faults"

// killedAt are the operations of workers, at which they are killed.
var killedAt = []string{
	faults.Page, faults.StageCreate, faults.Load, faults.DeadLetters, faults.TableCreate, faults.Publish,
}
