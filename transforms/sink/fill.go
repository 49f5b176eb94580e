package sink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn5x1[context.Context, int, func(*[]byte) bool, func(*StepResult) bool, func(ChunkRef), error](&fillFn{})
}

// sqlPartition is the one partition that a query's rows form.
const sqlPartition = "sql"

// fillFn lets the warehouse compute the stage of each unit, once the steps that the
// query may read from have published.
type fillFn struct {
	Options Options
	Queries map[string]Query

	client         *bigquery.Client
	rows, rejected beam.Counter
}

// Setup connects to the warehouse.
func (f *fillFn) Setup(ctx context.Context) (err error) {
	f.rows = beam.NewCounter(f.Options.Step, "rows")
	f.rejected = beam.NewCounter(f.Options.Step, "rejected")
	if f.client, err = client(ctx, f.Options.Table.Project); err != nil {
		return fmt.Errorf("query of step %s: %w", f.Options.Step, err)
	}
	return nil
}

// ProcessElement emits one ChunkRef per unit, none if a gate did not complete.
func (f *fillFn) ProcessElement(ctx context.Context, _ int, _ func(*[]byte) bool, gates func(*StepResult) bool, emit func(ChunkRef)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	if len(blockers(gates)) > 0 {
		return nil
	}
	for _, u := range f.Options.Units {
		start := time.Now().UnixMicro()
		ref, err := fill(ctx, f.client, f.Options, u, f.Queries[u.ID])
		if err != nil {
			ref = ChunkRef{Failure: failureOf(stageGone(u, err))}
		}
		ref.Unit, ref.Partition, ref.Start = u.ID, sqlPartition, start
		f.rows.Inc(ctx, ref.RowsIn)
		f.rejected.Inc(ctx, ref.Rejected)
		emit(ref)
	}
	return nil
}

// fill runs the unit's query into its stage and reports it as one chunk.
func fill(ctx context.Context, c *bigquery.Client, o Options, u row.Unit, q Query) (ChunkRef, error) {
	made, err := ensureStage(ctx, c, o, u)
	if err != nil {
		return ChunkRef{}, err
	}
	s, id, err := fillStatement(o, u, q)
	if err != nil {
		return ChunkRef{}, err
	}
	d, err := runQuery(ctx, c, o, queryJob{name: "sql_" + unitKey(u), content: id, statement: s, since: made})
	if err != nil {
		return ChunkRef{}, fmt.Errorf("run the query of %s: %w", o.Table.Name, err)
	}
	ref := ChunkRef{ID: id, Pages: 1, Last: true, JobID: d.id, Billed: billed(d.status)}
	ref.RowsOut, ref.Rejected, err = countFilled(ctx, c, o, u, id)
	ref.RowsIn = ref.RowsOut + ref.Rejected
	ref.Truncated = q.Limit > 0 && ref.RowsIn == q.Limit
	return ref, err
}

func fillStatement(o Options, u row.Unit, q Query) (statement, string, error) {
	id := hashHex(idDigits, unitKey(u), "", sqlPartition, "", "")
	data := sqlData{
		Stage:   o.Table.path(stageName(u)),
		Columns: plainColumns(o.Table.Schema),
		Query:   strings.TrimRight(q.SQL, "; \t\r\n"),
	}
	for _, f := range o.Table.Schema {
		if f.Required {
			data.Required = append(data.Required, quoted(f.Name))
		}
	}
	params := []bigquery.QueryParameter{textParam("sink_chunk", id), textParam("sink_unit", u.ID), textParam("sink_step", o.Step)}
	for _, f := range matchKeys(o) {
		data.Keys = append(data.Keys, f.quoted(""))
	}
	data.NullKeys = o.keyed()
	if o.WriteMode == ModeReplacePartition {
		data.Field = quoted(o.replaceField())
		params = append(params, rangeParams(o, u, "sink_start", "sink_end")...)
		scope, scopeParams := scopeOf(o, "sink_scope_")
		data.Scope = scope
		params = append(params, scopeParams...)
	}
	for _, p := range q.Params {
		params = append(params, typedParam(p))
	}
	text, err := render(sqlFill, data)
	return statement{text: text, params: params}, id, err
}

// countFilled counts what the query staged: its job knows rows only, not rejects.
func countFilled(ctx context.Context, c *bigquery.Client, o Options, u row.Unit, id string) (rows, rejected int64, err error) {
	text, err := render(sqlFilled, sqlData{Stage: o.Table.path(stageName(u))})
	if err != nil {
		return 0, 0, err
	}
	q := c.Query(text)
	q.Location = o.Table.Location
	q.Parameters = []bigquery.QueryParameter{textParam("sink_chunk", id)}
	it, err := q.Read(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("count the staged rows of %s: %w", o.Table.Name, err)
	}
	var counts struct {
		RowsOut  int64 `bigquery:"rows_out"`
		Rejected int64 `bigquery:"rejected"`
	}
	if err := it.Next(&counts); err != nil {
		if errors.Is(err, iterator.Done) {
			err = errors.New("no row came back")
		}
		return 0, 0, fmt.Errorf("count the staged rows of %s: %w", o.Table.Name, err)
	}
	return counts.RowsOut, counts.Rejected, nil
}

// validateQueries checks that every unit has a query whose parameters can be told from
// those that this package adds.
func validateQueries(o Options, queries map[string]Query) error {
	var errs []error
	for _, u := range o.Units {
		q, ok := queries[u.ID]
		if !ok || strings.TrimSpace(q.SQL) == "" {
			errs = append(errs, fmt.Errorf("unit %s of %s has no query", u.ID, u.Start))
		}
		for _, p := range q.Params {
			if !paramPattern.MatchString(p.Name) || strings.HasPrefix(strings.ToLower(p.Name), "sink_") {
				errs = append(errs, fmt.Errorf("query parameter %q: names are identifiers that do not begin with sink_", p.Name))
			}
			if fieldTypes[p.Type] == "" {
				errs = append(errs, fmt.Errorf("query parameter %q has type %s, which no parameter can have", p.Name, p.Type))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("step %s: %w", o.Step, err)
	}
	return nil
}
