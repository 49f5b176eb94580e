package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn5x1[context.Context, int, func(*[]byte) bool, func(*ChunkRef) bool, func(row.Page), error](&rereadFn{})
	register.Emitter1[row.Page]()
}

// Reread emits the pages of the adopted chunks again, for steps that take this step's
// rows as they are made and need all of them. Cursors within a chunk are made up: they
// only join its pages.
func Reread(s beam.Scope, adopted beam.PCollection, o Options) beam.PCollection {
	s = s.Scope("Reread")
	return beam.ParDo(s, &rereadFn{Options: o}, gathered(s, adopted))
}

// rereadFn reads each unit's stage once.
type rereadFn struct {
	Options Options

	client *bigquery.Client
}

// Setup connects to the warehouse.
func (f *rereadFn) Setup(ctx context.Context) (err error) {
	if f.client, err = client(ctx, f.Options.Table.Project); err != nil {
		return fmt.Errorf("rereading the stage of step %s: %w", f.Options.Step, err)
	}
	return nil
}

// ProcessElement emits pages in the order of their partitions. A stage that cannot be
// read fails its unit for the readers.
func (f *rereadFn) ProcessElement(ctx context.Context, _ int, _ func(*[]byte) bool, adopted func(*ChunkRef) bool, emit func(row.Page)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	units := map[string][]ChunkRef{}
	for _, r := range all(adopted) {
		if r.Adopted {
			units[r.Unit] = append(units[r.Unit], r)
		}
	}
	for _, u := range f.Options.Units {
		refs := units[u.ID]
		if len(refs) == 0 {
			continue
		}
		slices.SortFunc(refs, func(a, b ChunkRef) int {
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Index, b.Index))
		})
		if err := f.unit(ctx, u, refs, emit); err != nil {
			emit(row.Page{Position: row.Position{Unit: u.ID, Partition: refs[0].Partition}, Failure: failureOf(stageGone(u, err))})
		}
	}
	return nil
}

// unit walks the chunks and their staged lines side by side, both in order.
func (f *rereadFn) unit(ctx context.Context, u row.Unit, refs []ChunkRef, emit func(row.Page)) error {
	lines, err := f.lines(ctx, u, refs)
	if err != nil {
		return err
	}
	for _, r := range refs {
		for i := range r.Pages {
			page := row.Page{Position: row.Position{
				Unit: r.Unit, Partition: r.Partition, Pass: r.Pass, Index: r.Index + i,
				First: fmt.Sprint(r.ID, "/", i), Next: fmt.Sprint(r.ID, "/", i+1),
			}}
			if i == 0 {
				page.First = r.First
			}
			if i == r.Pages-1 {
				page.Next, page.Last = r.Next, r.Last
			}
			if err := lines.fill(&page); err != nil {
				return fmt.Errorf("reread staging table %s: %w", stageName(u), err)
			}
			emit(page)
		}
	}
	if lines.more {
		return coded{CodeCountMismatch, fmt.Errorf("staging table %s holds rows of adopted chunks beyond their pages", stageName(u))}
	}
	return nil
}

func (f *rereadFn) lines(ctx context.Context, u row.Unit, refs []ChunkRef) (*stagedLines, error) {
	t := f.Options.Table
	text, err := render(sqlReread, sqlData{Stage: t.path(stageName(u)), Columns: plainColumns(t.Schema)})
	if err != nil {
		return nil, err
	}
	q := f.client.Query(text)
	q.Location = t.Location
	q.Parameters = []bigquery.QueryParameter{chunksParam(refs)}
	it, err := q.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("reread staging table %s: %w", stageName(u), err)
	}
	lines := &stagedLines{rows: it, schema: t.Schema}
	return lines, lines.next()
}

// stagedLines are rows and rejects of a stage, one ahead.
type stagedLines struct {
	rows   *bigquery.RowIterator
	schema row.Schema
	cells  []bigquery.Value
	more   bool
}

// Places of the columns before those of the schema.
const (
	atPart = iota
	atPage
	atIndex
	atKind
	atCode
	atStep
	atReason
	atPayload
	atCells
)

func (l *stagedLines) next() error {
	l.cells = nil
	err := l.rows.Next(&l.cells)
	l.more = err == nil
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return err
}

// fill gives a page its rows and rejects.
func (l *stagedLines) fill(page *row.Page) error {
	for l.more && l.cells[atPart] == page.Partition && l.cells[atPage] == page.Index {
		if l.cells[atKind] == kindReject {
			index, _ := l.cells[atIndex].(int64)
			page.Rejects = append(page.Rejects, row.Reject{
				Code: plain(l.cells[atCode]), Step: plain(l.cells[atStep]), Reason: plain(l.cells[atReason]),
				Payload: plain(l.cells[atPayload]), Index: index,
			})
		} else {
			r := row.Row{Cells: make([]row.Cell, len(l.schema))}
			for i, field := range l.schema {
				var err error
				if r.Cells[i], err = cellOf(l.cells[atCells+i], field.Type); err != nil {
					return fmt.Errorf("column %s: %w", field.Name, err)
				}
			}
			page.Rows = append(page.Rows, r)
		}
		if err := l.next(); err != nil {
			return err
		}
	}
	return nil
}

func plain(v bigquery.Value) string {
	s, _ := v.(string)
	return s
}

// cellOf turns a value that the client read into a cell of the column's type.
func cellOf(v bigquery.Value, t row.Type) (row.Cell, error) {
	switch v := v.(type) {
	case nil:
		return row.Null(), nil
	case bool:
		return row.Bool(v), nil
	case int64:
		return row.Int64(v), nil
	case float64:
		return row.Float64(v), nil
	case *big.Rat:
		return row.Numeric(bigquery.NumericString(v))
	case []byte:
		return row.Bytes(v), nil
	case civil.Date:
		return row.Date(v), nil
	case time.Time:
		return row.Timestamp(v), nil
	case string:
		if t == row.TypeJSON {
			return row.JSON(v), nil
		}
		return row.String(v), nil
	default:
		return row.Null(), fmt.Errorf("a %s is no %s", fmt.Sprintf("%T", v), t)
	}
}
