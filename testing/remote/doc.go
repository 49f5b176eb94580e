// Package remote has tests of the built binary whose jobs run on a simulated Dataflow: the
// warehouse, the provider and Dataflow outlive the service, which is killed, stopped and
// started again. It knows the product by its commands, its service and its tables.
package remote
