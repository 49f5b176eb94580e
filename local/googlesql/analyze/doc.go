// Package analyze turns GoogleSQL text into a checked, typed statement: it
// splits scripts, resolves names against a caller's catalog, and reports
// errors in the words and positions BigQuery uses.
//
// It is a leaf. It must not know DuckDB, the REST server or how tables are
// stored: it only sees column names and GoogleSQL type text through Catalog.
package analyze
