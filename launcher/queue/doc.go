// Package queue decides which runs may be and when they start: schedules and their slots,
// admission against an organisation's status, subscription and quota, fair picking with
// priorities, retries, and what the tables of the scheduler show of it.
//
// Admission is a log per organisation in the register. Who acquires its next name has
// seen all before it, so two processes never grant the same slot; counts are folds over
// the log. Runs themselves are events of package launcher; this package starts them
// through a small interface and must know neither Beam, nor HTTP, nor the pipeline
// language, nor SQL.
package queue
