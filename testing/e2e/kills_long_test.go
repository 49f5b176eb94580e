//go:build long

package e2e

// 200,000 records of about 300 bytes, killed thirty times per mode.
const (
	killsPerMode = 30
	killPages    = 200
	killRows     = 1000
	killAgain    = 16
)

const (
	backfillDays  = 60
	backfillKills = 6
)
