//go:build !long

package e2e

// stoppedModes are the modes in which an owner is stopped.
var stoppedModes = []writeMode{mode("append"), mode("merge")}
