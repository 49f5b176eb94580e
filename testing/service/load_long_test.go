//go:build long

package service

var crowd = load{orgs: 20, each: 5, concurrent: 4, global: 8, services: 1, impartially: 0.95}

// What is under way when a service is told to end.
const (
	drainedRuns     = 20
	drainedRequests = 200
)
