package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn3x1[context.Context, row.Page, func(ChunkRef), error](&smartFn{})
	register.Function3x0(hold)
}

// How rows reach the table.
const (
	ExactlyOnce = "exactly_once" // staged, published by one job for each unit; the default
	Smart       = "smart"        // straight into the table while they arrive
)

const (
	smartBatch  = 1000 // rows, where the options do not say
	streamBelow = 100  // rows: fewer are worth no load job

	smartPromise = "delivery smart writes straight into the table: rows arrive at least once when a step is repeated later than the minute in which BigQuery knows an insertId, and they stay when the step fails"
)

// writeSmart is Write with smart delivery. Nothing is staged: a repeated step fetches
// everything again.
func writeSmart(s beam.Scope, in Input, o Options) beam.PCollection {
	stage := s.Scope("Stage")
	gate := gateOf(s, in.Gates)
	pages := in.Pages
	if len(in.Gates) > 0 { // what is written stays, so rows wait here
		pages = beam.ParDo(stage, hold, pages, beam.SideInput{Input: gate})
	}
	chunks := beam.ParDo(stage, &smartFn{Options: o}, pages)
	if in.Adopted.IsValid() {
		chunks = beam.Flatten(stage, chunks, in.Adopted)
	}
	return publish(s, chunks, gate, o)
}

func (o Options) checkSmart() error {
	switch {
	case o.Delivery == "" || o.Delivery == ExactlyOnce:
		return nil
	case o.Delivery != Smart:
		return fmt.Errorf("delivery %q is not supported: use %s or %s", o.Delivery, ExactlyOnce, Smart)
	case o.WriteMode != ModeAppend:
		return fmt.Errorf("delivery smart only adds rows: write_mode is %s, use %s", o.WriteMode, ModeAppend)
	}
	return nil
}

// smartBatchOf is consecutive pages of one partition on their way into the table. Its
// bounds depend on the pages alone, so that a repeated step makes the same batches.
type smartBatchOf struct {
	ref     ChunkRef
	rows    []smartRow
	rejects []row.Reject
}

// smartRow is a row as the warehouse takes it; it implements bigquery.ValueSaver.
type smartRow struct {
	id    string
	cells map[string]bigquery.Value
	text  string // without the columns that differ between runs
}

// Save returns the row with the insertId by which the service drops a repetition.
func (r smartRow) Save() (map[string]bigquery.Value, string, error) { return r.cells, r.id, nil }

// smartFn writes pages straight into the table and emits a ChunkRef for each batch.
type smartFn struct {
	Options Options

	client   *bigquery.Client
	check    checker
	keys     keys
	batches  map[lane]*smartBatchOf
	landed   map[string]string // unit -> who landed it, "" for nobody
	table    *bigquery.Table
	rows     beam.Counter
	rejected beam.Counter
}

// Setup connects to the warehouse.
func (f *smartFn) Setup(ctx context.Context) (err error) {
	f.check, f.keys = newChecker(f.Options), newKeys(f.Options)
	f.batches, f.landed = map[lane]*smartBatchOf{}, map[string]string{}
	f.rows, f.rejected = beam.NewCounter(f.Options.Step, "rows"), beam.NewCounter(f.Options.Step, "rejected")
	if f.client, err = client(ctx, f.Options.Table.Project); err != nil {
		return fmt.Errorf("writing of step %s: %w", f.Options.Step, err)
	}
	return nil
}

// hold keeps pages back until the steps before have ended, and drops them if one of
// those did not complete.
func hold(p row.Page, gates func(*StepResult) bool, emit func(row.Page)) {
	if len(blockers(gates)) == 0 {
		emit(p)
	}
}

// ProcessElement adds a page to its batch.
func (f *smartFn) ProcessElement(ctx context.Context, p row.Page, emit func(ChunkRef)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	f.rows.Inc(ctx, int64(len(p.Rows)+len(p.Rejects)))
	u, problem := f.Options.placed(p)
	if problem != nil {
		emit(ChunkRef{Unit: p.Unit, Partition: p.Partition, Pass: p.Pass, Index: p.Index, Start: time.Now().UnixMicro(), Failure: problem})
		return nil
	}
	by, err := f.landedBy(ctx, u)
	if err != nil || by != "" {
		ref := ChunkRef{Unit: p.Unit, Partition: p.Partition, Landed: by}
		if err != nil {
			ref.Failure = failureOf(err)
		}
		emit(ref)
		return nil
	}
	at := lane{p.Unit, p.Partition, p.Pass}
	b := f.batches[at]
	if b == nil {
		b = &smartBatchOf{ref: newRef(p.Position, time.Now())}
		f.batches[at] = b
	}
	f.fill(b, u, p)
	if p.Last || len(b.rows) >= f.Options.batchSize() {
		f.flush(ctx, at, emit)
	}
	return nil
}

// FinishBundle writes what is left.
func (f *smartFn) FinishBundle(ctx context.Context, emit func(ChunkRef)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	for at := range f.batches {
		f.flush(ctx, at, emit)
	}
	return nil
}

// placed returns the unit of a page, or why the page cannot be written.
func (o Options) placed(p row.Page) (row.Unit, *row.Failure) {
	u, known := o.unit(p.Unit)
	switch {
	case p.Failure != nil:
		return u, p.Failure
	case !known:
		return u, &row.Failure{Code: CodeIncompleteChain, Message: fmt.Sprintf("a page belongs to unit %q, which the step does not have", p.Unit)}
	}
	for _, r := range p.Rows {
		if len(r.Cells) != len(o.Table.Schema) {
			return u, &row.Failure{Code: CodeSchemaMismatch, Message: fmt.Sprintf("a row has %d cells, its schema %d columns", len(r.Cells), len(o.Table.Schema))}
		}
	}
	return u, nil
}

func newRef(p row.Position, now time.Time) ChunkRef {
	return ChunkRef{Unit: p.Unit, Partition: p.Partition, Pass: p.Pass, First: p.First, Index: p.Index, Start: now.UnixMicro()}
}

func (o Options) batchSize() int {
	if o.BatchSize > 0 {
		return o.BatchSize
	}
	return smartBatch
}

// landedBy asks once for each unit whether it was written to its end before.
func (f *smartFn) landedBy(ctx context.Context, u row.Unit) (string, error) {
	if by, known := f.landed[u.ID]; known {
		return by, nil
	}
	next := u
	next.Generation++
	before, err := landedBefore(ctx, f.client, f.Options, next)
	if err != nil {
		return "", fmt.Errorf("look for an earlier publish: %w", err)
	}
	by := ""
	if before != nil {
		by = before.String()
	}
	f.landed[u.ID] = by
	return by, nil
}

func (f *smartFn) fill(b *smartBatchOf, u row.Unit, p row.Page) {
	schema := f.Options.Table.Schema
	for i, r := range p.Rows {
		text := string(schema.AppendJSON(nil, r))
		if code, reason := f.check.check(u, r); code != "" {
			b.rejects = append(b.rejects, row.Reject{Code: code, Step: f.Options.Step, Reason: reason, Payload: text, Index: int64(i)})
			continue
		}
		id := f.keys.rowID(u, p, i)
		cells := map[string]bigquery.Value{columnRunID: f.Options.RunID, columnRowID: id}
		for at, c := range r.Cells {
			cells[schema[at].Name] = streamed(c)
		}
		b.rows = append(b.rows, smartRow{id, cells, text})
	}
	b.rejects = append(b.rejects, p.Rejects...)
	r := &b.ref
	r.RowsIn += int64(len(p.Rows) + len(p.Rejects))
	r.Pages++
	r.Requests += p.Requests
	r.Next, r.Last = p.Next, p.Last
}

// streamed is a cell as tabledata.insertAll takes it.
func streamed(c row.Cell) bigquery.Value {
	if c.IsNull() {
		return nil
	}
	if v, ok := c.AsBool(); ok {
		return v
	}
	return c.Text()
}

func (f *smartFn) flush(ctx context.Context, at lane, emit func(ChunkRef)) {
	b := f.batches[at]
	delete(f.batches, at)
	u, _ := f.Options.unit(b.ref.Unit)
	b.ref.ID = b.hash(u)
	if err := f.write(ctx, u, b); err != nil {
		b.ref.Failure = failureOf(fmt.Errorf("write to %s: %w", f.Options.Table.Name, err))
	}
	f.rejected.Inc(ctx, b.ref.Rejected)
	emit(b.ref)
}

func (b *smartBatchOf) hash(u row.Unit) string {
	parts := []string{unitKey(u), b.ref.Pass, b.ref.Partition, b.ref.First}
	for _, r := range b.rows {
		parts = append(parts, r.id, r.text)
	}
	return hashHex(idDigits, parts...)
}

// write makes the batch take effect; rows that the table refuses become rejects.
func (f *smartFn) write(ctx context.Context, u row.Unit, b *smartBatchOf) error {
	if f.table == nil {
		d, err := ensureTable(ctx, f.client, f.Options.Table, added)
		if err != nil {
			return err
		}
		f.table = d.table
	}
	var err error
	if len(b.rows) < streamBelow {
		err = f.stream(ctx, b)
	} else {
		err = f.load(ctx, b)
	}
	if err != nil {
		return err
	}
	b.ref.RowsOut, b.ref.Rejected = int64(len(b.rows)), int64(len(b.rejects))
	return buryDirectly(ctx, f.client, f.Options, unitKey(u)+"/"+b.ref.ID, b.rejects, time.Now())
}

func (f *smartFn) load(ctx context.Context, b *smartBatchOf) error {
	var lines []byte
	for _, r := range b.rows {
		lines = append(lines, `{"`+columnRunID+`":`...)
		lines = appendText(lines, f.Options.RunID)
		lines = append(lines, `,"`+columnRowID+`":"`+r.id+`"`...)
		if len(r.text) > len("{}") {
			lines = append(lines, ',')
		}
		lines = append(lines, r.text[1:]...)
		lines = append(lines, '\n')
	}
	d, err := loadLines(ctx, f.client, f.Options, f.table, "load_"+b.ref.ID, lines)
	b.ref.JobID = d.id
	return err
}

// stream inserts the rows. One bad row makes the service stop all of a request: the bad
// ones become rejects, the others are sent once more.
func (f *smartFn) stream(ctx context.Context, b *smartBatchOf) error {
	for again := range 2 {
		if len(b.rows) == 0 {
			return nil
		}
		bad, err := f.put(ctx, b.rows)
		if err != nil {
			return err
		}
		if len(bad) == 0 {
			return nil
		}
		if again > 0 {
			return fmt.Errorf("%d rows were refused after the bad ones had been left out: %s", len(bad), first(bad))
		}
		kept := b.rows[:0]
		for i, r := range b.rows {
			if reason, isBad := bad[i]; isBad {
				b.rejects = append(b.rejects, row.Reject{Code: RejectRefused, Step: f.Options.Step, Reason: reason, Payload: r.text, Index: int64(i)})
				continue
			}
			kept = append(kept, r)
		}
		b.rows = kept
	}
	return nil
}

func first(reasons map[int]string) (reason string) {
	for _, reason = range reasons {
		break
	}
	return reason
}

// put sends rows until an answer comes, and returns why which of them are bad.
func (f *smartFn) put(ctx context.Context, rows []smartRow) (map[int]string, error) {
	savers := make([]bigquery.ValueSaver, len(rows))
	for i, r := range rows {
		savers[i] = r
	}
	pauses := newPauses(ctx)
	for {
		// The client repeats a request for ever; each of its own goes on no longer than this.
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		err := f.table.Inserter().Put(limited, savers)
		cancel()
		if refused := (bigquery.PutMultiError{}); errors.As(err, &refused) {
			return badRows(refused), nil
		}
		if err == nil {
			return nil, nil
		}
		if ctx.Err() != nil || !isUncertain(err) && !hasStatus(err, http.StatusNotFound) {
			return nil, err
		}
		if err := pauses.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// badRows leaves out the rows that were stopped because of others.
func badRows(refused bigquery.PutMultiError) map[int]string {
	bad := map[int]string{}
	for _, r := range refused {
		for _, err := range r.Errors {
			var cause *bigquery.Error
			if errors.As(err, &cause) && cause.Reason == "stopped" {
				continue
			}
			bad[r.RowIndex] = err.Error()
		}
	}
	return bad
}

// markLanded ends a unit that was written directly: a job under the unit's publish id
// says to later runs that it has landed.
func (p *publisher) markLanded(ctx context.Context, u row.Unit, chosen, refs []ChunkRef) error {
	p.warn(smartPromise)
	defer p.tally(chosen, refs)
	sum := totals(chosen)
	p.result.Inserted += sum.RowsOut
	p.result.Published += sum.RowsOut
	if err := p.options.tolerates(sum); err != nil {
		return err
	}
	text, err := render(sqlDecide, sqlData{})
	if err != nil {
		return err
	}
	s := statement{text: text, params: []bigquery.QueryParameter{chunksParam(chosen)}}
	if _, err := p.query(ctx, "pub_"+unitKey(u), contentHash(chosen), s); err != nil {
		return fmt.Errorf("record that %s has landed: %w", p.options.Table.Name, err)
	}
	return nil
}
