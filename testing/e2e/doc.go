// Package e2e tests the product as its users meet it: the built binary with its embedded
// cloud, a data directory of its own each time, a simulated provider over HTTP, and the
// service through api/client. It must not import what the binary is made of.
package e2e
