// Package sink is the BigQuery end of a step: rows are staged in chunks while they are
// still being fetched, each chunk together with its position in the source, and are
// then published in one atomic step per unit. Every write goes through
// cloud.google.com/go/bigquery against whatever endpoint the client was made for.
//
// A killed job, a lost answer or a second attempt can neither lose nor double a row:
// job ids are hashes of what they carry, so that a repeated submit attaches to the job
// that already has the id, and a publish names exactly one complete chain of chunks per
// partition, so that whatever else lies in staging stays unread.
//
// The package knows rows, Beam and BigQuery. It must not know the pipeline language,
// who runs the job, or which kind of BigQuery answers. It holds no secret: clients come
// from the Warehouse that the mains set.
package sink
