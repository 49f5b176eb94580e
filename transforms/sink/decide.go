package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

// decide settles which chunks the generation publishes and writes their rejected rows to
// the dead-letter table, in one job. The job is sent also when nothing was rejected: two
// processes of one generation may know different chains, and if each chose for itself,
// the dead letters could be those of one chain and the rows those of another. Whoever
// comes second takes over the chunks that the job names.
func (p *publisher) decide(ctx context.Context, u row.Unit, chosen, refs []ChunkRef) ([]ChunkRef, error) {
	s, err := p.decision(ctx, u, chosen)
	if err != nil {
		return nil, err
	}
	d, err := p.query(ctx, "dlq_"+unitKey(u), contentHash(chosen), s)
	if err != nil {
		return nil, fmt.Errorf("write rejected rows to %s: %w", p.options.DeadLetters.Name, err)
	}
	if !d.attached || d.content == contentHash(chosen) {
		return chosen, nil
	}
	ids, err := chunksOf(d.job)
	if err != nil {
		return nil, err
	}
	p.warn(fmt.Sprintf("job %s of an earlier attempt had already chosen the chunks of this generation", d.id))
	return p.find(ctx, u, ids, refs)
}

// decision is the job's statement; without rejected rows it reads nothing.
func (p *publisher) decision(ctx context.Context, u row.Unit, chosen []ChunkRef) (statement, error) {
	if totals(chosen).Rejected == 0 {
		text, err := render(sqlDecide, sqlData{})
		return statement{text: text, params: []bigquery.QueryParameter{chunksParam(chosen)}}, err
	}
	o, t := p.options, p.options.deadLetters()
	if _, err := ensureTable(ctx, p.client, t, nil); err != nil {
		return statement{}, err
	}
	text, err := render(sqlDeadLetters, sqlData{Table: t.path(t.Name), Stage: o.Table.path(stageName(u))})
	params := append(wholeParams(chosen), textParam("org", o.Org), textParam("source_table", o.Table.Name),
		textParam("pipeline", o.Pipeline), textParam("step", o.Step), textParam("run_id", o.RunID))
	return statement{text: text, params: params}, err
}

// chunksOf reads the ids of the chunks that a deciding job names.
func chunksOf(job *bigquery.Job) ([]string, error) {
	config, err := job.Config()
	if err != nil {
		return nil, fmt.Errorf("read what job %s has chosen: %w", job.ID(), err)
	}
	q, ok := config.(*bigquery.QueryConfig)
	if !ok {
		return nil, fmt.Errorf("job %s is no query and names no chunks", job.ID())
	}
	for _, p := range q.Parameters {
		values, ok := p.Value.([]any)
		if p.Name != "chunks" || !ok {
			continue
		}
		ids := make([]string, len(values))
		for i, v := range values {
			switch v := v.(type) {
			case string:
				ids[i] = v
			case bigquery.NullString:
				ids[i] = v.StringVal
			}
		}
		return ids, nil
	}
	return nil, fmt.Errorf("job %s names no chunks", job.ID())
}

// find returns the references of chunks that another process chose, from what is known
// and from the stage itself.
func (p *publisher) find(ctx context.Context, u row.Unit, ids []string, refs []ChunkRef) ([]ChunkRef, error) {
	staged, err := stagedChunks(ctx, p.client, p.options, u)
	if err != nil {
		return nil, err
	}
	known := map[string]ChunkRef{}
	for _, r := range slices.Concat(staged, refs) {
		known[r.ID] = r
	}
	out := make([]ChunkRef, 0, len(ids))
	for _, id := range ids {
		r, ok := known[id]
		if !ok {
			return nil, coded{CodeStageMissing, fmt.Errorf("staging table %s does not hold chunk %s, which an earlier attempt chose", stageName(u), id)}
		}
		r.Spare = false
		out = append(out, r)
	}
	return out, nil
}

// tolerates refuses more rejected rows than the step allows.
func (o Options) tolerates(sum ChunkRef) error {
	most, limit := float64(o.MaxRejectedRows), fmt.Sprintf("%d", o.MaxRejectedRows)
	if o.MaxRejected > 0 {
		most, limit = o.MaxRejected*float64(sum.RowsIn), fmt.Sprintf("%v %%", o.MaxRejected*100)
	}
	if float64(sum.Rejected) <= most {
		return nil
	}
	return coded{CodeTooManyRejects, fmt.Errorf("%d of %d rows were rejected, at most %s may be: see %s", sum.Rejected, sum.RowsIn, limit, o.DeadLetters.Name)}
}

// stageGone gives the failure of a unit whose staging table is missing, or is another one
// than its chunks were loaded into, the code that makes the launcher open the next
// generation. The table is never made again within a generation: a publisher that was
// paused meanwhile would not know.
func stageGone(u row.Unit, err error) error {
	text := err.Error()
	missing := strings.Contains(text, stageName(u)) &&
		(hasStatus(err, http.StatusNotFound) || slices.Contains(reasons(err), "notFound") || strings.Contains(text, "Not found: Table"))
	var c coded
	if !missing && !strings.Contains(text, stageNotWhole) || errors.As(err, &c) {
		return err
	}
	return coded{CodeStageMissing, err}
}
