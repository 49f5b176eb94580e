//go:build !long

package service

var crowd = load{orgs: 5, each: 4, concurrent: 3, global: 4, services: 1, impartially: 0.95}

// What is under way when a service is told to end.
const (
	drainedRuns     = 3
	drainedRequests = 40
)
