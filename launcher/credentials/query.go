package credentials

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher/store/patience"
)

//go:embed sql/*.sql
var statements embed.FS

// conflictRetries bounds how long a statement is tried again after losing to a concurrent one.
const conflictRetries = 30 * time.Second

func (s *Store) query(name string, params map[string]any) (*bigquery.Query, error) {
	text, err := statements.ReadFile("sql/" + name)
	if err != nil {
		return nil, fmt.Errorf("reading statement: %w", err)
	}
	q := s.cfg.BigQuery.Query(string(text))
	q.DefaultProjectID, q.DefaultDatasetID = s.cfg.BigQuery.Project(), s.cfg.Dataset
	for k, v := range params {
		q.Parameters = append(q.Parameters, bigquery.QueryParameter{Name: k, Value: v})
	}
	return q, nil
}

func (s *Store) read(ctx context.Context, name string, params map[string]any) (*bigquery.RowIterator, error) {
	q, err := s.query(name, params)
	if err != nil {
		return nil, err
	}
	return q.Read(ctx)
}

// exec runs a statement or script to its end. Two of them on one row conflict and one is aborted
// without effect, so that one is tried again; so is one whose answer was lost, as none of them does
// more when it runs twice.
func (s *Store) exec(ctx context.Context, name string, params map[string]any) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.execOnce(ctx, name, params)
		if err != nil && !strings.Contains(err.Error(), "concurrent update") && !patience.Unanswered(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(conflictRetries))
	return err
}

func (s *Store) execOnce(ctx context.Context, name string, params map[string]any) error {
	q, err := s.query(name, params)
	if err != nil {
		return err
	}
	job, err := q.Run(ctx)
	if err != nil {
		return err
	}
	st, err := job.Wait(ctx)
	if err != nil {
		return err
	}
	return st.Err()
}
