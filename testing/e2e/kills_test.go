//go:build !long

package e2e

// A short extraction is killed twice per mode.
const (
	killsPerMode = 2
	killPages    = 24
	killRows     = 500
	killAgain    = 28
)

const (
	backfillDays  = 8
	backfillKills = 1
)
