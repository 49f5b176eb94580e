package sink

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
)

// counting is what a publish must add up to.
type counting struct {
	staged  int64
	content string // hash of the chunks that were to be published
	keys    keyFacts
	mode    mode
}

// count adds what a publish wrote, as its job tells, and compares it with what was
// staged. A job of an earlier attempt that published another chain of the same
// generation is the truth: the chain in hand stays unread.
func (p *publisher) count(ctx context.Context, d done, s statement, want counting) error {
	wrote, err := writtenRows(ctx, d, s)
	if err != nil {
		return fmt.Errorf("count what job %s wrote: %w", d.id, err)
	}
	other := d.attached && d.content != want.content
	if want.mode.match != nil && !other {
		wrote.Superseded = want.staged - want.keys.kept
		wrote.Existing = want.keys.kept - wrote.Inserted - wrote.Updated
	}
	r := &p.result
	r.Published += wrote.Inserted + wrote.Updated
	r.Inserted += wrote.Inserted
	r.Updated += wrote.Updated
	r.Existing += wrote.Existing
	r.Superseded += wrote.Superseded
	if other {
		p.warn(fmt.Sprintf("job %s of an earlier attempt had already published this generation", d.id))
		return nil
	}
	return wrote.check(d.id, want)
}

// check refuses sums that a statement of the mode cannot have.
func (l Landing) check(job string, want counting) error {
	switch sum := l.Inserted + l.Updated + l.Existing + l.Superseded; {
	case sum != want.staged:
		return coded{CodeCountMismatch, fmt.Errorf("job %s published %d of %d staged rows", job, sum, want.staged)}
	case l.Existing < 0 || l.Superseded < 0 || want.mode.update && l.Existing != 0 || !want.mode.update && l.Updated != 0:
		return coded{CodeCountMismatch, fmt.Errorf("job %s inserted %d and updated %d of %d staged rows with %d keys", job, l.Inserted, l.Updated, want.staged, want.keys.kept)}
	}
	return nil
}

// writtenRows returns the rows that a SELECT wrote to its destination, or that the
// INSERT or MERGE of a script or a single statement changed.
func writtenRows(ctx context.Context, d done, s statement) (Landing, error) {
	if s.to != nil {
		rows, err := d.job.Read(ctx)
		if err != nil {
			return Landing{}, err
		}
		return Landing{Inserted: int64(rows.TotalRows)}, nil
	}
	if l, ok := changedRows(d.status.Statistics); ok {
		return l, nil
	}
	children := d.job.Children(ctx)
	for {
		child, err := children.Next()
		if errors.Is(err, iterator.Done) {
			return Landing{}, errors.New("no statement of it is an INSERT or a MERGE that tells its rows")
		}
		if err != nil {
			return Landing{}, err
		}
		if l, ok := changedRows(child.LastStatus().Statistics); ok {
			return l, nil
		}
	}
}

func changedRows(s *bigquery.JobStatistics) (Landing, bool) {
	q, ok := s.Details.(*bigquery.QueryStatistics)
	switch {
	case !ok || q.StatementType != "INSERT" && q.StatementType != "MERGE":
		return Landing{}, false
	case q.DMLStats != nil:
		return Landing{Inserted: q.DMLStats.InsertedRowCount, Updated: q.DMLStats.UpdatedRowCount}, true
	case q.StatementType == "INSERT":
		return Landing{Inserted: q.NumDMLAffectedRows}, true
	default: // how many of them were updates is unknown
		return Landing{}, false
	}
}
