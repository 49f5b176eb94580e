// Package deadletters reads the rows that an organisation's steps rejected, and marks
// those whose units were stated again. It knows the table and nothing of what filled it.
package deadletters

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"text/template"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/launcher/store/patience"
)

//go:embed sql/*.sql
var files embed.FS

var statements = template.Must(template.ParseFS(files, "sql/*.sql"))

// Table is one organisation's dead letters.
type Table struct {
	Client   *bigquery.Client
	Dataset  string
	Location string
	Org      string
}

// Filter says which letters are meant.
type Filter struct {
	Pipeline string // identity, provider/domain/name or the name of a loose file; "" = all
	Run      string // that rejected them; "" = all
	All      bool   // also those whose unit was stated again since
	Limit    int
}

// Group are the letters of one step of one run that were rejected for one reason.
type Group struct {
	Pipeline string    `json:"pipeline_id" bigquery:"pipeline"`
	Step     string    `json:"step_id" bigquery:"step"`
	Table    string    `json:"source_table" bigquery:"source_table"`
	Run      string    `json:"run_id" bigquery:"run"`
	Code     string    `json:"code" bigquery:"code"`
	Letters  int64     `json:"letters" bigquery:"letters"`
	Retries  int64     `json:"retry_count" bigquery:"retries"` // of the one least often tried again
	FailedAt time.Time `json:"failed_at" bigquery:"failed_at"`
	Message  string    `json:"error_message" bigquery:"message"` // of any of them
}

// Letter is one rejected record.
type Letter struct {
	Pipeline string    `json:"pipeline_id" bigquery:"pipeline"`
	Step     string    `json:"step_id" bigquery:"step"`
	Table    string    `json:"source_table" bigquery:"source_table"`
	Run      string    `json:"run_id" bigquery:"run"`
	Code     string    `json:"code" bigquery:"code"`
	Message  string    `json:"error_message" bigquery:"message"`
	Retries  int64     `json:"retry_count" bigquery:"retries"`
	FailedAt time.Time `json:"failed_at" bigquery:"failed_at"`
	Record   string    `json:"raw_data" bigquery:"record"`
}

// Groups returns what there is, newest first; none if nothing was ever rejected.
func (t Table) Groups(ctx context.Context, f Filter) ([]Group, error) {
	return read[Group](ctx, t, "groups.sql", f)
}

// Letters returns the rejected records themselves, newest first.
func (t Table) Letters(ctx context.Context, f Filter) ([]Letter, error) {
	return read[Letter](ctx, t, "letters.sql", f)
}

// Replayed notes that the letters of a run were tried again. It may be said twice.
func (t Table) Replayed(ctx context.Context, pipeline, run string) error {
	err := patience.Send(ctx, func() error { return t.replayed(ctx, pipeline, run) })
	if err != nil {
		return fmt.Errorf("mark dead letters of run %s: %w", run, err)
	}
	return nil
}

func (t Table) replayed(ctx context.Context, pipeline, run string) error {
	q, err := t.query("replayed.sql", []bigquery.QueryParameter{
		{Name: "org", Value: t.Org}, {Name: "pipeline", Value: pipeline}, {Name: "run", Value: run},
	})
	if err != nil {
		return err
	}
	job, err := q.Run(ctx)
	if err != nil {
		return err
	}
	status, err := job.Wait(ctx)
	if err != nil {
		return err
	}
	return status.Err()
}

func (t Table) query(name string, params []bigquery.QueryParameter) (*bigquery.Query, error) {
	var text bytes.Buffer
	if err := statements.ExecuteTemplate(&text, name, t); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	q := t.Client.Query(text.String())
	q.Location, q.Parameters = t.Location, params
	return q, nil
}

func read[T any](ctx context.Context, t Table, name string, f Filter) ([]T, error) {
	q, err := t.query(name, []bigquery.QueryParameter{
		{Name: "org", Value: t.Org},
		{Name: "pipeline", Value: f.Pipeline},
		{Name: "run", Value: f.Run},
		{Name: "all", Value: f.All},
		{Name: "most", Value: f.Limit},
	})
	if err != nil {
		return nil, err
	}
	it, err := q.Read(ctx)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	var out []T
	for {
		var row T
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		out = append(out, row)
	}
}

// isMissing reports whether the table was never made.
func isMissing(err error) bool {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return api.Code == http.StatusNotFound
	}
	var job *bigquery.Error
	return errors.As(err, &job) && job.Reason == "notFound"
}
