package client

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

const schedulerPath = base + "/scheduler"

// QueuedRun is a run that waits or works.
type QueuedRun struct {
	RunID      string     `json:"run_id"`
	Org        string     `json:"org_slug"`
	PipelineID string     `json:"pipeline_id"`
	State      string     `json:"state"` // QUEUED, WAITING, RETRY_WAIT, PROCESSING
	Scheduled  time.Time  `json:"scheduled_time"`
	Priority   int        `json:"priority"`
	Added      time.Time  `json:"added_at"`
	Started    *time.Time `json:"processing_started_at"`
	WaitingFor string     `json:"waiting_for"`
}

// QueueStatus is the queue in numbers.
type QueueStatus struct {
	Active         int     `json:"total_active_pipelines"`
	Due            int     `json:"pipelines_due_now"`
	Queued         int     `json:"pipelines_queued"`
	Running        int     `json:"pipelines_running"`
	CompletedToday int     `json:"pipelines_completed_today"`
	FailedToday    int     `json:"pipelines_failed_today"`
	QueueLength    int     `json:"queue_length"`
	AverageSeconds float64 `json:"avg_execution_time_seconds"`
}

// Processed is what ProcessQueue did.
type Processed struct {
	Processed bool     `json:"processed"`
	Count     int      `json:"processed_count"`
	Started   []string `json:"started_pipelines"`
	Elapsed   float64  `json:"elapsed_seconds"`
	Status    string   `json:"status"` // IDLE, BATCH_COMPLETE
	Message   string   `json:"message"`
}

// Triggered is what Trigger did.
type Triggered struct {
	Triggered int        `json:"triggered_count"`
	Queued    int        `json:"queued_count"`
	Skipped   int        `json:"skipped_count"`
	Next      *time.Time `json:"next_trigger_time"`
}

// Maintained is what ResetDailyQuotas or CleanUp did.
type Maintained struct {
	Status   string    `json:"status"`
	Updated  int       `json:"records_updated"`
	Archived int64     `json:"records_archived"`
	Cleaned  int       `json:"total_pipelines_cleaned"`
	Message  string    `json:"message"`
	At       time.Time `json:"executed_at"`
}

// Schedule is a pipeline that an organisation has scheduled.
type Schedule struct {
	ID         string            `json:"config_id"`
	Org        string            `json:"org_slug"`
	Provider   string            `json:"provider"`
	Domain     string            `json:"domain"`
	Pipeline   string            `json:"pipeline_template"`
	Cron       string            `json:"schedule_cron"`
	Timezone   string            `json:"timezone"`
	Active     bool              `json:"is_active"`
	NextRun    *time.Time        `json:"next_run_time"`
	LastRun    *time.Time        `json:"last_run_time"`
	LastStatus string            `json:"last_run_status"`
	Parameters map[string]string `json:"parameters"`
	Priority   int               `json:"priority"`
}

// NewSchedule asks for a pipeline to be scheduled, or for its schedule to be changed.
type NewSchedule struct {
	Provider   string         `json:"provider"`
	Domain     string         `json:"domain,omitempty"`
	Pipeline   string         `json:"pipeline_template"`
	Cron       string         `json:"schedule_cron"`
	Timezone   string         `json:"timezone,omitempty"` // "" is UTC
	Active     *bool          `json:"is_active,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Priority   int            `json:"priority,omitempty"`
}

// Queue returns a page of the runs that wait or work: of all organisations with the root
// key, else of the client's own.
func (c *Client) Queue(ctx context.Context, state string, limit int, cursor string) (runs []QueuedRun, next string, err error) {
	var out struct {
		Queue []QueuedRun `json:"queue"`
	}
	query := page(limit, cursor)
	set(query, "state", state)
	next, err = c.list(ctx, schedulerPath+"/queue", query, &out)
	return out.Queue, next, err
}

// QueueStatus returns the queue in numbers.
func (c *Client) QueueStatus(ctx context.Context) (QueueStatus, error) {
	return fetch[QueueStatus](ctx, c, http.MethodGet, schedulerPath+"/status", nil)
}

// Trigger fires the slots that are due. limit 0 is the service's default.
func (c *Client) Trigger(ctx context.Context, limit int) (Triggered, error) {
	path := schedulerPath + "/trigger"
	if limit > 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	return fetch[Triggered](ctx, c, http.MethodPost, path, nil)
}

// ProcessQueue starts what waits and may start. It needs the root key.
func (c *Client) ProcessQueue(ctx context.Context) (Processed, error) {
	return fetch[Processed](ctx, c, http.MethodPost, schedulerPath+"/process-queue", nil)
}

// ResetDailyQuotas opens the day's quota rows. It needs the root key.
func (c *Client) ResetDailyQuotas(ctx context.Context) (Maintained, error) {
	return fetch[Maintained](ctx, c, http.MethodPost, schedulerPath+"/reset-daily-quotas", nil)
}

// CleanUp ends runs that have been under way for longer than age, 10 minutes to 4 hours.
// It needs the root key.
func (c *Client) CleanUp(ctx context.Context, age time.Duration) (Maintained, error) {
	path := schedulerPath + "/cleanup-orphaned-pipelines?timeout_minutes=" + strconv.Itoa(int(age.Minutes()))
	return fetch[Maintained](ctx, c, http.MethodPost, path, nil)
}

// Schedules returns a page of what an organisation has scheduled.
func (c *Client) Schedules(ctx context.Context, org string, limit int, cursor string) (schedules []Schedule, next string, err error) {
	next, err = c.list(ctx, parts(schedulerPath+"/org", org, "pipelines"), page(limit, cursor), &schedules)
	return schedules, next, err
}

// PutSchedule schedules a pipeline, or changes its schedule.
func (c *Client) PutSchedule(ctx context.Context, org string, s NewSchedule) (Schedule, error) {
	return fetch[Schedule](ctx, c, http.MethodPost, parts(schedulerPath+"/org", org, "pipelines"), s)
}

// DeleteSchedule takes a pipeline off the schedule.
func (c *Client) DeleteSchedule(ctx context.Context, org, id string) error {
	return c.call(ctx, http.MethodDelete, parts(schedulerPath+"/org", org, "pipelines", id), nil, nil)
}

// Batch asks for runs of one pipeline for many organisations.
type Batch struct {
	Orgs       []string       `json:"org_slugs"`
	PipelineID string         `json:"pipeline_id"` // provider/domain/name
	Parameters map[string]any `json:"parameters,omitempty"`
	Randomize  *bool          `json:"randomize_delay,omitempty"`    // nil: the service's default, true
	MaxJitter  *int           `json:"max_jitter_seconds,omitempty"` // nil: an hour
}

// BatchAnswer is what was published.
type BatchAnswer struct {
	Published  int      `json:"published_count"`
	Failed     int      `json:"failed_count"`
	Orgs       int      `json:"total_orgs"`
	MessageIDs []string `json:"message_ids"` // the first 100
}

// PublishBatch asks for runs of one pipeline for many organisations. It needs the root key.
func (c *Client) PublishBatch(ctx context.Context, b Batch) (BatchAnswer, error) {
	return fetch[BatchAnswer](ctx, c, http.MethodPost, prefix+"/batch/publish", b)
}
