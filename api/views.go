package api

import (
	"time"

	"github.com/cloudact/convergence/launcher"
)

// RunView is a run as the API shows it. It is exported because huma reads only embedded
// fields that are.
type RunView struct {
	ID         string     `json:"pipeline_logging_id"`
	PipelineID string     `json:"pipeline_id"`
	Org        string     `json:"org_slug"`
	Status     string     `json:"status"`
	Trigger    string     `json:"trigger_type"`
	TriggerBy  string     `json:"trigger_by"`
	Start      time.Time  `json:"start_time"`
	End        *time.Time `json:"end_time"`
	DurationMS *int64     `json:"duration_ms"`
	RunDate    string     `json:"run_date,omitempty" doc:"first day"`
	RunDateEnd string     `json:"run_date_end,omitempty" doc:"last day, inclusive"`
	Attempt    int        `json:"attempt"`
	WaitingFor string     `json:"waiting_for,omitempty" doc:"run that works on the same days"`
	LandedBy   string     `json:"landed_by,omitempty" doc:"run whose outcome this one has taken"`
	RetryOf    string     `json:"retry_of,omitempty"`
	RetryAt    *time.Time `json:"retry_at,omitempty" doc:"when the next attempt is due"`
	Cancelling bool       `json:"cancelling,omitempty" doc:"it was asked to end"`
	Code       string     `json:"error_code,omitempty"`
	Error      string     `json:"error_message,omitempty"`
}

// StepView is a step of a run.
type StepView struct {
	Step       string     `json:"step"`
	Type       string     `json:"type"`
	Index      int        `json:"index"`
	Status     string     `json:"status"`
	Table      string     `json:"table,omitempty"`
	Rows       int64      `json:"rows" doc:"rows that reached the sink, rejected ones included"`
	Published  int64      `json:"rows_published"`
	Rejected   int64      `json:"rows_rejected"`
	Unpriced   int64      `json:"rows_unpriced"`
	Pages      int64      `json:"pages_fetched"`
	Adopted    int64      `json:"pages_adopted" doc:"staged by an earlier attempt and taken over"`
	Refetched  int64      `json:"pages_refetched" doc:"staged before and fetched again nevertheless"`
	Billed     int64      `json:"bytes_billed"`
	Requests   int64      `json:"requests"`
	Retries    int64      `json:"retries"`
	Start      *time.Time `json:"start_time"`
	End        *time.Time `json:"end_time"`
	DurationMS *int64     `json:"duration_ms"`
	JobIDs     []string   `json:"job_ids,omitempty"`
	Code       string     `json:"error_code,omitempty"`
	Error      string     `json:"error_message,omitempty"`
	Warnings   []string   `json:"warnings,omitempty"`
}

func viewOf(r launcher.Run) RunView {
	v := RunView{
		ID: r.ID, PipelineID: r.PipelineID, Org: r.Org, Status: string(r.State), Trigger: r.Trigger, TriggerBy: r.TriggerBy,
		Start: r.Start, Code: r.Code, Error: r.Error, Attempt: r.Attempt, WaitingFor: r.WaitingFor, LandedBy: r.LandedBy,
		RetryOf: r.RetryOf, Cancelling: r.Cancelling,
	}
	if !r.RetryAt.IsZero() {
		v.RetryAt = &r.RetryAt
	}
	if r.RunEnd.IsValid() {
		v.RunDateEnd = r.RunEnd.String()
	}
	if r.RunDate.IsValid() {
		v.RunDate = r.RunDate.String()
	}
	v.End, v.DurationMS = span(r.Start, r.End)
	return v
}

func stepOf(s launcher.StepRun) StepView {
	v := StepView{
		Step: s.Step, Type: s.Type, Index: s.Index, Status: string(s.State), Table: s.Table, Rows: s.Counts.Rows, Published: s.Published,
		Rejected: s.Counts.Rejected, Unpriced: s.Unpriced, Pages: s.Counts.Pages, Adopted: s.Counts.Adopted, Refetched: s.Counts.Refetched, Billed: s.Counts.Billed, Requests: s.Counts.Requests, Retries: s.Counts.Retries,
		JobIDs: s.JobIDs, Code: s.Code, Error: s.Error, Warnings: s.Warnings,
	}
	if !s.Start.IsZero() {
		v.Start = &s.Start
	}
	v.End, v.DurationMS = span(s.Start, s.End)
	return v
}

// span returns the end and the milliseconds to it, nil while there is no end.
func span(start, end time.Time) (*time.Time, *int64) {
	if end.IsZero() {
		return nil, nil
	}
	if start.IsZero() {
		return &end, nil
	}
	ms := end.Sub(start).Milliseconds()
	return &end, &ms
}

func stepsOf(r launcher.Run) []StepView {
	out := make([]StepView, len(r.Steps))
	for i, step := range r.Steps {
		out[i] = stepOf(step)
	}
	return out
}
