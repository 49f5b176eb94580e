package run

import (
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/transforms/sink"
)

// StepResult words the outcome of a step as a run folder holds it.
func StepResult(r sink.StepResult) runfolder.StepResult {
	s := runfolder.StepResult{
		Step: r.Step, Type: r.Type, Index: r.Index, State: r.State, Table: r.Table, Published: r.Published, Unpriced: r.Unpriced,
		JobIDs: r.JobIDs, Code: r.Code, Error: r.Error, Warnings: r.Warnings, Start: r.Start, End: r.End,
		Counts: runfolder.StepCounts{Rows: r.Counts.Rows, Rejected: r.Counts.Rejected, Billed: r.Counts.Billed},
	}
	if fetches(r.Type) { // other steps get their pages from a step that fetched them
		s.Counts.Pages, s.Counts.Requests = r.Counts.Pages, r.Counts.Requests
		s.Counts.Adopted, s.Counts.Refetched = r.Counts.Adopted, r.Counts.Again
	}
	return s
}
