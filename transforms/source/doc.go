// Package source turns provider APIs into pages of typed rows on a Beam edge: request,
// credential, pagination, rate limit, retry and the guards against hostile answers are
// one engine, and each processor is a small file that describes its requests and rows.
//
// A source step is three transforms: Create (the partitions of all units, as text),
// Fetch (requests pages and keeps their bytes) and Decode (bytes to rows against the
// step's schema). What goes wrong at a provider travels as row.Failure in a page, so
// that one failed step does not stop the job.
//
// The package must not know the pipeline language, tables, prices, or where secrets and
// origins come from: the main program sets those through Use functions before a job
// starts, on every worker.
package source
