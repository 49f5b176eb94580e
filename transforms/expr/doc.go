// Package expr compiles CEL expressions over the columns of a row, or over the variables
// of a run, and evaluates them.
//
// Beside the types of CEL there are numeric, date and json. A numeric is exact: its
// arithmetic is that of BigQuery's NUMERIC, rounded to nine decimal places half away from
// zero. Integers mix with it, doubles never do, so that no money passes through a binary
// fraction: that is a type error, found before anything runs. A nullable column is an
// optional of its type. There are no loops: the time that an expression takes is bounded
// by its length.
//
// The package must not know the pipeline language, steps or Beam.
package expr
