package plan

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/civil"
	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// builder makes one plan. It gathers problems and goes on as long as there is something
// left to check.
type builder struct {
	ctx       context.Context
	deps      Deps
	validator *configs.Validator
	request   Request
	canonical *configs.Canonical
	scope     *configs.Scope
	unset     *configs.Scope // scope without the run's parameters
	document  *configs.Document
	plan      *Plan
	sample    bool    // there is no run: values may be missing
	hooks     []*Step // notifications: they have an id and references, and no place in the graph
	problems  configs.Problems

	separating map[string]string // parameters of which the units of all steps are a function
}

func (p *Planner) plan(ctx context.Context, r Request, sample bool) (*Plan, configs.Problems) {
	tree, problems := configs.Parse(r.Source)
	if tree == nil {
		return nil, problems
	}
	canonical, problems := configs.Normalise(tree)
	b := &builder{
		ctx: ctx, deps: p.deps, validator: p.validator, request: r, canonical: canonical,
		problems: problems, sample: sample,
	}
	if b.open(); b.document == nil {
		return nil, b.problems
	}
	b.head()
	b.steps()
	b.plan.Scope = b.scopeLabel()
	b.edges()
	b.order()
	b.rows()
	b.sql()
	return b.plan, b.problems
}

func (b *builder) add(problems configs.Problems) { b.problems = append(b.problems, problems...) }

// problem adds a problem at a node; a nil node means the document as a whole.
func (b *builder) problem(n *yaml.Node, path, format string, args ...any) {
	p := configs.Problem{File: b.canonical.File.Name, Path: path, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Col = n.Line, n.Column
	}
	b.problems = append(b.problems, p)
}

// errors counts what keeps the document from running, so far.
func (b *builder) errors() int {
	n := 0
	for _, p := range b.problems {
		if p.Severity == configs.SeverityError {
			n++
		}
	}
	return n
}

// remark adds what does not keep the document from running.
func (b *builder) remark(severity configs.Severity, n *yaml.Node, path, format string, args ...any) {
	b.problem(n, path, format, args...)
	b.problems[len(b.problems)-1].Severity = severity
}

// open sets up the scope, resolves the document and types it.
func (b *builder) open() {
	env := configs.SampleEnvironment()
	var start, end civil.Date
	if !b.sample {
		env = configs.Environment{
			Org: b.request.Org, Env: b.request.Env, Project: b.request.Project, Dataset: b.request.Dataset,
			RunID: b.request.RunID, AdminEmail: b.request.AdminEmail, ProjectID: b.request.ProjectID, Now: b.request.Now,
		}
		start, end, env.Params = b.dates()
		env.Start, env.End = start, end
	} else if _, _, _, problems := configs.Range(b.canonical, nil, env.Now); len(problems) > 0 {
		b.add(problems)
	}
	env.Provider, env.Domain, env.Template = configs.Identity(b.canonical)
	b.scope = configs.NewScope(b.canonical, env)
	env.Params = nil
	b.unset = configs.NewScope(b.canonical, env)
	b.add(configs.CheckSchedule(b.canonical))
	b.add(configs.CheckNames(b.scope))
	b.add(configs.CheckParams(b.scope))
	resolved, problems := configs.ResolveDocument(b.scope)
	b.add(problems)
	document, problems := b.validator.Document(b.canonical, resolved)
	b.add(problems)
	b.document = document
	b.plan = &Plan{
		Org: env.Org, RunID: env.RunID, Project: env.Project, Dataset: env.Dataset, Location: b.request.Location,
		Provider: env.Provider, Domain: env.Domain, Start: env.Start, End: env.End,
	}
}

// dates returns the days of the run and its other parameters.
func (b *builder) dates() (start, end civil.Date, params map[string]string) {
	r := b.request
	zero := civil.Date{}
	if r.Start == zero && r.End == zero {
		start, end, params, problems := configs.Range(b.canonical, r.Params, r.Now)
		b.add(problems)
		if len(problems) > 0 {
			start = civil.DateOf(r.Now.UTC())
			end = start
		}
		return start, end, params
	}
	_, _, params, _ = configs.Range(b.canonical, r.Params, r.Now)
	start, end = r.Start, r.End
	if end == zero {
		end = start
	}
	if message := configs.CheckRange(start, end); message != "" {
		b.problem(nil, "", "%s", message)
		start, end = civil.DateOf(time.Unix(0, 0)), civil.DateOf(time.Unix(0, 0))
	}
	return start, end, params
}

const (
	defaultTimeout     = 30 * time.Minute
	defaultStepTimeout = 10 * time.Minute
	defaultBackoff     = 2 * time.Second
)

// head fills what belongs to the pipeline as a whole.
func (b *builder) head() {
	d, p := b.document, b.plan
	p.Pipeline = b.canonical.File.ID
	if p.Pipeline == "" {
		p.Pipeline = b.canonical.File.Name
	}
	p.PipelineID, p.Name, p.Schedule, p.Lookback, p.RatePerMin = d.PipelineID, d.Name, d.Schedule, d.LookbackDays, d.RateLimitPerMin
	p.Execution = d.Execution
	p.Timeout = timeout(d.TimeoutMinutes, d.TimeoutSeconds, defaultTimeout)
	p.Retries = d.RetryAttempts
	if d.RetryBackoff != nil {
		p.Backoff = time.Duration(*d.RetryBackoff * float64(time.Second))
	}
	p.Mode = d.Mode
	if p.Mode == "" {
		p.Mode = "batch"
	}
	if p.Mode == "streaming" {
		b.problem(configs.Member(b.canonical.Root, "mode"), "mode", "streaming is not part of this version; use batch")
	}
}

// timeout prefers seconds, which are finer, over minutes.
func timeout(minutes, seconds int, otherwise time.Duration) time.Duration {
	switch {
	case seconds > 0:
		return time.Duration(seconds) * time.Second
	case minutes > 0:
		return time.Duration(minutes) * time.Minute
	default:
		return otherwise
	}
}

// steps makes the steps in document order.
func (b *builder) steps() {
	nodes := configs.StepNodes(b.canonical)
	for i := range min(len(nodes), len(b.document.Steps)) {
		s := stepBuilder{builder: b, node: nodes[i], step: b.document.Steps[i], path: fmt.Sprintf("steps[%d]", i), index: i}
		if built := s.build(); built != nil {
			b.plan.Steps = append(b.plan.Steps, built)
		}
	}
}
