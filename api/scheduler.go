package api

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Queue shows the runs that wait or work. org is "" for all organisations.
type Queue interface {
	Queued(ctx context.Context, org, state string) ([]QueuedRun, error)
	Status(ctx context.Context, org string) (QueueStatus, error)
	// Process starts what may start, of every organisation, within its time limit.
	Process(ctx context.Context) (Processed, error)
}

// Scheduler is what operators call.
type Scheduler interface {
	Trigger(ctx context.Context, org string, limit int) (Triggered, error)
	ResetDailyQuotas(ctx context.Context) (QuotaReset, error)
	CleanupOrphaned(ctx context.Context, age time.Duration) (Cleanup, error)
}

// Schedules keeps what organisations have scheduled. Errors are *launcher.Error where the
// caller can do something.
type Schedules interface {
	Schedules(ctx context.Context, org string, active *bool) ([]Schedule, error)
	Schedule(ctx context.Context, s NewSchedule) (Schedule, error)
	Unschedule(ctx context.Context, org, id string) error
}

// QueuedRun is a row of the queue.
type QueuedRun struct {
	RunID      string     `json:"run_id"`
	Org        string     `json:"org_slug"`
	PipelineID string     `json:"pipeline_id"`
	State      string     `json:"state" enum:"QUEUED,WAITING,RETRY_WAIT,PROCESSING"`
	Scheduled  time.Time  `json:"scheduled_time"`
	Priority   int        `json:"priority" doc:"1 is the highest"`
	Added      time.Time  `json:"added_at"`
	Started    *time.Time `json:"processing_started_at"`
	WaitingFor string     `json:"waiting_for,omitempty" doc:"run that works on the same days"`
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

// Processed is what a call of process-queue did. The ids are those of the last run.
type Processed struct {
	Processed bool     `json:"processed"`
	Count     int      `json:"processed_count"`
	Started   []string `json:"started_pipelines"`
	Elapsed   float64  `json:"elapsed_seconds"`
	RunID     *string  `json:"pipeline_logging_id"`
	Org       *string  `json:"org_slug"`
	Pipeline  *string  `json:"pipeline_id"`
	Status    string   `json:"status" enum:"IDLE,BATCH_COMPLETE"`
	Message   string   `json:"message"`
}

// Triggered is what a call of trigger did.
type Triggered struct {
	Triggered int              `json:"triggered_count" doc:"runs that slots made"`
	Queued    int              `json:"queued_count" doc:"of those, recorded now"`
	Skipped   int              `json:"skipped_count" doc:"slots that were refused, or are tried again"`
	Next      *time.Time       `json:"next_trigger_time"`
	Details   TriggeredDetails `json:"details"`
}

// TriggeredDetails says what was looked at.
type TriggeredDetails struct {
	Limit int `json:"limit"`
	Due   int `json:"due_pipelines_found"`
}

// QuotaReset is what a call of reset-daily-quotas did.
type QuotaReset struct {
	Status   string    `json:"status"`
	Updated  int       `json:"records_updated"`
	Archived int64     `json:"records_archived"`
	Message  string    `json:"message"`
	At       time.Time `json:"executed_at"`
}

// Cleanup is what a call of cleanup-orphaned-pipelines did.
type Cleanup struct {
	Status       string       `json:"status"`
	Cleaned      int          `json:"total_pipelines_cleaned"`
	Orgs         int          `json:"orgs_processed"`
	OrgsWithSome int          `json:"orgs_with_cleanup"`
	Details      []CleanupOrg `json:"details"`
	Message      string       `json:"message"`
	At           time.Time    `json:"executed_at"`
}

// CleanupOrg is an organisation's share of a Cleanup.
type CleanupOrg struct {
	Org     string `json:"org_slug"`
	Cleaned int    `json:"pipelines_cleaned"`
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
	LastStatus *string           `json:"last_run_status"`
	Parameters map[string]string `json:"parameters"`
	Priority   int               `json:"priority" doc:"1 is the highest"`
	Created    time.Time         `json:"created_at"`
	Updated    *time.Time        `json:"updated_at"`
}

// NewSchedule asks for a pipeline to be scheduled.
type NewSchedule struct {
	Org, Provider, Domain, Pipeline, Cron, Timezone string
	Active                                          bool
	Parameters                                      map[string]any
	Priority                                        int
}

const tagScheduler = "Scheduler"

type queueInput struct {
	PageInput
	State string `query:"state" maxLength:"20" doc:"QUEUED, WAITING, RETRY_WAIT or PROCESSING, in any case"`
}

type queueOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body struct {
		Queue  []QueuedRun `json:"queue" doc:"in the order in which they would start"`
		Count  int         `json:"count" doc:"of all pages"`
		Status QueueStatus `json:"status"`
	}
}

type statusOutput struct{ Body QueueStatus }

type processOutput struct{ Body Processed }

type triggerInput struct {
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"due pipelines that are looked at"`
}

type triggerOutput struct{ Body Triggered }

type quotaResetOutput struct{ Body QuotaReset }

type cleanupInput struct {
	Minutes int `query:"timeout_minutes" default:"60" minimum:"10" maximum:"240" doc:"age of a run that has been forgotten"`
}

type cleanupOutput struct{ Body Cleanup }

func (s *service) scheduler() {
	at := func(method, path, id, summary string, key keyKind, scope string) route {
		r := route{
			method: method, path: prefix + "/scheduler" + path, id: id, summary: summary, tag: tagScheduler, key: key, scope: scope,
			action: actionRead, resource: resourcePipeline,
		}
		if method != http.MethodGet {
			r.action = actionExecute
		}
		if key == keyEither {
			r.about = "With the root key for all organisations, with an organisation's key for its own."
		}
		return r
	}
	add(s, at(http.MethodGet, "/queue", "list-queue", "The runs that wait or work, in the order in which they start", keyEither, scopeRead), s.queue)
	add(s, at(http.MethodGet, "/status", "get-scheduler-status", "The queue in numbers", keyEither, scopeRead), s.queueStatus)
	add(s, at(http.MethodPost, "/trigger", "trigger-schedules", "Fire the slots that are due", keyEither, scopeRun), s.trigger)
	add(s, at(http.MethodPost, "/process-queue", "process-queue", "Start what waits and may start", keyRoot, ""), s.processQueue)
	add(s, at(http.MethodPost, "/queue/process", "process-queue-alias", "The same as process-queue", keyRoot, ""), s.processQueue)
	add(s, at(http.MethodPost, "/reset-daily-quotas", "reset-daily-quotas", "Open the day's quota rows and drop old ones; quotas roll over without it", keyRoot, ""), s.resetQuotas)
	add(s, at(http.MethodPost, "/cleanup-orphaned-pipelines", "cleanup-orphaned-pipelines", "End runs that have been under way for too long", keyRoot, ""), s.cleanup)
}

func (s *service) queue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	org := principal(ctx).Org
	rows, err := s.cfg.Queue.Queued(ctx, org, strings.ToUpper(in.State))
	if err != nil {
		return nil, s.problem(ctx, "list queue", err)
	}
	var out queueOutput
	out.Body.Count = len(rows)
	if out.Body.Status, err = s.cfg.Queue.Status(ctx, org); err != nil {
		return nil, s.problem(ctx, "count queue", err)
	}
	last, problem := in.last()
	if problem != nil {
		return nil, problem
	}
	for i, row := range rows { // the order is not that of ids: go on behind the last one
		if last != "" && row.RunID == last {
			rows = rows[i+1:]
			break
		}
	}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Link = nextLink(ctx, rows[in.Limit-1].RunID)
	}
	out.Body.Queue = append([]QueuedRun{}, rows...)
	return &out, nil
}

func (s *service) queueStatus(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	status, err := s.cfg.Queue.Status(ctx, principal(ctx).Org)
	if err != nil {
		return nil, s.problem(ctx, "count queue", err)
	}
	return &statusOutput{status}, nil
}

func (s *service) trigger(ctx context.Context, in *triggerInput) (*triggerOutput, error) {
	done, err := s.cfg.Scheduler.Trigger(ctx, principal(ctx).Org, in.Limit)
	if err != nil {
		return nil, s.problem(ctx, "trigger schedules", err)
	}
	return &triggerOutput{done}, nil
}

func (s *service) processQueue(ctx context.Context, _ *struct{}) (*processOutput, error) {
	done, err := s.cfg.Queue.Process(ctx)
	if err != nil {
		return nil, s.problem(ctx, "process queue", err)
	}
	return &processOutput{done}, nil
}

func (s *service) resetQuotas(ctx context.Context, _ *struct{}) (*quotaResetOutput, error) {
	done, err := s.cfg.Scheduler.ResetDailyQuotas(ctx)
	if err != nil {
		return nil, s.problem(ctx, "reset quotas", err)
	}
	return &quotaResetOutput{done}, nil
}

func (s *service) cleanup(ctx context.Context, in *cleanupInput) (*cleanupOutput, error) {
	done, err := s.cfg.Scheduler.CleanupOrphaned(ctx, time.Duration(in.Minutes)*time.Minute)
	if err != nil {
		return nil, s.problem(ctx, "clean up runs", err)
	}
	return &cleanupOutput{done}, nil
}
