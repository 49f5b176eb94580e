//go:build !long

package e2e

import "github.com/cloudact/convergence/testing/lab"

// A short extraction is killed twice per mode. A chunk is 3000 rows and one more for each
// 300 that are staged: at most twenty-one pages.
const (
	killsPerMode = 2
	killPages    = 110
	killRows     = 150
	killDays     = 1
	killAgain    = 4 * 21
)

// runPatience bounds how long a run may take.
const runPatience = lab.Patience

const (
	backfillDays  = 8
	backfillKills = 1
)
