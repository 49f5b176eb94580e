//go:build long

package e2e

import "time"

// 200,000 records of about 300 bytes, killed thirty times per mode. A chunk is 3000 rows
// and one more for each 300 that are staged: at most four pages.
const (
	killsPerMode = 30
	killPages    = 200
	killRows     = 1000
	killDays     = 2
	killAgain    = 4 * 4
)

// runPatience bounds how long a run may take.
const runPatience = 10 * time.Minute

const (
	backfillDays  = 60
	backfillKills = 6
)
