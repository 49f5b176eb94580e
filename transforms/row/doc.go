// Package row is the element that flows between steps: a dynamic typed Row, the
// Page of rows that travels on a Beam edge with its position in the source, the
// Schema that names and types the cells, and the canonical keys derived from them.
//
// A Row carries cells only, never a schema pointer: its coder writes arity and type
// tags and decodes alone, so that a worker needs no side channel. Money is exact: a
// NUMERIC cell holds canonical decimal text and no operation of this package goes
// through float64. The package is a leaf: it knows neither processors nor sinks.
package row
