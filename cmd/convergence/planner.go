package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// planner implements launcher.Planner with the catalogue and the processors of this
// binary.
type planner struct {
	env         wiring.Environment
	catalog     *configs.Catalog // as it was when the program started
	library     *configs.Library // the same as it is now; nil without a configs folder
	plans       *plan.Planner
	credentials integrations          // nil where there is no warehouse: plans are looked at, not run
	profiles    profiles              // likewise
	warn        func(configs.Problem) // what a plan warns of; nil where nobody reads it
	preview     bool                  // rows are looked at and land nowhere
}

// integrations are the credentials of an organisation, without their secrets.
type integrations interface {
	List(ctx context.Context, org string) ([]credentials.Info, error)
}

// profiles are what is known of an organisation.
type profiles interface {
	Account(ctx context.Context, org string) (launcher.Principal, bool, error)
}

func newPlanner(env wiring.Environment, catalog *configs.Catalog) *planner {
	env.Static(catalog)
	p := &planner{env: env, catalog: catalog, plans: plan.New(plan.Deps{Catalog: catalog, Processors: compile.Processors(), SQL: newSQLChecker(), Unreachable: env.Unreachable})}
	if env.ConfigsDir != "" {
		// A folder that cannot be read was refused when the catalogue was opened.
		p.library, _ = env.Library()
	}
	return p
}

// planner returns a planner of runs on this warehouse.
func (w *warehouse) planner(catalog *configs.Catalog) *planner {
	p := newPlanner(w.env, catalog)
	p.credentials = w.Credentials
	return p
}

// seenBy returns the documents that an organisation sees now; with "" those that all
// share. Files that cannot be read any more leave the last that could.
func (p *planner) seenBy(org string) *configs.Catalog {
	catalog := p.catalog
	if p.library != nil {
		catalog, _ = p.library.Catalog()
	}
	return catalog.For(org)
}

// anyProject stands in for the project of an integration while nothing runs.
const anyProject = "project-of-the-integration"

// projectOf returns the project that {project_id} means: that of the organisation's cloud
// integration. Documents that do not use it are not asked for.
func (p *planner) projectOf(ctx context.Context, org, text string) (string, error) {
	switch {
	case !strings.Contains(text, "project_id"):
		return "", nil
	case p.credentials == nil:
		return anyProject, nil
	}
	infos, err := p.credentials.List(ctx, org)
	if err != nil {
		return "", fmt.Errorf("find the project of %s: %w", org, err)
	}
	for _, info := range infos {
		var fields struct {
			ProjectID string `json:"project_id"`
		}
		if json.Unmarshal(info.Metadata, &fields) == nil && fields.ProjectID != "" {
			return fields.ProjectID, nil
		}
	}
	return "", nil
}

// adminOf returns the address that {admin_email} means: that of the organisation's profile.
// Documents that do not use it are not asked for.
func (p *planner) adminOf(ctx context.Context, org, text string) (string, error) {
	if p.profiles == nil || !strings.Contains(text, "admin_email") {
		return "", nil
	}
	profile, _, err := p.profiles.Account(ctx, org)
	if err != nil {
		return "", fmt.Errorf("find the administrator of %s: %w", org, err)
	}
	return profile.AdminEmail, nil
}

// tablesOf are the declared schemas of what the steps write, by reference: a job may run
// where the folder that declares them is not.
func tablesOf(planned *plan.Plan) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, s := range planned.Steps {
		if s.Schema.Ref == "" {
			continue
		}
		text, err := json.Marshal(s.Schema)
		if err != nil {
			return nil, fmt.Errorf("write the schema %s: %w", s.Schema.Ref, err)
		}
		out[s.Schema.Ref] = text
	}
	return out, nil
}

// results are the tables of a spec's plan, those too whose columns are found by analysing
// SQL, which a job does not.
func (p *planner) results(ctx context.Context, spec runfolder.Spec) (map[string]json.RawMessage, error) {
	planned, err := p.plans.Plan(ctx, plan.Request{
		Source: configs.File{Name: spec.File, Text: []byte(spec.Document), ID: spec.Pipeline},
		Org:    spec.Org, Env: spec.Env, Project: spec.Project, Dataset: spec.Dataset, Location: spec.Location,
		RunID: spec.RunID, Params: spec.Params, ProjectID: anyProject, Now: spec.Now,
	})
	if err != nil {
		return nil, err
	}
	return tablesOf(planned)
}

// providersOf are the providers whose credentials the steps use, for a job that runs where
// the folder that declares them is not.
func providersOf(planned *plan.Plan, catalog *configs.Catalog) (json.RawMessage, error) {
	var names []string
	for _, s := range planned.Steps {
		if s.Provider != "" {
			names = append(names, s.Provider)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return catalog.Providers().JSON(names)
}

// Plan resolves, validates and plans.
func (p *planner) Plan(ctx context.Context, r launcher.Request, runID string, now time.Time) (*launcher.Plan, error) {
	file, err := p.file(r)
	if err != nil {
		return nil, err
	}
	projectID, err := p.projectOf(ctx, r.Org, string(file.Text))
	if err != nil {
		return nil, err
	}
	email, err := p.adminOf(ctx, r.Org, string(file.Text))
	if err != nil {
		return nil, err
	}
	planned, err := p.plans.With(p.seenBy(r.Org)).Plan(ctx, plan.Request{
		Source: file, Org: r.Org, Env: p.env.Suffix(), Project: p.env.Project, Dataset: launcher.Dataset(r.Org, p.env.Suffix()),
		Location: p.env.Location, RunID: runID, Params: r.Params, ProjectID: projectID, Start: r.Start, End: r.End, Now: now,
		AdminEmail: email, Preview: p.preview,
	})
	if err != nil {
		return nil, refused(file, err)
	}
	if err := p.env.CheckRunner(cmp.Or(r.Runner, planned.Execution.Runner)); err != nil {
		return nil, &launcher.Error{Code: launcher.CodeNotConfigured, Message: err.Error()}
	}
	for _, w := range planned.Warnings {
		if p.warn != nil {
			p.warn(w)
		}
	}
	out := &launcher.Plan{
		Pipeline: planned.Pipeline, File: file.Name, Text: string(file.Text), Params: withoutDates(r.Params), ProjectID: projectID, AdminEmail: email,
		Runner: planned.Execution.Runner, RunOnce: planned.Execution.RunOnce, ForceParam: planned.Execution.ForceParam,
		Start: planned.Start, End: planned.End, Timeout: planned.Timeout,
	}
	out.Retries, out.Backoff, out.Scope = planned.Retries, planned.Backoff, planned.Scope
	if out.Hooks, err = hooks(planned.Hooks); err != nil {
		return nil, err
	}
	if out.Tables, err = tablesOf(planned); err != nil {
		return nil, err
	}
	if out.Providers, err = providersOf(planned, p.seenBy(r.Org)); err != nil {
		return nil, err
	}
	steps := slices.Clone(planned.Steps)
	slices.SortFunc(steps, func(a, b *plan.Step) int { return a.Index - b.Index })
	for _, s := range steps {
		step := launcher.Step{ID: s.ID, Type: s.Type, Alert: s.OnFailure == "alert"}
		if s.Destination.Table != "" { // named as results name it
			step.Table = planned.Dataset + "." + s.Destination.Table
		}
		out.Steps = append(out.Steps, step)
		for _, u := range s.Units {
			out.Units = append(out.Units, launcher.Unit{ID: u.ID, Step: s.ID, Slice: slice(s.Destination, u), Hash: label(s.ConfigHash), Once: once(s.Destination)})
		}
	}
	return out, nil
}

// hooks writes notifications as they are recorded with a run.
func hooks(planned []plan.Hook) ([]launcher.Hook, error) {
	var out []launcher.Hook
	for _, h := range planned {
		config, err := json.Marshal(h.Config)
		if err != nil {
			return nil, fmt.Errorf("encode notification %s: %w", h.ID, err)
		}
		out = append(out, launcher.Hook{Step: h.ID, Type: h.Type, Config: config})
	}
	return out, nil
}

func (p *planner) file(r launcher.Request) (configs.File, error) {
	if r.Document != nil {
		return configs.File{Name: r.Document.File, Text: []byte(r.Document.Text)}, nil
	}
	catalog := p.seenBy(r.Org)
	file, ok := catalog.Find(r.Provider, r.Domain, r.Template)
	if !ok {
		return configs.File{}, &launcher.Error{
			Code:    launcher.CodePipelineNotFound,
			Message: fmt.Sprintf("there is no pipeline %s; there are: %s", configs.ID(r.Provider, r.Domain, r.Template), strings.Join(catalog.List(), ", ")),
		}
	}
	return file, nil
}

// refused keeps one line per problem.
func refused(file configs.File, err error) error {
	e := &launcher.Error{Code: launcher.CodeInvalidPipeline, Message: file.Name + " cannot run", Err: err}
	var problems configs.Problems
	if errors.As(err, &problems) {
		e.Err = nil
		for _, problem := range problems {
			e.Problems = append(e.Problems, problem.String())
		}
	}
	return e
}

// once reports whether a destination takes a unit's rows a single time: appended rows
// have no key by which a later generation could replace them.
func once(d plan.Destination) bool { return d.WriteMode == "append" && len(d.KeyFields) == 0 }

// slice names the days of a unit. What replaces its whole table is of all days.
func slice(d plan.Destination, u plan.Unit) string {
	last := u.End.AddDays(-1)
	switch {
	case d.WriteMode == "overwrite":
		return ""
	case last == u.Start:
		return u.Start.String()
	default:
		return u.Start.String() + ".." + last.String()
	}
}

// withoutDates leaves out what the spec says elsewhere: the job must not meet a date and
// a range.
func withoutDates(params map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range params {
		if k != "date" && k != "start_date" && k != "end_date" {
			out[k] = v
		}
	}
	return out
}

// label cuts a hash to what a job label may hold.
func label(hash string) string {
	const most = 63
	if len(hash) > most {
		return hash[:most]
	}
	return hash
}

// target is what a person named on the command line: a file, or a pipeline that the
// organisation sees.
func (p *planner) target(arg, org string) (launcher.Request, error) {
	info, err := os.Stat(arg)
	if err == nil && !info.IsDir() {
		text, err := os.ReadFile(arg)
		if err != nil {
			return launcher.Request{}, fmt.Errorf("read pipeline: %w", err)
		}
		return launcher.Request{Document: &launcher.Document{File: arg, Text: string(text)}}, nil
	}
	catalog := p.seenBy(org)
	if file, ok := catalog.ByPath(filepath.ToSlash(arg)); ok {
		parts := strings.Split(file.ID, "/")
		r := launcher.Request{Provider: parts[0], Template: parts[len(parts)-1]}
		if len(parts) > 2 {
			r.Domain = parts[1]
		}
		return r, nil
	}
	return launcher.Request{}, fmt.Errorf("%s: no such file, and no pipeline of that name; there are: %s", arg, strings.Join(catalog.List(), ", "))
}
