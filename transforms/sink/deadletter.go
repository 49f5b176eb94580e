package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

// letter is a line of the dead-letter table.
type letter struct {
	Org        string    `json:"org_slug"`
	Source     string    `json:"source_table"`
	Message    string    `json:"error_message"`
	Type       string    `json:"error_type"`
	Data       string    `json:"raw_data"`
	FailedAt   time.Time `json:"failed_at"`
	Pipeline   string    `json:"pipeline_id"`
	StepID     string    `json:"step_id"`
	RetryCount int       `json:"retry_count"`
	RunID      string    `json:"run_id"`
	Step       string    `json:"step"`
	Code       string    `json:"code"`
}

// buryDirectly loads rejected rows that no stage holds into the dead-letter table. Equal
// rejects of equal places are loaded once, however often they are handed in.
func buryDirectly(ctx context.Context, c *bigquery.Client, o Options, place string, rejects []row.Reject, now time.Time) error {
	if len(rejects) == 0 {
		return nil
	}
	t := o.deadLetters()
	if _, err := ensureTable(ctx, c, t, nil); err != nil {
		return err
	}
	parts := []string{place}
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for _, r := range rejects {
		l := letter{
			Org: o.Org, Source: o.Table.Name, Message: clip(r.Reason, maxReason), Type: r.Code, Data: clip(r.Payload, maxPayload),
			FailedAt: now.UTC().Truncate(time.Microsecond), Pipeline: o.Pipeline, StepID: o.Step, RunID: o.RunID, Step: r.Step, Code: r.Code,
		}
		if err := out.Encode(l); err != nil {
			return fmt.Errorf("write rejected rows to %s: %w", t.Name, err)
		}
		parts = append(parts, r.Code, r.Payload, strconv.FormatInt(r.Index, 10))
	}
	table := c.DatasetInProject(t.Project, t.Dataset).Table(t.Name)
	if _, err := loadLines(ctx, c, o, table, "dlq_"+hashHex(labelDigits, parts...), lines.Bytes()); err != nil {
		return fmt.Errorf("write rejected rows to %s: %w", t.Name, err)
	}
	return nil
}

// loadLines appends newline-delimited JSON to a table once for each id.
func loadLines(ctx context.Context, c *bigquery.Client, o Options, to *bigquery.Table, id string, lines []byte) (done, error) {
	return work{
		client: c, project: o.Table.Project, location: o.Table.Location, timeout: o.jobTimeout(),
		name: func(ordinal int) string { return id + "_" + strconv.Itoa(ordinal) },
		send: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			return loaderOf(to, id, o, bytes.NewReader(lines)).Run(ctx)
		},
	}.submit(ctx)
}
