//go:build long

package e2e

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

// stoppedModes are the modes in which an owner is stopped: all that work day by day.
var stoppedModes = writeModes[:5]

func TestARunKilledAtEveryPointLosesAndDoublesNothing(t *testing.T) {
	l := lab.New(t)
	for _, s := range scenes {
		for _, op := range s.ops {
			for _, when := range []faults.When{faults.Before, faults.After} {
				point := faults.Point{Op: op, When: when}
				t.Run(s.name+"."+point.String(), func(t *testing.T) {
					t.Parallel()
					v := s.victim(t, l, s.name+"_"+strings.ReplaceAll(point.String(), ".", "_"))
					v.plan.Set(faults.Rule{Op: op, When: when, Nth: 1, Do: faults.Kill(v.kill)})
					if got := v.attempt(s.command(v)...); !v.plan.Hit() {
						t.Fatalf("the point was not met; the command ended with %d\n%s", got.code, got.stderr)
					}
					v.plan.Set()
					v.completes(s.command(v)...)
					s.checked(v)
				})
			}
		}
	}
}
