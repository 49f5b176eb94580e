package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
)

// catalogueOf shows the pipeline language to the API: it implements api.Catalogue and
// api.Documents.
type catalogueOf struct {
	env      wiring.Environment
	planner  *planner
	bigquery *bigquery.Client
	now      func() time.Time
	log      *slog.Logger

	mu      sync.Mutex
	entries map[string]entry // by organisation and pipeline
	beam    sync.Mutex       // its state is global
}

// entry is what a document came to, as long as its text stays as it is.
type entry struct {
	text     string
	lookback int
	api.Pipeline
}

// Pipelines implements api.Catalogue. Planning all pipelines takes a moment, so that only
// those are planned whose document has changed.
func (c *catalogueOf) Pipelines(ctx context.Context, org string) ([]api.Pipeline, error) {
	seen := c.planner.seenBy(org)
	var all []api.Pipeline
	for _, id := range seen.List() {
		if file, ok := seen.ByPath(id); ok {
			all = append(all, c.entry(context.WithoutCancel(ctx), org, file).Pipeline)
		}
	}
	return all, nil
}

// needs names the providers whose credentials a document needs.
func (c *catalogueOf) needs(file configs.File) []string {
	if e := c.entry(context.Background(), sampleOrg, file); e.Integration != "" {
		return strings.Split(e.Integration, ",")
	}
	return nil
}

// sampleOrg stands in for an organisation where none is known.
const sampleOrg = "example"

// lookback is how many days before its own a schedule of a pipeline states again.
func (c *catalogueOf) lookback(org, id string) int {
	file, ok := c.planner.seenBy(org).ByPath(id)
	if !ok {
		return 0
	}
	return c.entry(context.Background(), org, file).lookback
}

// entry is what a document says of itself, and its plan where it has one without
// parameters.
func (c *catalogueOf) entry(ctx context.Context, org string, file configs.File) entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := org + " " + file.Name
	if known, ok := c.entries[key]; ok && known.text == string(file.Text) {
		return known
	}
	e := entry{text: string(file.Text), Pipeline: api.Pipeline{ID: file.ID, Steps: []api.PipelineStep{}}}
	e.Provider, e.Domain, e.Name = identity(file.ID)
	if tree, _ := configs.Parse(file); tree != nil {
		canonical, _ := configs.Normalise(tree)
		describe(&e.Pipeline, canonical)
	}
	if planned, err := c.plan(ctx, org, file, nil); err == nil {
		e.Runnable, e.lookback = true, planned.Lookback
		planOf(&e.Pipeline, planned)
	}
	if c.entries == nil {
		c.entries = map[string]entry{}
	}
	c.entries[key] = e
	return e
}

// planOf fills in what a plan knows.
func planOf(p *api.Pipeline, planned *plan.Plan) {
	var needs []string
	p.Steps = p.Steps[:0]
	for _, s := range inOrder(planned.Steps) {
		p.Steps = append(p.Steps, api.PipelineStep{
			Step: s.ID, Type: s.Type, DependsOn: s.DependsOn, Table: s.Destination.Table, WriteMode: s.Destination.WriteMode,
		})
		if s.Provider != "" && !slices.Contains(needs, s.Provider) {
			needs = append(needs, s.Provider)
		}
	}
	p.Integration = strings.Join(needs, ",")
	if planned.Schedule != nil {
		p.Schedule, p.Timezone = planned.Schedule.CronText(), planned.Schedule.Timezone
	}
}

// describe reads what needs no plan.
func describe(p *api.Pipeline, canonical *configs.Canonical) {
	for key, into := range map[string]*string{"name": &p.Title, "description": &p.Description} {
		if n := configs.Member(canonical.Root, key); n != nil {
			*into = strings.TrimSpace(n.Value)
		}
	}
	for _, step := range configs.StepNodes(canonical) {
		s := api.PipelineStep{}
		for key, into := range map[string]*string{"step_id": &s.Step, "ps_type": &s.Type} {
			if n := configs.Member(step, key); n != nil {
				*into = n.Value
			}
		}
		p.Steps = append(p.Steps, s)
	}
}

func identity(id string) (provider, domain, name string) {
	parts := strings.Split(id, "/")
	provider, name = parts[0], parts[len(parts)-1]
	if len(parts) > 2 {
		domain = parts[1]
	}
	return provider, domain, name
}

func inOrder(steps []*plan.Step) []*plan.Step {
	return slices.SortedFunc(slices.Values(steps), func(a, b *plan.Step) int { return a.Index - b.Index })
}

func (c *catalogueOf) plan(ctx context.Context, org string, file configs.File, r *launcher.Request) (*plan.Plan, error) {
	projectID, err := c.planner.projectOf(ctx, org, string(file.Text))
	if err != nil {
		return nil, err
	}
	if projectID == "" && r == nil { // what it is does not matter while nothing runs
		projectID = anyProject
	}
	request := plan.Request{
		Source: file, Org: org, ProjectID: projectID, Env: c.env.Suffix(), Project: c.env.Project, Dataset: launcher.Dataset(org, c.env.Suffix()),
		Location: c.env.Location, RunID: noRun, Now: c.now().UTC(),
	}
	if r != nil {
		request.Params, request.Start, request.End = r.Params, r.Start, r.End
	}
	return c.planner.plans.With(c.planner.seenBy(org)).Plan(ctx, request)
}

// noRun is the id of a run that will not be.
const noRun = "00000000-0000-0000-0000-000000000000"

// Document implements api.Catalogue.
func (c *catalogueOf) Document(ctx context.Context, org, id string) (api.PipelineDocument, error) {
	file, ok := c.planner.seenBy(org).ByPath(id)
	if !ok {
		return api.PipelineDocument{}, noPipeline(id)
	}
	out := api.PipelineDocument{Pipeline: c.entry(ctx, org, file).Pipeline, Text: string(file.Text), Document: json.RawMessage("null")}
	tree, problems := configs.Parse(file)
	if tree == nil {
		return out, refused(file, problems)
	}
	canonical, _ := configs.Normalise(tree)
	env := configs.Environment{
		Org: org, Env: c.env.Suffix(), Project: c.env.Project, Dataset: launcher.Dataset(org, c.env.Suffix()), Now: c.now().UTC(),
	}
	env.Provider, env.Domain, env.Template = configs.Identity(canonical)
	resolved, _ := configs.ResolveDocument(configs.NewScope(canonical, env))
	b, err := configs.JSON(resolved.Root)
	if err != nil {
		return out, fmt.Errorf("show %s as JSON: %w", id, err)
	}
	out.Document = b
	return out, nil
}

func noPipeline(id string) error {
	return &launcher.Error{Code: launcher.CodePipelineNotFound, Message: "there is no pipeline " + id}
}

// Graph implements api.Catalogue.
func (c *catalogueOf) Graph(ctx context.Context, org, id, format string) (string, error) {
	file, ok := c.planner.seenBy(org).ByPath(id)
	if !ok {
		return "", noPipeline(id)
	}
	c.beam.Lock()
	defer c.beam.Unlock()
	if !beam.Initialized() {
		beam.Init()
		slog.SetDefault(c.log) // Init has set one that writes to standard error
	}
	spec := run.DryRunSpec(file, run.Prism, c.now().UTC())
	spec.Org, spec.Env, spec.Project, spec.Location = org, c.env.Suffix(), c.env.Project, c.env.Location
	spec.Dataset, spec.ProjectID = launcher.Dataset(org, c.env.Suffix()), anyProject
	pipeline, planned, err := run.Build(ctx, spec, c.planner.seenBy(org))
	var problems configs.Problems
	if errors.As(err, &problems) {
		return "", noGraph(file, problems)
	}
	if err != nil {
		return "", err
	}
	g, err := compile.Describe(pipeline)
	if err != nil {
		return "", err
	}
	g = g.With(planned.Hooks)
	switch format {
	case "dot":
		return g.Dot(), nil
	case "mermaid":
		return g.Mermaid(), nil
	case "json":
		return g.JSON()
	default:
		return g.Text(), nil
	}
}

// noGraph says what keeps a document from becoming a graph, the first reason in the
// message and all of them as lines.
func noGraph(file configs.File, problems configs.Problems) error {
	err := refused(file, problems)
	var e *launcher.Error
	if errors.As(err, &e) && len(problems) > 0 {
		e.Message = file.Name + " has no graph: " + problems[0].Message
		if more := len(problems) - 1; more > 0 {
			e.Message += fmt.Sprintf(", and %d more", more)
		}
	}
	return err
}

// Validate implements api.Documents.
func (c *catalogueOf) Validate(ctx context.Context, org string, d launcher.Document, strict bool) []api.DocumentProblem {
	problems := c.planner.plans.With(c.planner.seenBy(org)).Validate(ctx, configs.File{Name: d.File, Text: []byte(d.Text)})
	if strict {
		problems = problems.Strict()
	}
	var out []api.DocumentProblem
	for _, p := range problems {
		severity := p.Severity.String()
		if severity == "" {
			severity = "error"
		}
		out = append(out, api.DocumentProblem{
			File: p.File, Line: p.Line, Column: p.Col, Path: p.Path, Severity: severity, Message: p.Message, Suggestion: p.Suggestion,
		})
	}
	return out
}

// DryRun implements api.Documents.
func (c *catalogueOf) DryRun(ctx context.Context, r launcher.Request) (api.DryRun, error) {
	file, err := c.planner.file(r)
	if err != nil {
		return api.DryRun{}, err
	}
	planned, err := c.plan(ctx, r.Org, file, &r)
	if err != nil {
		return api.DryRun{}, refused(file, err)
	}
	out := api.DryRun{Pipeline: planned.Pipeline, Start: planned.Start.String(), End: planned.End.String(), Steps: []api.DryRunStep{}}
	for _, w := range planned.Warnings {
		out.Warnings = append(out.Warnings, w.String())
	}
	for _, s := range inOrder(planned.Steps) {
		step := api.DryRunStep{
			Step: s.ID, Type: s.Type, Table: s.Destination.Table, WriteMode: s.Destination.WriteMode,
			Units: len(s.Units), DependsOn: s.DependsOn, Skipped: s.Skip,
		}
		c.price(ctx, planned.Dataset, s, &step)
		if step.Bytes != nil {
			out.Bytes += *step.Bytes
		}
		out.Steps = append(out.Steps, step)
	}
	for _, h := range planned.Hooks {
		out.Notifications = append(out.Notifications, api.DryRunNotification{Step: h.ID, Type: h.Type})
	}
	out.CostUSD = listPrice(out.Bytes)
	return out, nil
}

// price asks the warehouse what the queries of a step would read.
func (c *catalogueOf) price(ctx context.Context, dataset string, s *plan.Step, into *api.DryRunStep) {
	var total int64
	for _, u := range s.Units {
		if u.Statement == nil {
			continue
		}
		into.Queries++
		if into.Note != "" {
			continue
		}
		bytes, err := c.estimate(ctx, dataset, u.Statement)
		if err != nil {
			c.log.Info("a dry run's query could not be priced", "step", s.ID, "error", err)
			into.Note = "the warehouse could not price the query; a table that it reads may not exist yet"
			continue
		}
		total += bytes
	}
	if into.Queries > 0 && into.Note == "" {
		into.Bytes = &total
	}
}

func (c *catalogueOf) estimate(ctx context.Context, dataset string, statement *configs.Statement) (int64, error) {
	q := c.bigquery.Query(statement.SQL)
	q.DryRun, q.DefaultProjectID, q.DefaultDatasetID = true, c.env.Project, dataset
	for _, p := range statement.Params {
		q.Parameters = append(q.Parameters, bigquery.QueryParameter{Name: p.Name, Value: &bigquery.QueryParameterValue{
			Type: bigquery.StandardSQLDataType{TypeKind: p.Type.String()}, Value: p.Value,
		}})
	}
	job, err := q.Run(ctx)
	if err != nil {
		return 0, err
	}
	status := job.LastStatus()
	if err := status.Err(); err != nil {
		return 0, err
	}
	return status.Statistics.TotalBytesProcessed, nil
}

// onDemandCentsPerTiB is BigQuery's on-demand list price of reading, which estimates are stated at.
const onDemandCentsPerTiB = 625

// listPrice is what reading costs, in dollars with six digits.
func listPrice(bytes int64) string {
	cost := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(bytes), big.NewInt(onDemandCentsPerTiB)), big.NewInt(100<<40))
	return cost.FloatString(6)
}
