// Package lab is what tests of the built binary share: the binary, an embedded warehouse
// that outlives the programs that are killed, a service as a process, and the search for a
// secret that must be nowhere. It knows the product as its users do, by its commands, its
// files and its tables, and imports nothing that the binary is made of.
package lab
