// Package configs is the pipeline language and the shipped set of documents written in
// it. A document passes through Parse, Normalise, Resolve and Validate; package
// beam/plan then makes a plan of it. Each of the five does one thing: Parse knows YAML
// and positions, Normalise knows spellings, Resolve knows variables, Validate knows
// types and keys. All of them report every problem that they find, with file, line and
// column.
//
// The package must not know Beam, the warehouse client or any processor: processors and
// the SQL check reach it as small interfaces.
package configs
