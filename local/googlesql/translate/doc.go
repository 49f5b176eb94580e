// Package translate turns an analysed GoogleSQL statement into DuckDB SQL with
// the same answer, and installs the macros and functions that this SQL needs.
//
// It works from the resolved tree only and never edits SQL text. It must not
// know the REST server or where tables live: a Namer gives relations their
// physical names. What it cannot express exactly it refuses by name.
package translate
