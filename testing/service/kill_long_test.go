//go:build long

package service

import "github.com/cloudact/convergence/testing/faults"

// lifePoints are the calls that a service makes on its warehouse in the life of a run, in
// the order in which it makes them.
var lifePoints = []string{
	keep, admit, equal, submit, occupy, claim, claimed, open, opened, running, stepped, end, giveBack, tell, faults.Project, settled, unclaimed, faults.StageDrop,
}

var killPoints = func() []faults.Point {
	var all []faults.Point
	for _, op := range lifePoints {
		all = append(all, faults.Point{Op: op, When: faults.Before}, faults.Point{Op: op, When: faults.After})
	}
	return all
}()
