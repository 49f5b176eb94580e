// Package faults makes the outside of a program fail at named points. It stands as a
// reverse proxy between a program and the BigQuery (or the provider) that it talks to,
// names every call by what the call is for, and does at a point what a Plan says: fail
// before or after the call took effect, cut the connection, be slow, pause until told, or
// run a hook such as a SIGKILL. The program under test has no branch for any of it.
//
// It knows the wire (paths, job ids, statements) and nothing of the code behind it.
package faults
