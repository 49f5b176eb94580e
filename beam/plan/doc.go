// Package plan turns a resolved document into a Plan: steps with their order, inputs,
// slices and destinations, the tables that they read and write, and every reference
// error. A Plan is plain data.
//
// The package must not know Beam, the registry of processors or who runs a plan; it
// sees processors and the SQL check through the interfaces of package configs.
package plan
