// Package dataflowsim is a Google Cloud Dataflow for tests: the REST methods of v1b3 that
// a Flex Template needs, over a Cloud Storage of its own. A launch runs the real launcher
// binary with the flags of a real launcher; its graph is then executed by worker
// processes of the binary that it staged, on Beam's prism.
//
// Between prism and the workers stands a bridge that does what Dataflow does and prism
// does not: a bundle's output counts only once the bundle has succeeded, a failed or lost
// bundle is tried again, and a bundle can be executed by two workers at once.
//
// It knows nothing of launchers and pipelines: what it is asked to run is a container
// spec, a binary and a serialised graph.
package dataflowsim
