//go:build !long

package service

var crowd = load{orgs: 4, each: 6, concurrent: 5, global: 4, services: 1, impartially: 0.95}

// What is under way when a service is told to end.
const (
	drainedRuns     = 3
	drainedRequests = 40
)
