package sink

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
)

// count adds what a publish wrote, as its job tells, and compares it with what was
// staged. A job of an earlier attempt that published another chain of the same
// generation is the truth: the chain in hand stays unread.
func (p *publisher) count(ctx context.Context, d done, s statement, staged int64, content string) error {
	rows, err := writtenRows(ctx, p.client, d, s)
	if err != nil {
		return fmt.Errorf("count what job %s wrote: %w", d.id, err)
	}
	p.result.Published += rows
	if d.attached && d.content != content {
		p.warn(fmt.Sprintf("job %s of an earlier attempt had already published this generation", d.id))
		return nil
	}
	if rows != staged {
		return coded{CodeCountMismatch, fmt.Errorf("job %s published %d of %d staged rows", d.id, rows, staged)}
	}
	return nil
}

// writtenRows returns the rows that a SELECT wrote to its destination, or that the
// INSERT of a script or a single statement added.
func writtenRows(ctx context.Context, c *bigquery.Client, d done, s statement) (int64, error) {
	if s.to != nil {
		rows, err := d.job.Read(ctx)
		if err != nil {
			return 0, err
		}
		return int64(rows.TotalRows), nil
	}
	if n, ok := insertedRows(d.status.Statistics); ok {
		return n, nil
	}
	children := d.job.Children(ctx)
	for {
		child, err := children.Next()
		if errors.Is(err, iterator.Done) {
			return 0, errors.New("no statement of the script is an INSERT")
		}
		if err != nil {
			return 0, err
		}
		if n, ok := insertedRows(child.LastStatus().Statistics); ok {
			return n, nil
		}
	}
}

func insertedRows(s *bigquery.JobStatistics) (int64, bool) {
	q, ok := s.Details.(*bigquery.QueryStatistics)
	if !ok || q.StatementType != "INSERT" {
		return 0, false
	}
	if q.DMLStats != nil {
		return q.DMLStats.InsertedRowCount, true
	}
	return q.NumDMLAffectedRows, true
}
