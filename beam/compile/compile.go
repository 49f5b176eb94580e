// Package compile turns a plan into a Beam pipeline: one scope per step, named by its
// step id, with the parts Fetch, Decode, the processors' own, Stage and Publish. Names
// are stable across releases, because consoles and metrics show them.
//
// It knows plans and transforms. It must not know YAML, runners, or who runs the job;
// nothing secret ever reaches it.
package compile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// Options are what a run adds to a plan.
type Options struct {
	Generations map[string]int      // unit id -> generation; a unit that is absent gets 1
	Deadline    time.Time           // of the run; zero = none
	Now         time.Time           // start of the run
	Shards      int                 // how many ways sources are split; 0 = 1
	DeadLetters configs.TableSchema // of the table for rejected rows
}

// DeadLetterTable is the name of the table for rejected rows in an org's dataset.
const DeadLetterTable = "pipeline_dlq"

// Pipeline builds the Beam graph of a plan. Call beam.Init first.
func Pipeline(p *plan.Plan, o Options) (*beam.Pipeline, error) {
	if o.Shards <= 0 {
		o.Shards = 1
	}
	pipeline, root := beam.NewPipelineWithRoot()
	c := &compiler{plan: p, options: o, root: root, pages: map[string]beam.PCollection{}, resumed: map[string]resumed{}, results: map[string]beam.PCollection{}, steps: map[string]*plan.Step{}}
	for _, step := range p.Steps {
		c.steps[step.ID] = step
		if err := c.step(step); err != nil {
			return nil, err
		}
	}
	c.report()
	return pipeline, nil
}

type compiler struct {
	plan    *plan.Plan
	options Options
	root    beam.Scope
	steps   map[string]*plan.Step
	pages   map[string]beam.PCollection // of row.Page, by step
	resumed map[string]resumed          // by step that may go on where an earlier attempt ended
	results map[string]beam.PCollection // of sink.StepResult, by step
}

// resumed is what an earlier attempt at a step staged.
type resumed struct {
	scope   beam.Scope
	chunks  beam.PCollection // of sink.ChunkRef
	options sink.Options
}

func (c *compiler) step(step *plan.Step) error {
	s := c.root.Scope(step.ID)
	if step.Skip {
		c.results[step.ID] = skip(s, sink.StepResult{Step: step.ID, Type: step.Type, Index: step.Index, State: sink.StateSkipped, Code: "DISABLED", Continue: true})
		return nil
	}
	processor, ok := registry.Lookup(step.Type)
	if !ok {
		return fmt.Errorf("step %s: processor %s is not part of this binary", step.ID, step.Type)
	}
	var result beam.PCollection
	var err error
	switch processor.Kind {
	case registry.Source:
		result, err = c.source(s, step, processor)
	case registry.Process:
		result, err = c.process(s, step, processor)
	case registry.Query:
		result, err = c.query(s, step)
	default:
		err = fmt.Errorf("step %s: processor %s is of unknown kind %q", step.ID, step.Type, processor.Kind)
	}
	c.results[step.ID] = result
	return err
}

func (c *compiler) source(s beam.Scope, step *plan.Step, p *registry.Processor) (beam.PCollection, error) {
	o := c.sinkOptions(step)
	b := c.build(step, nil)
	if step.Destination.Path != "" { // files are written from the start
		pages, err := p.Build(s, beam.PCollection{}, b)
		if err != nil {
			return beam.PCollection{}, err
		}
		return sink.Write(s, sink.Input{Pages: pages, Gates: c.gates(step)}, o)
	}
	adopted, err := sink.Adopt(s, o)
	if err != nil {
		return beam.PCollection{}, err
	}
	b.Step.Starts = sink.Starts(s, adopted)
	pages, err := p.Build(s, beam.PCollection{}, b)
	if err != nil {
		return beam.PCollection{}, err
	}
	c.pages[step.ID], c.resumed[step.ID] = pages, resumed{s, adopted, o}
	return sink.Write(s, sink.Input{Pages: pages, Adopted: adopted, Gates: c.gates(step)}, o)
}

// edge holds all pages of a step: those that it fetches, and those that an earlier
// attempt staged and that it does not fetch again.
func (c *compiler) edge(step *plan.Step) (beam.PCollection, bool) {
	pages, ok := c.pages[step.ID]
	if r, fetched := c.resumed[step.ID]; ok && fetched {
		pages = beam.Flatten(r.scope, pages, sink.Reread(r.scope, r.chunks, r.options))
		c.pages[step.ID] = pages
		delete(c.resumed, step.ID)
	}
	return pages, ok
}

// process fuses a row-wise step to its writer's edge. Pages keep the writer's position,
// so they are rebased to the units of this step before they are staged.
func (c *compiler) process(s beam.Scope, step *plan.Step, p *registry.Processor) (beam.PCollection, error) {
	if len(step.Inputs) != 1 {
		return beam.PCollection{}, fmt.Errorf("step %s: a %s step takes the rows of one step, not of %d", step.ID, step.Type, len(step.Inputs))
	}
	writer := c.steps[step.Inputs[0]]
	in, ok := c.edge(writer)
	if !ok {
		return beam.PCollection{}, fmt.Errorf("step %s: its input %s has no rows on an edge", step.ID, step.Inputs[0])
	}
	pages, err := p.Build(s, in, c.build(step, writer.Schema.Fields))
	if err != nil {
		return beam.PCollection{}, err
	}
	rebased, err := rebase(s, pages, writer.Units, step.Units)
	if err != nil {
		return beam.PCollection{}, fmt.Errorf("step %s: %w", step.ID, err)
	}
	c.pages[step.ID] = rebased
	o := c.sinkOptions(step)
	return sink.Write(s, sink.Input{Pages: rebased, Gates: c.gates(step)}, o)
}

func (c *compiler) query(s beam.Scope, step *plan.Step) (beam.PCollection, error) {
	queries := make(map[string]sink.Query, len(step.Units))
	for _, u := range step.Units {
		if u.Statement == nil {
			return beam.PCollection{}, fmt.Errorf("step %s: unit %s has no statement", step.ID, u.ID)
		}
		q := sink.Query{SQL: u.Statement.SQL, Limit: u.Limit}
		for _, param := range u.Statement.Params {
			q.Params = append(q.Params, sink.Param{Name: param.Name, Type: param.Type, Value: param.Value})
		}
		queries[u.ID] = q
	}
	o := c.sinkOptions(step)
	return sink.WriteQuery(s, c.gates(step), queries, o)
}

// gates are the outcomes that a step's publish waits for. Rows are never gated.
func (c *compiler) gates(step *plan.Step) []beam.PCollection {
	var gates []beam.PCollection
	for _, id := range step.DependsOn {
		if result, ok := c.results[id]; ok {
			gates = append(gates, result)
		}
	}
	return gates
}

func (c *compiler) build(step *plan.Step, input row.Schema) registry.Build {
	b := registry.Build{
		Step: registry.Step[any]{
			ID: step.ID, Org: c.plan.Org, Provider: step.Provider, RunID: c.plan.RunID, Schema: step.Schema.Fields, Input: input,
			Config: step.Config, Now: c.options.Now.UnixMicro(), Shards: c.options.Shards,
		},
		Units: c.units(step),
	}
	for _, u := range step.Units {
		b.UnitConfigs = append(b.UnitConfigs, u.Config)
	}
	return b
}

func (c *compiler) units(step *plan.Step) []row.Unit {
	units := make([]row.Unit, len(step.Units))
	for i, u := range step.Units {
		generation := c.options.Generations[u.ID]
		units[i] = row.Unit{ID: u.ID, Generation: max(generation, 1), Start: u.Start, End: u.End}
	}
	return units
}

func (c *compiler) sinkOptions(step *plan.Step) sink.Options {
	d := step.Destination
	table := sink.Table{
		Project: c.plan.Project, Dataset: c.plan.Dataset, Location: c.plan.Location, Name: d.Table,
		Schema: step.Schema.Fields, Description: step.Schema.Description, Clustering: d.Clustering,
		TimePartitioning: partitioning(d.TimePartitioning),
	}
	dlq := c.options.DeadLetters
	return sink.Options{
		Step: step.ID, StepType: step.Type, Index: step.Index, Org: c.plan.Org, Pipeline: c.plan.Pipeline, RunID: c.plan.RunID,
		Table: table, WriteMode: d.WriteMode, KeyFields: d.KeyFields, ReplaceField: d.ReplaceField, ReplaceScope: d.ReplaceScope,
		File: sink.File{Path: d.Path, Format: d.Format}, Delivery: d.Delivery, BatchSize: d.BatchSize, Recreate: d.Recreate,
		MaxRejected: d.MaxRejected.Share, MaxRejectedRows: d.MaxRejected.Rows,
		DeadLetters: sink.Table{
			Project: c.plan.Project, Dataset: c.plan.Dataset, Location: c.plan.Location, Name: DeadLetterTable,
			Schema: dlq.Fields, Description: dlq.Description, Clustering: dlq.Clustering, TimePartitioning: partitioning(dlq.TimePartitioning),
		},
		Units: c.units(step), Deadline: c.deadline(step), ContinueOnFailure: step.OnFailure == "continue" || step.OnFailure == "alert",
	}
}

// deadline is when a step must have ended. A step's own timeout counts from the end of
// those that it depends on, at the latest that their timeouts allow: a step that had to
// wait is never late for that. The run's deadline holds for every step.
func (c *compiler) deadline(step *plan.Step) time.Time {
	budget, limited := c.budget(step)
	if !limited {
		return c.options.Deadline
	}
	own := c.options.Now.Add(budget)
	if c.options.Deadline.IsZero() || own.Before(c.options.Deadline) {
		return own
	}
	return c.options.Deadline
}

// budget is how long after the start of the run a step may end; false: as long as the
// run. Steps come in an order in which each follows those that it depends on.
func (c *compiler) budget(step *plan.Step) (time.Duration, bool) {
	if step.Skip {
		return 0, true
	}
	if step.Timeout <= 0 {
		return 0, false
	}
	var waits time.Duration
	for _, id := range step.DependsOn {
		before, ok := c.steps[id]
		if !ok {
			continue
		}
		wait, limited := c.budget(before)
		if !limited {
			return 0, false
		}
		waits = max(waits, wait)
	}
	return waits + step.Timeout, true
}

func partitioning(p *configs.TimePartitioning) *sink.Partitioning {
	if p == nil {
		return nil
	}
	return &sink.Partitioning{Type: p.Type, Field: p.Field}
}

// report hands every outcome to the process that runs the job.
func (c *compiler) report() {
	s := c.root.Scope("Report")
	var all []beam.PCollection
	for _, id := range slices.Sorted(maps.Keys(c.results)) {
		all = append(all, c.results[id])
	}
	if len(all) > 0 {
		beam.ParDo0(s, &reportFn{}, beam.Flatten(s, all...))
	}
}
