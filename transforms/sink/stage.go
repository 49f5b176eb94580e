package sink

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn3x1[context.Context, row.Page, func(ChunkRef), error](&stageFn{})
	register.Emitter1[ChunkRef]()
}

const (
	chunkRows  = 3000            // of the first load; it grows so that a stage takes few loads
	growEvery  = 300             // one row more per so many staged
	chunkAge   = 5 * time.Second // of the first load; it grows with the stage's age
	ageShare   = 100
	chunkBytes = 4 << 20
	openBytes  = 16 << 20 // in chunks that are still being filled
	window     = 4        // chunks of a partition that may be lost, the one being filled included
)

// stageFn stages pages while they arrive and emits a ChunkRef for each chunk that has
// become durable. It is used by one goroutine at a time, as every DoFn is.
type stageFn struct {
	Options Options

	stager                *stager
	rows, pages, rejected beam.Counter
	bundle                context.Context // of the loads of the current bundle
	cancel                context.CancelFunc
}

// Setup connects to the warehouse.
func (f *stageFn) Setup(ctx context.Context) error {
	c, err := client(ctx, f.Options.Table.Project)
	if err != nil {
		return fmt.Errorf("stage of step %s: %w", f.Options.Step, err)
	}
	f.stager = newStager(c, f.Options)
	f.rows = beam.NewCounter(f.Options.Step, "rows")
	f.pages = beam.NewCounter(f.Options.Step, "pages")
	f.rejected = beam.NewCounter(f.Options.Step, "rejected")
	return nil
}

// ProcessElement adds a page to its chunk.
func (f *stageFn) ProcessElement(ctx context.Context, p row.Page, emit func(ChunkRef)) error {
	f.pages.Inc(ctx, 1)
	f.rows.Inc(ctx, int64(len(p.Rows)+len(p.Rejects)))
	if f.bundle == nil {
		f.bundle, f.cancel = withDeadline(ctx, f.Options.Deadline)
	}
	f.rejected.Inc(ctx, f.stager.add(f.bundle, p))
	for _, r := range f.stager.poll() {
		emit(r)
	}
	return nil
}

// FinishBundle waits until everything that was added is durable.
func (f *stageFn) FinishBundle(_ context.Context, emit func(ChunkRef)) error {
	if f.bundle == nil {
		return nil
	}
	for _, r := range f.stager.finish(f.bundle) {
		emit(r)
	}
	f.cancel()
	f.bundle = nil
	return nil
}

// withDeadline is ctx until a deadline; the zero time is none.
func withDeadline(ctx context.Context, at time.Time) (context.Context, context.CancelFunc) {
	if at.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, at)
}

// lane is one pass over one partition of one unit.
type lane struct{ unit, partition, pass string }

func (c *chunk) lane() lane { return lane{c.ref.Unit, c.ref.Partition, c.ref.Pass} }

// stager turns pages into chunks and chunks into loads.
type stager struct {
	client  *bigquery.Client
	options Options
	check   checker
	keys    keys
	loads   *loads
	clock   func() time.Time

	began  time.Time
	staged int64
	open   map[lane]*chunk
	recent map[lane][]*chunk    // from the oldest on whose load has not ended
	ready  map[string]*batch    // unit -> closed chunks that wait for more
	stages map[string]time.Time // unit -> when its staging table was made
	broken map[string]bool      // units that have failed: their pages are dropped
	since  time.Time            // when the oldest page arrived that no load has taken
}

func newStager(c *bigquery.Client, o Options) *stager {
	s := &stager{
		client: c, options: o, check: newChecker(o), keys: newKeys(o), loads: newLoads(c, o), clock: time.Now,
		open: map[lane]*chunk{}, recent: map[lane][]*chunk{}, ready: map[string]*batch{}, stages: map[string]time.Time{}, broken: map[string]bool{},
	}
	s.began = s.clock()
	return s
}

// add puts a page into its chunk and returns how many of its rows are rejected.
func (s *stager) add(ctx context.Context, p row.Page) (rejected int64) {
	if s.broken[p.Unit] {
		return 0
	}
	u, known := s.options.unit(p.Unit)
	switch {
	case p.Failure != nil:
		// Other partitions of the unit go on: a resume adopts what they staged.
		s.report(p.Position, p.Failure)
		return 0
	case !known:
		s.fail(p.Position, &row.Failure{Code: CodeIncompleteChain, Message: fmt.Sprintf("a page belongs to unit %q, which the step does not have", p.Unit)})
		return 0
	}
	for _, r := range p.Rows {
		if len(r.Cells) != len(s.options.Table.Schema) {
			s.fail(p.Position, &row.Failure{Code: CodeSchemaMismatch, Message: fmt.Sprintf("a row has %d cells, its schema %d columns", len(r.Cells), len(s.options.Table.Schema))})
			return 0
		}
	}
	c := s.chunkFor(ctx, u, p.Position)
	rejected = s.fill(c, p)
	s.staged += int64(len(p.Rows) + len(p.Rejects))
	if p.Last || c.ref.RowsIn >= s.targetRows() || len(c.buf) >= chunkBytes {
		s.close(ctx, c)
		s.makeRoom(ctx, c.lane())
	}
	s.relieve(ctx)
	return rejected
}

// fail reports a failure that no further page of the unit can outlive.
func (s *stager) fail(p row.Position, why *row.Failure) {
	s.broken[p.Unit] = true
	s.report(p, why)
}

func (s *stager) report(p row.Position, why *row.Failure) {
	s.loads.ended = append(s.loads.ended, ChunkRef{Unit: p.Unit, Partition: p.Partition, Pass: p.Pass, Index: p.Index, First: p.First, Start: s.clock().UnixMicro(), Failure: why})
}

// chunkFor returns the open chunk that the page continues, or a new one.
func (s *stager) chunkFor(ctx context.Context, u row.Unit, p row.Position) *chunk {
	at := lane{p.Unit, p.Partition, p.Pass}
	c := s.open[at]
	if c != nil && (c.ref.Next != p.First || c.ref.Index+c.ref.Pages != p.Index) {
		s.close(ctx, c)
		c = nil
	}
	if c == nil {
		s.makeRoom(ctx, at)
		now := s.clock()
		if s.since.IsZero() {
			s.since = now
		}
		c = newChunk(u, p, s.loads.buffer(), now)
		s.open[at] = c
		s.recent[at] = append(s.recent[at], c)
	}
	return c
}

// makeRoom waits until a lane may begin another chunk. What a kill costs is every page
// behind the oldest chunk that is not durable: one slow load must not let later chunks
// run ahead of it without limit. A source stops meanwhile, as its pages are taken one by
// one.
func (s *stager) makeRoom(ctx context.Context, at lane) {
	for {
		chunks := s.recent[at]
		for len(chunks) > 0 && chunks[0].ended {
			chunks = chunks[1:]
		}
		s.recent[at] = chunks
		if len(chunks) < window {
			return
		}
		if b := s.ready[at.unit]; b != nil {
			s.send(ctx, b)
		}
		if !s.loads.wait() {
			return
		}
	}
}

func (s *stager) fill(c *chunk, p row.Page) (rejected int64) {
	before := c.ref.Rejected
	for i, r := range p.Rows {
		if code, reason := s.check.check(c.unit, r); code != "" {
			payload := s.options.Table.Schema.AppendJSON(nil, r)
			c.addReject(row.Reject{Code: code, Step: s.options.Step, Reason: reason, Payload: string(payload), Index: int64(i)}, p.Index)
			continue
		}
		c.addRow(s.options.Table.Schema, r, position{p.Index, int64(i), s.keys.rowID(c.unit, p, i)})
	}
	for _, r := range p.Rejects {
		c.addReject(r, p.Index)
	}
	c.ref.RowsIn += int64(len(p.Rows) + len(p.Rejects))
	c.ref.Pages++
	c.ref.Requests += p.Requests
	c.ref.Next, c.ref.Last = p.Next, p.Last
	return c.ref.Rejected - before
}

// close seals a chunk; it is loaded with others of its unit once they are worth a job.
func (s *stager) close(ctx context.Context, c *chunk) {
	delete(s.open, c.lane())
	c.seal()
	b := s.ready[c.unit.ID]
	if b == nil {
		b = &batch{unit: c.unit}
		s.ready[c.unit.ID] = b
	}
	b.add(c)
	if b.rows >= s.targetRows() || b.bytes >= chunkBytes {
		s.send(ctx, b)
	}
}

func (s *stager) send(ctx context.Context, b *batch) {
	delete(s.ready, b.unit.ID)
	made, ok := s.stages[b.unit.ID]
	if !ok {
		var err error
		if made, err = ensureStage(ctx, s.client, s.options, b.unit); err != nil {
			s.fail(row.Position{Unit: b.unit.ID}, failureOf(err))
			return
		}
		s.stages[b.unit.ID] = made
	}
	b.stage = made
	s.loads.start(ctx, b)
}

// relieve sends everything when it has waited long or takes much memory.
func (s *stager) relieve(ctx context.Context) {
	now := s.clock()
	old := chunkAge + now.Sub(s.began)/ageShare
	if s.since.IsZero() || now.Sub(s.since) < old && s.openBytes() < openBytes {
		return
	}
	s.flush(ctx)
}

func (s *stager) openBytes() int {
	n := 0
	for _, c := range s.open {
		n += len(c.buf)
	}
	return n
}

func (s *stager) flush(ctx context.Context) {
	for _, c := range s.open {
		s.close(ctx, c)
	}
	for _, b := range s.ready {
		s.send(ctx, b)
	}
	s.since = time.Time{}
}

func (s *stager) targetRows() int64 { return chunkRows + s.staged/growEvery }

// poll returns what has ended; a unit with a failed load needs no more of them.
func (s *stager) poll() []ChunkRef {
	refs := s.loads.poll()
	for _, r := range refs {
		if r.Failure != nil && r.ID != "" {
			s.broken[r.Unit] = true
		}
	}
	return refs
}

func (s *stager) finish(ctx context.Context) []ChunkRef {
	s.flush(ctx)
	return s.loads.drain()
}
