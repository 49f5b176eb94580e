// Package process holds the row-wise processors: each turns pages of typed rows into
// pages of other rows, one ParDo, no state and no network. A processor is one file that
// registers itself, and testdata/<name>.yaml, whose examples are its tests and docs.
//
// The package knows rows, the registry and price rules. It must not know where prices
// are stored, what a sink does, or where in a plan a step stands: pages keep the
// position that they came with.
package process
