package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store/patience"
)

const (
	maxErrorLength   = 1000 // bytes
	conflictPatience = 20 * time.Second
)

type runRow struct {
	RunID      string                 `bigquery:"pipeline_logging_id"`
	OrgSlug    string                 `bigquery:"org_slug"`
	PipelineID string                 `bigquery:"pipeline_id"`
	Status     string                 `bigquery:"status"`
	Trigger    string                 `bigquery:"trigger_type"`
	TriggerBy  string                 `bigquery:"trigger_by"`
	UserID     bigquery.NullString    `bigquery:"user_id"`
	KeyID      bigquery.NullString    `bigquery:"org_api_key_id"`
	Start      time.Time              `bigquery:"start_time"`
	End        bigquery.NullTimestamp `bigquery:"end_time"`
	DurationMS bigquery.NullInt64     `bigquery:"duration_ms"`
	RunDate    bigquery.NullDate      `bigquery:"run_date"`
	Parameters string                 `bigquery:"parameters"`
	Metadata   string                 `bigquery:"run_metadata"`
	Error      bigquery.NullString    `bigquery:"error_message"`
}

type stepRow struct {
	StepID     string                 `bigquery:"step_logging_id"`
	OrgSlug    string                 `bigquery:"org_slug"`
	RunID      string                 `bigquery:"pipeline_logging_id"`
	Name       string                 `bigquery:"step_name"`
	Type       string                 `bigquery:"step_type"`
	Index      int64                  `bigquery:"step_index"`
	Status     string                 `bigquery:"status"`
	Start      time.Time              `bigquery:"start_time"`
	End        bigquery.NullTimestamp `bigquery:"end_time"`
	DurationMS bigquery.NullInt64     `bigquery:"duration_ms"`
	Rows       bigquery.NullInt64     `bigquery:"rows_processed"`
	Error      bigquery.NullString    `bigquery:"error_message"`
	Metadata   string                 `bigquery:"metadata"`
}

// runMetadata is what a run says beside the columns of its row.
type runMetadata struct {
	Attempt    int       `json:"attempt"`
	Epoch      int       `json:"epoch"`
	Code       string    `json:"code"`
	WaitingFor string    `json:"waiting_for,omitempty"`
	LandedBy   string    `json:"landed_by,omitempty"`
	RetryOf    string    `json:"retry_of,omitempty"`
	RetryAt    time.Time `json:"retry_at,omitzero"`
}

// Project replaces the rows of the given runs in org_meta_pipeline_runs and of their
// steps in org_meta_step_logs in one transaction: two projectors conflict, so they
// cannot double a row.
func (s *Store) Project(ctx context.Context, runs ...launcher.Run) error {
	if len(runs) == 0 {
		return nil
	}
	ids := make([]string, len(runs))
	var runRows []runRow
	var stepRows []stepRow
	oldest := s.cfg.Now()
	for i, r := range runs {
		ids[i] = r.ID
		if r.Start.Before(oldest) {
			oldest = r.Start
		}
		row, err := projectRun(r)
		if err != nil {
			return err
		}
		runRows = append(runRows, row)
		steps, err := projectSteps(r)
		if err != nil {
			return err
		}
		stepRows = append(stepRows, steps...)
	}
	params := []bigquery.QueryParameter{
		{Name: "ids", Value: ids},
		{Name: "since", Value: oldest.AddDate(0, 0, -1)},
		{Name: "runs", Value: runRows},
		{Name: "steps", Value: stepRows},
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.execute(ctx, "project.sql", params...)
		if err != nil && !patience.Passing(err) && !patience.Unanswered(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(conflictPatience))
	return err
}

func projectRun(r launcher.Run) (runRow, error) {
	params := r.Params
	if params == nil {
		params = map[string]string{}
	}
	parameters, err := json.Marshal(params)
	if err != nil {
		return runRow{}, fmt.Errorf("encode parameters of run %s: %w", r.ID, err)
	}
	metadata, err := json.Marshal(runMetadata{
		Attempt: r.Attempt, Epoch: r.Epoch, Code: r.Code, WaitingFor: r.WaitingFor, LandedBy: r.LandedBy, RetryOf: r.RetryOf, RetryAt: r.RetryAt,
	})
	if err != nil {
		return runRow{}, fmt.Errorf("encode metadata of run %s: %w", r.ID, err)
	}
	return runRow{
		RunID: r.ID, OrgSlug: r.Org, PipelineID: r.PipelineID, Status: string(r.State), Trigger: r.Trigger, TriggerBy: r.TriggerBy,
		UserID: nullString(r.UserID), KeyID: nullString(r.KeyID), Start: r.Start, End: nullTime(r.End), DurationMS: duration(r.Start, r.End),
		RunDate: nullDate(r.RunDate), Parameters: string(parameters), Metadata: string(metadata), Error: nullString(clip(r.Error)),
	}, nil
}

// projectSteps leaves out steps that have not started: their start time is unknown.
func projectSteps(r launcher.Run) ([]stepRow, error) {
	var rows []stepRow
	for _, step := range r.Steps {
		start := step.Start
		if start.IsZero() {
			start = r.End
		}
		if start.IsZero() {
			continue
		}
		metadata, err := json.Marshal(step.StepResult)
		if err != nil {
			return nil, fmt.Errorf("encode step %s of run %s: %w", step.Step, r.ID, err)
		}
		row := stepRow{
			StepID: fmt.Sprintf("%s-%d", r.ID, step.Index), OrgSlug: r.Org, RunID: r.ID, Name: step.Step, Type: step.Type,
			Index: int64(step.Index), Status: string(step.State), Start: start, End: nullTime(step.End), DurationMS: duration(start, step.End),
			Error: nullString(clip(step.Error)), Metadata: string(metadata),
		}
		if step.State == launcher.Completed {
			row.Rows = bigquery.NullInt64{Int64: step.Published, Valid: true}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func nullString(s string) bigquery.NullString {
	return bigquery.NullString{StringVal: s, Valid: s != ""}
}

func nullTime(t time.Time) bigquery.NullTimestamp {
	return bigquery.NullTimestamp{Timestamp: t, Valid: !t.IsZero()}
}

func duration(start, end time.Time) bigquery.NullInt64 {
	return bigquery.NullInt64{Int64: end.Sub(start).Milliseconds(), Valid: !end.IsZero() && !start.IsZero()}
}

// clip keeps the beginning of a text, never half a character.
func clip(s string) string {
	if len(s) > maxErrorLength {
		s = s[:maxErrorLength]
	}
	return strings.ToValidUTF8(s, "")
}
