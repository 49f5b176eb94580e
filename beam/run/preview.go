package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/transforms/infer"
	"github.com/cloudact/convergence/transforms/row"
)

// Rows are the first rows of a step.
type Rows struct {
	Schema   row.Schema
	Rows     []row.Row
	Rejects  []row.Reject // of the pages that were looked at
	Declare  row.Schema   // the columns to declare, where rows are flattened without a schema; else nil
	Complete bool         // the step has no more rows
}

const rawColumn = "raw_data"

// Preview fetches the first rows of a step and writes nothing. Call it once a process:
// Beam's state is global. It runs here, bundle by bundle, so that it stops with the page
// that has the last row asked for.
func Preview(ctx context.Context, spec runfolder.Spec, catalog *configs.Catalog, step string, limit int) (Rows, error) {
	p, err := PlanPreview(ctx, spec, catalog, "")
	if err != nil {
		return Rows{}, err
	}
	planned, ok := stepOf(p, step)
	if !ok {
		return Rows{}, fmt.Errorf("there is no step %q", step)
	}
	raw := planned.Inferred()
	if raw {
		if p, err = PlanPreview(ctx, spec, catalog, step); err != nil {
			return Rows{}, err
		}
		planned, _ = stepOf(p, step)
	}
	out := Rows{Schema: planned.Schema.Fields, Complete: true}
	pipeline, err := compile.Preview(p, step, compile.Options{Now: spec.Now, Deadline: spec.Deadline})
	if err != nil {
		return Rows{}, err
	}
	var failure *row.Failure
	compile.UsePreview(func(page row.Page) error {
		if page.Failure != nil {
			failure = page.Failure
			return compile.ErrEnough
		}
		out.Rejects = append(out.Rejects, page.Rejects...)
		out.Rows = append(out.Rows, page.Rows...)
		if len(out.Rows) < limit {
			return nil
		}
		out.Complete = page.Last && len(out.Rows) == limit
		out.Rows = out.Rows[:limit]
		return compile.ErrEnough
	})
	defer compile.UsePreview(nil)
	_, err = beam.Run(ctx, Direct, pipeline)
	switch {
	case failure != nil:
		return out, fmt.Errorf("step %s: %s: %s", step, failure.Code, failure.Message)
	case err != nil && len(out.Rows) < limit && !errors.Is(err, compile.ErrEnough):
		return out, fmt.Errorf("step %s: %w", step, err)
	case raw:
		return out, out.infer()
	}
	return out, nil
}

// PlanPreview plans the document of a spec for a look at its rows: steps that flatten
// records without a schema are planned, too. The records of the step raw stay as they were
// sent; "" is none.
func PlanPreview(ctx context.Context, spec runfolder.Spec, catalog *configs.Catalog, raw string) (*plan.Plan, error) {
	r := request(spec)
	r.Preview, r.RawStep = true, raw
	return planner(catalog).Plan(ctx, r)
}

// infer finds the columns of the records that were sent.
func (r *Rows) infer() error {
	at := r.Schema.Index(rawColumn)
	if at < 0 {
		return nil
	}
	var columns infer.Columns
	for _, one := range r.Rows {
		text, _ := one.Cells[at].AsText()
		if err := columns.Add(text); err != nil {
			return err
		}
	}
	r.Declare = columns.Schema()
	return nil
}

func stepOf(p *plan.Plan, id string) (*plan.Step, bool) {
	for _, s := range p.Steps {
		if s.ID == id {
			return s, true
		}
	}
	return nil, false
}
