package sink_test

import (
	"syscall"
	"testing"
)

// peakRSS is the highest resident memory of this process, in bytes.
func peakRSS(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Maxrss
}
