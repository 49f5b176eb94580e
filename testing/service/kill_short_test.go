//go:build !long

package service

import "github.com/cloudact/convergence/testing/faults"

// killPoints are those of each phase of a run at which most was lost so far.
var killPoints = []faults.Point{
	{Op: admit, When: faults.After},
	{Op: submit, When: faults.After},
	{Op: claim, When: faults.After},
	{Op: running, When: faults.Before},
	{Op: end, When: faults.Before},
	{Op: giveBack, When: faults.Before},
}
