package client

import "time"

// Pipeline names an entry of the service's catalogue. Domain may be empty.
type Pipeline struct {
	Provider string
	Domain   string
	Name     string
}

// RunOptions narrow a run. The zero value asks for yesterday (UTC). Days are YYYY-MM-DD;
// Date excludes StartDate and EndDate, and EndDate is included in the run.
type RunOptions struct {
	Date         string `json:"date,omitempty"`
	StartDate    string `json:"start_date,omitempty"`
	EndDate      string `json:"end_date,omitempty"`
	TriggerBy    string `json:"trigger_by,omitempty"` // free text, recorded
	ForceRefresh *bool  `json:"force_refresh,omitempty"`
	DryRun       bool   `json:"dry_run,omitempty"` // plan it, start nothing: see Started.Plan
	// Once is an idempotency key: the same key with the same options is answered with the
	// same run for a day.
	Once string `json:"-"`
}

// Status is the state of a run or of a step.
type Status string

// The states. A run is never SKIPPED.
const (
	Pending   Status = "PENDING"
	Running   Status = "RUNNING"
	Completed Status = "COMPLETED"
	Failed    Status = "FAILED"
	Timeout   Status = "TIMEOUT"
	Cancelled Status = "CANCELLED"
	Skipped   Status = "SKIPPED"
)

// Ended reports whether nothing follows the state.
func (s Status) Ended() bool { return s != "" && s != Pending && s != Running }

// Started is the answer to Client.Run. Status is RUNNING if an equal run is active, whose
// id ID then is, and PENDING otherwise.
type Started struct {
	ID         string `json:"pipeline_logging_id"`
	PipelineID string `json:"pipeline_id"` // {org}-{provider}-{domain}-{name}
	Org        string `json:"org_slug"`
	Status     Status `json:"status"`
	Message    string `json:"message"`
	RetryOf    string `json:"retry_of"`
	Plan       *Plan  `json:"plan"` // of a dry run
}

// Run is a run as the service knows it. End and DurationMS are nil until it has ended;
// Code and Error are set if it failed; Steps and Parameters are empty in lists.
type Run struct {
	ID         string            `json:"pipeline_logging_id"`
	PipelineID string            `json:"pipeline_id"`
	Org        string            `json:"org_slug"`
	Status     Status            `json:"status"`
	Trigger    string            `json:"trigger_type"`
	TriggerBy  string            `json:"trigger_by"`
	Start      time.Time         `json:"start_time"`
	End        *time.Time        `json:"end_time"`
	DurationMS *int64            `json:"duration_ms"`
	RunDate    string            `json:"run_date"` // first day
	RunDateEnd string            `json:"run_date_end"`
	Attempt    int               `json:"attempt"`
	WaitingFor string            `json:"waiting_for"`
	LandedBy   string            `json:"landed_by"`
	RetryOf    string            `json:"retry_of"`
	RetryAt    *time.Time        `json:"retry_at"`
	Cancelling bool              `json:"cancelling"`
	Code       string            `json:"error_code"`
	Error      string            `json:"error_message"`
	Parameters map[string]string `json:"parameters"`
	Steps      []Step            `json:"steps"`
}

// Step is a step of a run. Rows counts rows that reached the sink, rejected ones
// included; Start, End and DurationMS are nil until they are known.
type Step struct {
	Step       string     `json:"step"`
	Type       string     `json:"type"`
	Index      int        `json:"index"`
	Status     Status     `json:"status"`
	Table      string     `json:"table"`
	Rows       int64      `json:"rows"`
	Published  int64      `json:"rows_published"`
	Rejected   int64      `json:"rows_rejected"`
	Unpriced   int64      `json:"rows_unpriced"`
	Pages      int64      `json:"pages_fetched"`
	Adopted    int64      `json:"pages_adopted"`
	Refetched  int64      `json:"pages_refetched"`
	Billed     int64      `json:"bytes_billed"`
	Requests   int64      `json:"requests"`
	Retries    int64      `json:"retries"`
	Start      *time.Time `json:"start_time"`
	End        *time.Time `json:"end_time"`
	DurationMS *int64     `json:"duration_ms"`
	JobIDs     []string   `json:"job_ids"`
	Code       string     `json:"error_code"`
	Error      string     `json:"error_message"`
	Warnings   []string   `json:"warnings"`
}

// Filter narrows a list. The zero value is the service's default page of all runs.
type Filter struct {
	PipelineID string // exact tracking id
	Status     Status
	Limit      int    // 1 to 100; 0 is the service's default
	Cursor     string // of the page before
}

// Health is how the service is: Status is healthy, alive or ready, or what keeps it from
// being so.
type Health struct {
	Status      string          `json:"status"`
	Service     string          `json:"service"`
	Version     string          `json:"version"`
	Environment string          `json:"environment"`
	Message     string          `json:"message"`
	Reason      string          `json:"reason"`
	Checks      map[string]bool `json:"checks"`
}
