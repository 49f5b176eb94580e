package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	beam.RegisterType(reflect.TypeFor[row.Position]())
	register.DoFn3x1[context.Context, []byte, func(ChunkRef), error](&adoptFn{})
	register.Function2x0(startOf)
	register.Emitter1[row.Position]()
}

// Adopt reads what earlier attempts at the units' generations staged. The output holds
// ChunkRefs: those of the longest chain of each partition are Adopted, the others Spare.
// A stage that is missing or cannot be read yields none: its unit starts over, which
// costs requests and nothing else.
func Adopt(s beam.Scope, o Options) (beam.PCollection, error) {
	if err := o.validate(); err != nil {
		return beam.PCollection{}, err
	}
	s = s.Scope("Adopt")
	return beam.ParDo(s, &adoptFn{Options: o}, beam.Impulse(s)), nil
}

// Starts turns the output of Adopt into row.Positions, one per adopted chunk: the page
// after it. The one furthest into a partition is where the partition goes on; it is Last
// if nothing of the partition is left to fetch. A Last one without a partition is about
// a unit of which nothing is left.
func Starts(s beam.Scope, adopted beam.PCollection) beam.PCollection {
	return beam.ParDo(s.Scope("Starts"), startOf, adopted)
}

func startOf(r ChunkRef, emit func(row.Position)) {
	switch {
	case r.Landed != "":
		emit(row.Position{Unit: r.Unit, Last: true})
	case r.Adopted:
		emit(row.Position{Unit: r.Unit, Partition: r.Partition, Pass: r.Pass, Index: r.Index + r.Pages, First: r.Next, Last: r.Last})
	}
}

const stagesAtOnce = 8

// adoptFn hangs on an Impulse: what is adopted is decided once, for fetching and for
// publishing alike.
type adoptFn struct {
	Options Options

	client *bigquery.Client
}

// Setup connects to the warehouse.
func (f *adoptFn) Setup(ctx context.Context) (err error) {
	if f.client, err = client(ctx, f.Options.Table.Project); err != nil {
		return fmt.Errorf("resume of step %s: %w", f.Options.Step, err)
	}
	return nil
}

// ProcessElement emits the chunks of every unit.
func (f *adoptFn) ProcessElement(ctx context.Context, _ []byte, emit func(ChunkRef)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	found := make([][]ChunkRef, len(f.Options.Units))
	slots := make(chan struct{}, stagesAtOnce)
	var wg sync.WaitGroup
	for i, u := range f.Options.Units {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			refs, err := f.unit(ctx, u)
			if err != nil {
				slog.WarnContext(ctx, "the stage cannot be read, its unit starts over", "step", f.Options.Step, "stage", stageName(u), "error", err)
				return
			}
			found[i] = refs
		})
	}
	wg.Wait()
	for _, refs := range found {
		for _, r := range refs {
			emit(r)
		}
	}
	return nil
}

func (f *adoptFn) unit(ctx context.Context, u row.Unit) ([]ChunkRef, error) {
	if f.Options.landsOnce() {
		before, err := landedBefore(ctx, f.client, f.Options, u)
		if err != nil {
			return nil, fmt.Errorf("look for an earlier publish: %w", err)
		}
		if before != nil {
			return []ChunkRef{{Unit: u.ID, Landed: before.String()}}, nil
		}
	}
	staged, err := stagedChunks(ctx, f.client, f.Options, u)
	return adopt(staged), err
}

// adopt marks the chunks of the longest chain of each partition, and all others.
func adopt(staged []ChunkRef) []ChunkRef {
	parts := map[string][]ChunkRef{}
	for _, r := range staged {
		parts[r.Partition] = append(parts[r.Partition], r)
	}
	var out []ChunkRef
	for _, name := range sortedKeys(parts) {
		taken := map[string]bool{}
		for _, r := range longestChain(parts[name]) {
			taken[r.ID] = true
			r.Adopted = true
			out = append(out, r)
		}
		for _, r := range parts[name] {
			if !taken[r.ID] {
				r.Spare = true
				out = append(out, r)
			}
		}
	}
	return out
}

// stagedChunks reads the bookkeeping of a unit's stage; none if there is no stage.
func stagedChunks(ctx context.Context, c *bigquery.Client, o Options, u row.Unit) ([]ChunkRef, error) {
	stage := c.DatasetInProject(o.Table.Project, o.Table.Dataset).Table(stageName(u))
	if _, err := stage.Metadata(ctx); err != nil {
		if hasStatus(err, http.StatusNotFound) {
			return nil, nil
		}
		return nil, fmt.Errorf("look for staging table %s: %w", stageName(u), err)
	}
	text, err := render(sqlChunks, sqlData{Stage: o.Table.path(stageName(u))})
	if err != nil {
		return nil, err
	}
	q := c.Query(text)
	q.Location = o.Table.Location
	it, err := q.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read staging table %s: %w", stageName(u), err)
	}
	seen := map[string]int{}
	var out []ChunkRef
	for {
		var b chunkRow
		err := it.Next(&b)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read staging table %s: %w", stageName(u), err)
		}
		seen[b.Chunk]++
		out = append(out, b.ref(u))
	}
	// Equal ids are made by one load only; should rows ever be there twice, they are
	// worth fetching again.
	kept := out[:0]
	for _, r := range out {
		if seen[r.ID] == 1 {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// chunkRow is a bookkeeping row of a stage.
type chunkRow struct {
	Chunk    string              `bigquery:"_chunk"`
	Part     string              `bigquery:"_part"`
	Pass     bigquery.NullString `bigquery:"_pass"`
	Page     int64               `bigquery:"_page"`
	First    bigquery.NullString `bigquery:"_first"`
	Next     bigquery.NullString `bigquery:"_next"`
	Last     bool                `bigquery:"_last"`
	Pages    int64               `bigquery:"_pages"`
	RowsIn   int64               `bigquery:"_rows_in"`
	RowsOut  int64               `bigquery:"_rows_out"`
	Rejected int64               `bigquery:"_rejected"`
}

func (b chunkRow) ref(u row.Unit) ChunkRef {
	return ChunkRef{
		Unit: u.ID, Partition: b.Part, Pass: b.Pass.StringVal, ID: b.Chunk, First: b.First.StringVal, Next: b.Next.StringVal,
		Index: b.Page, Pages: b.Pages, Last: b.Last, RowsIn: b.RowsIn, RowsOut: b.RowsOut, Rejected: b.Rejected,
	}
}
