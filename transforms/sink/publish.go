package sink

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn6x1[context.Context, int, func(*[]byte) bool, func(*ChunkRef) bool, func(*StepResult) bool, func(StepResult), error](&publishFn{})
	register.Iter1[[]byte]()
	register.Iter1[ChunkRef]()
	register.Iter1[StepResult]()
	register.Emitter1[StepResult]()
}

// publishFn publishes the units of a step once everything that the step staged is
// known. It takes what is gathered, so that it runs exactly once also for no chunk at all.
type publishFn struct {
	Options Options

	client *bigquery.Client

	published, adopted, refetched beam.Counter
}

// Setup connects to the warehouse.
func (f *publishFn) Setup(ctx context.Context) (err error) {
	f.published = beam.NewCounter(f.Options.Step, "published")
	f.adopted = beam.NewCounter(f.Options.Step, "adopted")
	f.refetched = beam.NewCounter(f.Options.Step, "refetched")
	if f.client, err = client(ctx, f.Options.Table.Project); err != nil {
		return fmt.Errorf("publish of step %s: %w", f.Options.Step, err)
	}
	return nil
}

// ProcessElement emits the one result of the step. A failed step is a result, not an
// error: other steps of the job go on.
func (f *publishFn) ProcessElement(ctx context.Context, _ int, _ func(*[]byte) bool, chunks func(*ChunkRef) bool, gates func(*StepResult) bool, emit func(StepResult)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	p := publisher{client: f.client, options: f.Options, clock: time.Now}
	result := p.run(ctx, all(chunks), blockers(gates))
	f.published.Inc(ctx, result.Published)
	f.adopted.Inc(ctx, result.Counts.Adopted)
	f.refetched.Inc(ctx, result.Counts.Again)
	emit(result)
	return nil
}

func all[T any](next func(*T) bool) []T {
	var out []T
	var v T
	for next(&v) {
		out = append(out, v)
		v = *new(T)
	}
	return out
}

// blockers returns the steps whose failure keeps this one from taking effect.
func blockers(gates func(*StepResult) bool) []string {
	var out []string
	for _, g := range all(gates) {
		if g.Blocks() {
			out = append(out, g.Step)
		}
	}
	slices.Sort(out)
	return out
}

// publisher makes a StepResult out of what was staged.
type publisher struct {
	client  *bigquery.Client
	options Options
	clock   func() time.Time
	to      *destination // nil until the first unit needs it
	result  StepResult
}

func (p *publisher) run(ctx context.Context, refs []ChunkRef, blockedBy []string) StepResult {
	o := p.options
	p.result = StepResult{
		Step: o.Step, Type: o.StepType, Index: o.Index, State: StateCompleted,
		Table: o.Table.Dataset + "." + o.Table.Name, Continue: o.ContinueOnFailure, Start: p.clock().UTC(),
	}
	units := p.byUnit(refs)
	if len(blockedBy) > 0 {
		p.result.State, p.result.Code = StateSkipped, CodeDependencyFailed
		p.result.Error = "a step that this one depends on did not complete: " + strings.Join(blockedBy, ", ")
	}
	m, _ := o.mode()
	for i, u := range o.Units {
		if p.result.State == StateSkipped || p.result.Code == CodeTimeout {
			break
		}
		failure := p.unit(ctx, u, units[u.ID])
		if failure == nil {
			continue
		}
		p.fail(u, failure)
		// A unit that cannot be published holds back those after it only where they would
		// act on its rows.
		if later := len(o.Units) - i - 1; m.ordered && later > 0 {
			p.warn(fmt.Sprintf("%d later slices were not published: %s acts on the rows of earlier ones", later, o.WriteMode))
			break
		}
	}
	p.result.End = p.clock().UTC()
	return p.result
}

// byUnit sorts the chunks by unit and takes over what is known before publishing. A
// failure outside every unit fails the step.
func (p *publisher) byUnit(refs []ChunkRef) map[string][]ChunkRef {
	units := map[string][]ChunkRef{}
	for _, r := range refs {
		if at := time.UnixMicro(r.Start).UTC(); r.Start > 0 && at.Before(p.result.Start) {
			p.result.Start = at
		}
		p.job(r.JobID)
		if _, known := p.options.unit(r.Unit); known {
			units[r.Unit] = append(units[r.Unit], r)
			continue
		}
		for _, u := range p.options.Units {
			units[u.ID] = append(units[u.ID], r)
		}
	}
	return units
}

func (p *publisher) fail(u row.Unit, f *row.Failure) {
	message := fmt.Sprintf("%s (slice %s to %s exclusive)", f.Message, u.Start, u.End)
	if p.result.State == StateFailed {
		p.warn(f.Code + ": " + message)
		return
	}
	p.result.State, p.result.Code, p.result.Error = StateFailed, f.Code, message
}

func (p *publisher) job(id string) {
	if id != "" && !slices.Contains(p.result.JobIDs, id) {
		p.result.JobIDs = append(p.result.JobIDs, id)
	}
}

func (p *publisher) warn(text string) {
	if !slices.Contains(p.result.Warnings, text) {
		p.result.Warnings = append(p.result.Warnings, text)
	}
}

// totals are the counts of a unit's chosen chains.
func totals(chosen []ChunkRef) (sum ChunkRef) {
	for _, r := range chosen {
		sum.Requests += r.Requests
		sum.RowsIn += r.RowsIn
		sum.RowsOut += r.RowsOut
		sum.Rejected += r.Rejected
		sum.Billed += r.Billed
	}
	return sum
}

// pages counts where the pages of the chosen chains came from, and which of them were
// fetched although an earlier attempt had staged them.
func (p *publisher) pages(chosen, refs []ChunkRef) {
	for _, r := range chosen {
		if r.Adopted {
			p.result.Counts.Adopted += r.Pages
			continue
		}
		p.result.Counts.Pages += r.Pages
		staged := map[int64]bool{}
		for _, old := range refs {
			if old.Partition != r.Partition || !old.Adopted && !old.Spare {
				continue
			}
			for i := max(old.Index, r.Index); i < min(old.Index+old.Pages, r.Index+r.Pages); i++ {
				staged[i] = true
			}
		}
		p.result.Counts.Again += int64(len(staged))
	}
}

// unit publishes one unit, or says why not.
func (p *publisher) unit(ctx context.Context, u row.Unit, refs []ChunkRef) *row.Failure {
	for _, r := range refs {
		if r.Failure != nil {
			return r.Failure
		}
	}
	for _, r := range refs {
		if r.Landed != "" {
			p.landed(u, r.Landed)
			return nil
		}
	}
	chains := chooseChains(refs)
	if len(refs) == 0 || len(chains.broken) > 0 {
		return incomplete(chains.broken)
	}
	if sum := totals(chains.chosen); sum.RowsIn != sum.RowsOut+sum.Rejected {
		return &row.Failure{Code: CodeCountMismatch, Message: fmt.Sprintf("%d rows reached the sink, but %d were staged and %d rejected", sum.RowsIn, sum.RowsOut, sum.Rejected)}
	}
	publish := p.publishUnit
	if p.options.Delivery == Smart {
		publish = p.markLanded
	}
	if err := publish(ctx, u, chains.chosen, refs); err != nil {
		return failureOf(stageGone(u, err))
	}
	if slices.ContainsFunc(chains.chosen, func(r ChunkRef) bool { return r.Truncated }) {
		p.result.Code = cmp.Or(p.result.Code, CodeTruncated)
		p.warn(fmt.Sprintf("slice %s to %s (exclusive): the query returned as many rows as its LIMIT allows: there may be more", u.Start, u.End))
	}
	return nil
}

func incomplete(partitions []string) *row.Failure {
	return &row.Failure{Code: CodeIncompleteChain, Message: fmt.Sprintf("the pages of %d partitions do not reach their end: %s", len(partitions), strings.Join(partitions, ", "))}
}

// tally adds the counts of a unit's chosen chains to the result.
func (p *publisher) tally(chosen, refs []ChunkRef) {
	sum := totals(chosen)
	p.result.Counts.Rows += sum.RowsIn
	p.pages(chosen, refs)
	p.result.Counts.Requests += sum.Requests
	p.result.Counts.Rejected += sum.Rejected
	p.result.Counts.Billed += sum.Billed
	p.result.Staged += sum.RowsOut
}

func (p *publisher) publishUnit(ctx context.Context, u row.Unit, chosen, refs []ChunkRef) error {
	defer func() { p.tally(chosen, refs) }()
	before, err := fenceOff(ctx, p.client, p.options, u)
	if err != nil {
		return err
	}
	if before != nil && p.options.landsOnce() {
		p.landed(u, before.String())
		p.result.Existing += totals(chosen).RowsOut
		return nil
	}
	decided, err := p.decide(ctx, u, chosen, refs)
	if err != nil {
		return err
	}
	chosen = decided
	sum := totals(chosen)
	if err := p.options.tolerates(sum); err != nil {
		return err
	}
	if p.to == nil {
		d, err := p.options.prepare(ctx, p.client)
		if err != nil {
			return err
		}
		for _, w := range d.warnings {
			p.warn(w)
		}
		p.to = &d
	}
	m, _ := p.options.mode()
	unit := publication{options: p.options, mode: m, unit: u, chosen: chosen, to: *p.to}
	if m.ordered {
		if err := makeGuard(ctx, p.client, p.options.Table); err != nil {
			return err
		}
	}
	if m.match != nil {
		if unit.keys, err = p.keyFacts(ctx, unit); err != nil {
			return err
		}
	}
	s, err := m.plan(unit)
	if err != nil {
		return err
	}
	d, err := p.query(ctx, "pub_"+unitKey(u), contentHash(chosen), s)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", p.options.Table.Name, err)
	}
	return p.count(ctx, d, s, counting{staged: sum.RowsOut, content: contentHash(chosen), keys: unit.keys, mode: m})
}

// landed says that the rows of a unit are in the table already.
func (p *publisher) landed(u row.Unit, by string) {
	if p.result.Code == "" {
		p.result.Code = CodeAlreadyLanded
	}
	p.warn(fmt.Sprintf("slice %s to %s (exclusive) already landed by %s: append without key_fields adds a slice once", u.Start, u.End, by))
}

func contentHash(chosen []ChunkRef) string {
	ids := make([]string, len(chosen))
	for i, r := range chosen {
		ids[i] = r.ID
	}
	slices.Sort(ids)
	return hashHex(labelDigits, ids...)
}

// query runs a statement once under ids that begin with name.
func (p *publisher) query(ctx context.Context, name, content string, s statement) (done, error) {
	d, err := runQuery(ctx, p.client, p.options, queryJob{name: name, content: content, statement: s})
	if err != nil {
		return d, err
	}
	p.job(d.id)
	p.result.Counts.Billed += billed(d.status)
	return d, nil
}

// queryJob is a statement with the prefix of its job ids and a hash of what it reads.
type queryJob struct {
	name    string
	content string
	since   time.Time // when the table that it fills was made; zero: its effect lasts
	statement
}

func runQuery(ctx context.Context, c *bigquery.Client, o Options, j queryJob) (done, error) {
	return work{
		client: c, project: o.Table.Project, location: o.Table.Location, since: j.since, timeout: o.jobTimeout(),
		name: func(ordinal int) string { return j.name + "_" + strconv.Itoa(ordinal) },
		send: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			q := c.Query(j.text)
			q.JobIDConfig = id
			q.Parameters = j.params
			q.JobTimeout = o.jobTimeout()
			q.Labels = map[string]string{labelContent: j.content}
			if labelPattern.MatchString(o.RunID) {
				q.Labels[labelRun] = o.RunID
			}
			if j.to != nil {
				q.Dst, q.WriteDisposition, q.CreateDisposition = j.to, j.disposition, bigquery.CreateNever
				if j.anew != nil {
					md := j.anew.metadata(nil)
					q.CreateDisposition, q.TimePartitioning, q.Clustering = bigquery.CreateIfNeeded, md.TimePartitioning, md.Clustering
				}
			}
			return q.Run(ctx)
		},
	}.submit(ctx)
}

func billed(s *bigquery.JobStatus) int64 {
	if q, ok := s.Statistics.Details.(*bigquery.QueryStatistics); ok {
		return q.TotalBytesBilled
	}
	return 0
}
