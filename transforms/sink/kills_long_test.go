//go:build long

package sink_test

// killsPerMode is how often each write mode is killed and run again.
const killsPerMode = 30
