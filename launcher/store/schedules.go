package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
	"github.com/cloudact/convergence/launcher/store/patience"
)

const slotLookBack = 40 * 24 * time.Hour // older slots of runs that have not ended are not brought up to date

type pipelineRow struct {
	ConfigID   string                 `bigquery:"config_id"`
	Org        string                 `bigquery:"org_slug"`
	Provider   string                 `bigquery:"provider"`
	Domain     string                 `bigquery:"domain"`
	Template   string                 `bigquery:"pipeline_template"`
	Cron       string                 `bigquery:"schedule_cron"`
	Timezone   string                 `bigquery:"timezone"`
	Active     bool                   `bigquery:"is_active"`
	NextRun    bigquery.NullTimestamp `bigquery:"next_run_time"`
	LastRun    bigquery.NullTimestamp `bigquery:"last_run_time"`
	LastStatus string                 `bigquery:"last_run_status"`
	Parameters string                 `bigquery:"parameters"`
	Priority   int64                  `bigquery:"priority"`
	Created    time.Time              `bigquery:"created_at"`
	Updated    bigquery.NullTimestamp `bigquery:"updated_at"`
}

func (r pipelineRow) pipeline() (queue.Pipeline, error) {
	params, err := readParams(r.Parameters)
	if err != nil {
		return queue.Pipeline{}, fmt.Errorf("parameters of scheduled pipeline %s: %w", r.ConfigID, err)
	}
	return queue.Pipeline{
		ConfigID: r.ConfigID, Org: r.Org, Provider: r.Provider, Domain: r.Domain, Template: r.Template, Cron: r.Cron, Timezone: r.Timezone,
		Active: r.Active, NextRun: r.NextRun.Timestamp, LastRun: r.LastRun.Timestamp, LastStatus: r.LastStatus, Params: params,
		Priority: int(r.Priority), Created: r.Created, Updated: r.Updated.Timestamp,
	}, nil
}

// readParams reads parameters as we and others write them: rows of the predecessor hold
// values of any JSON type, encoded once or twice.
func readParams(text string) (map[string]string, error) {
	var inner string
	if json.Unmarshal([]byte(text), &inner) == nil {
		text = inner
	}
	var values map[string]any
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		return nil, err
	}
	return queue.TextParams(values)
}

func pipelineRowOf(p queue.Pipeline) (pipelineRow, error) {
	params, err := paramsText(p.Params)
	return pipelineRow{
		ConfigID: p.ConfigID, Org: p.Org, Provider: p.Provider, Domain: p.Domain, Template: p.Template, Cron: p.Cron, Timezone: p.Timezone,
		Active: p.Active, NextRun: nullTime(p.NextRun), LastRun: nullTime(p.LastRun), LastStatus: p.LastStatus, Parameters: params,
		Priority: int64(p.Priority), Created: p.Created, Updated: nullTime(p.Updated),
	}, err
}

func paramsText(params map[string]string) (string, error) {
	if params == nil {
		params = map[string]string{}
	}
	b, err := json.Marshal(params)
	if err != nil {
		return "", fmt.Errorf("encode parameters: %w", err)
	}
	return string(b), nil
}

// Pipelines implements queue.Schedules.
func (s *Store) Pipelines(ctx context.Context, org string) ([]queue.Pipeline, error) {
	rows, err := readAll[pipelineRow](ctx, s, "pipelines.sql", bigquery.QueryParameter{Name: "org", Value: org})
	if err != nil {
		return nil, err
	}
	return pipelinesOf(rows)
}

// Due implements queue.Schedules.
func (s *Store) Due(ctx context.Context, org string, now time.Time, limit int) ([]queue.Pipeline, error) {
	rows, err := readAll[pipelineRow](ctx, s, "due.sql",
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "now", Value: now},
		bigquery.QueryParameter{Name: "limit", Value: limit})
	if err != nil {
		return nil, err
	}
	return pipelinesOf(rows)
}

func pipelinesOf(rows []pipelineRow) ([]queue.Pipeline, error) {
	out := make([]queue.Pipeline, len(rows))
	for i, r := range rows {
		p, err := r.pipeline()
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// Put implements queue.Schedules.
func (s *Store) Put(ctx context.Context, pipelines ...queue.Pipeline) error {
	ids, rows := make([]string, len(pipelines)), make([]pipelineRow, len(pipelines))
	for i, p := range pipelines {
		row, err := pipelineRowOf(p)
		if err != nil {
			return err
		}
		ids[i], rows[i] = p.ConfigID, row
	}
	return s.transact(ctx, "put_pipelines.sql", bigquery.QueryParameter{Name: "ids", Value: ids}, bigquery.QueryParameter{Name: "rows", Value: rows})
}

type slotRow struct {
	RunID      string                 `bigquery:"run_id"`
	ConfigID   string                 `bigquery:"config_id"`
	Org        string                 `bigquery:"org_slug"`
	PipelineID string                 `bigquery:"pipeline_id"`
	State      string                 `bigquery:"state"`
	Slot       time.Time              `bigquery:"scheduled_time"`
	Priority   int64                  `bigquery:"priority"`
	Parameters string                 `bigquery:"parameters"`
	LoggingID  bigquery.NullString    `bigquery:"pipeline_logging_id"`
	Retries    int64                  `bigquery:"retry_count"`
	MaxRetries int64                  `bigquery:"max_retries"`
	Completed  bigquery.NullTimestamp `bigquery:"completed_at"`
	Failed     bigquery.NullTimestamp `bigquery:"failed_at"`
	Error      bigquery.NullString    `bigquery:"error_message"`
	Created    time.Time              `bigquery:"created_at"`
}

const maxRetries = 3 // of an attempt, where the pipeline does not say otherwise

// slotState is a run's state as org_scheduled_pipeline_runs spells it.
func slotState(run launcher.Run) string {
	switch run.State {
	case launcher.Pending:
		return queue.Queued
	case launcher.Timeout:
		return string(launcher.Failed)
	default:
		return string(run.State)
	}
}

func (s *Store) slotRow(f queue.Firing) (slotRow, error) {
	params, err := paramsText(f.Pipeline.Params)
	now := s.cfg.Now().UTC()
	row := slotRow{
		RunID: f.RunID, ConfigID: f.Pipeline.ConfigID, Org: f.Pipeline.Org, PipelineID: f.Tracking, Slot: f.Slot, Priority: int64(f.Pipeline.Priority),
		Parameters: params, MaxRetries: maxRetries, Created: now,
	}
	if f.Error != "" {
		row.State, row.Error, row.Failed = string(launcher.Failed), nullString(clip(f.Error)), nullTime(now)
		return row, err
	}
	row.State, row.LoggingID, row.Retries = slotState(f.Run), nullString(f.Run.ID), int64(max(f.Run.Attempt-1, 0))
	row.Completed, row.Failed = ends(f.Run)
	return row, err
}

// ends is when a run completed, or failed.
func ends(run launcher.Run) (completed, failed bigquery.NullTimestamp) {
	switch run.State {
	case launcher.Completed:
		return nullTime(run.End), failed
	case launcher.Failed, launcher.Timeout:
		return completed, nullTime(run.End)
	default:
		return completed, failed
	}
}

// Fired implements queue.Schedules.
func (s *Store) Fired(ctx context.Context, next []queue.Pipeline, firings []queue.Firing) error {
	nextRows := make([]pipelineRow, len(next))
	for i, p := range next {
		row, err := pipelineRowOf(p)
		if err != nil {
			return err
		}
		nextRows[i] = row
	}
	ids, rows := make([]string, len(firings)), make([]slotRow, len(firings))
	since := s.cfg.Now()
	for i, f := range firings {
		row, err := s.slotRow(f)
		if err != nil {
			return err
		}
		ids[i], rows[i] = f.RunID, row
		if f.Slot.Before(since) {
			since = f.Slot
		}
	}
	return s.transact(ctx, "fired.sql",
		bigquery.QueryParameter{Name: "next", Value: nextRows}, bigquery.QueryParameter{Name: "since", Value: since},
		bigquery.QueryParameter{Name: "ids", Value: ids}, bigquery.QueryParameter{Name: "rows", Value: rows})
}

// transact runs a script that is one transaction, again when another one changed the same
// rows.
func (s *Store) transact(ctx context.Context, name string, params ...bigquery.QueryParameter) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.execute(ctx, name, params...)
		if err != nil && !patience.Passing(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(conflictPatience))
	return err
}
