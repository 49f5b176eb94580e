package store

import (
	"context"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

// Runs implements queue.Runs.
func (s *Store) Runs(ctx context.Context, org string, ids []string) (map[string]launcher.Run, error) {
	out := map[string]launcher.Run{}
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := readAll[eventRow](ctx, s, "runs_by_id.sql",
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "ids", Value: ids})
	if err != nil {
		return nil, err
	}
	for _, group := range byRun(rows) {
		run, found, err := launcher.Reduce(eventsOf(group))
		if err != nil {
			return nil, err
		}
		if found && !run.Start.IsZero() {
			out[run.ID] = run
		}
	}
	return out, nil
}

type queueRow struct {
	RunID      string                 `bigquery:"run_id"`
	Org        string                 `bigquery:"org_slug"`
	PipelineID string                 `bigquery:"pipeline_id"`
	State      string                 `bigquery:"state"` // "" when the run has ended
	Scheduled  time.Time              `bigquery:"scheduled_time"`
	Priority   int64                  `bigquery:"priority"`
	Added      time.Time              `bigquery:"added_at"`
	Started    bigquery.NullTimestamp `bigquery:"processing_started_at"`
	RunState   string                 `bigquery:"run_state"`
	LastStatus string                 `bigquery:"last_run_status"`
	Retries    int64                  `bigquery:"retry_count"`
	Completed  bigquery.NullTimestamp `bigquery:"completed_at"`
	Failed     bigquery.NullTimestamp `bigquery:"failed_at"`
	Error      bigquery.NullString    `bigquery:"error_message"`
}

// ShowQueue implements queue.Board: the rows of runs in org_pipeline_execution_queue are
// replaced, and what their slots and pipelines show of them is brought up to date, in one
// transaction.
func (s *Store) ShowQueue(ctx context.Context, rows ...queue.Row) error {
	if len(rows) == 0 {
		return nil
	}
	ids, out := make([]string, len(rows)), make([]queueRow, len(rows))
	since := s.cfg.Now()
	for i, r := range rows {
		run := r.Run
		ids[i] = run.ID
		out[i] = queueRow{
			RunID: run.ID, Org: run.Org, PipelineID: run.PipelineID, State: r.State, Scheduled: run.Start, Priority: int64(r.Priority), Added: run.Start,
			Started: nullTime(run.Began), RunState: slotState(run), LastStatus: lastStatus(run), Retries: int64(max(run.Attempt-1, 0)), Error: nullString(clip(run.Error)),
		}
		out[i].Completed, out[i].Failed = ends(run)
		if run.Start.Before(since) {
			since = run.Start
		}
	}
	return s.transact(ctx, "show_queue.sql",
		bigquery.QueryParameter{Name: "since", Value: since}, bigquery.QueryParameter{Name: "since_slot", Value: s.cfg.Now().Add(-slotLookBack)},
		bigquery.QueryParameter{Name: "ids", Value: ids}, bigquery.QueryParameter{Name: "rows", Value: out})
}

func lastStatus(run launcher.Run) string {
	switch {
	case run.State == launcher.Completed:
		return "SUCCESS"
	case run.State.Terminal():
		return "FAILED"
	default:
		return "RUNNING"
	}
}

// Clear implements queue.Board.
func (s *Store) Clear(ctx context.Context, active []string, before time.Time) error {
	if active == nil {
		active = []string{}
	}
	return s.transact(ctx, "clear_queue.sql", bigquery.QueryParameter{Name: "active", Value: active}, bigquery.QueryParameter{Name: "before", Value: before})
}

// Counts implements queue.Board.
func (s *Store) Counts(ctx context.Context, org string, now time.Time) (queue.Counts, error) {
	rows, err := readAll[struct {
		Active    int64   `bigquery:"active"`
		Due       int64   `bigquery:"due"`
		Completed int64   `bigquery:"completed"`
		Failed    int64   `bigquery:"failed"`
		Average   float64 `bigquery:"average"`
	}](ctx, s, "counts.sql",
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "now", Value: now},
		bigquery.QueryParameter{Name: "today", Value: now.UTC().Truncate(24 * time.Hour)})
	if err != nil || len(rows) == 0 {
		return queue.Counts{}, err
	}
	r := rows[0]
	return queue.Counts{
		ActivePipelines: int(r.Active), Due: int(r.Due), CompletedToday: int(r.Completed), FailedToday: int(r.Failed), AverageSeconds: r.Average,
	}, nil
}
