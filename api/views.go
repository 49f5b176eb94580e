package api

import (
	"time"

	"github.com/cloudact/convergence/launcher"
)

type runView struct {
	ID         string     `json:"pipeline_logging_id"`
	PipelineID string     `json:"pipeline_id"`
	Org        string     `json:"org_slug"`
	Status     string     `json:"status"`
	Trigger    string     `json:"trigger_type"`
	TriggerBy  string     `json:"trigger_by"`
	Start      time.Time  `json:"start_time"`
	End        *time.Time `json:"end_time"`
	DurationMS *int64     `json:"duration_ms"`
	RunDate    string     `json:"run_date,omitempty"`
	Code       string     `json:"error_code,omitempty"`
	Error      string     `json:"error_message,omitempty"`
}

type stepView struct {
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

func viewOf(r launcher.Run) runView {
	v := runView{
		ID: r.ID, PipelineID: r.PipelineID, Org: r.Org, Status: string(r.State), Trigger: r.Trigger, TriggerBy: r.TriggerBy,
		Start: r.Start, Code: r.Code, Error: r.Error,
	}
	if r.RunDate.IsValid() {
		v.RunDate = r.RunDate.String()
	}
	v.End, v.DurationMS = span(r.Start, r.End)
	return v
}

func stepOf(s launcher.StepRun) stepView {
	v := stepView{
		Step: s.Step, Type: s.Type, Index: s.Index, Status: string(s.State), Table: s.Table, Rows: s.Counts.Rows, Published: s.Published,
		Rejected: s.Counts.Rejected, Unpriced: s.Unpriced, Pages: s.Counts.Pages, Requests: s.Counts.Requests, Retries: s.Counts.Retries,
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
