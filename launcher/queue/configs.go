package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
)

// Pipeline is a pipeline that an organisation has scheduled.
type Pipeline struct {
	ConfigID   string
	Org        string
	Provider   string
	Domain     string
	Template   string
	Cron       string
	Timezone   string
	Active     bool
	NextRun    time.Time // zero: not known yet
	LastRun    time.Time // zero: never
	LastStatus string    // "", SUCCESS, FAILED, RUNNING
	Params     map[string]string
	Priority   int
	Created    time.Time
	Updated    time.Time
}

// Template is a pipeline of the catalogue, as far as scheduling goes.
type Template struct {
	Provider, Domain, Name string
	Cron, Timezone         string // Cron is "" for one without a schedule
	LookbackDays           int
	Requires               []string // providers whose credentials it needs
}

// Catalog knows the pipelines that an organisation may run.
type Catalog interface {
	Templates(org string) []Template
}

// Schedules keeps what organisations have scheduled.
type Schedules interface {
	// Pipelines lists those of an organisation, newest first.
	Pipelines(ctx context.Context, org string) ([]Pipeline, error)
	// Due returns active ones of ACTIVE, subscribed organisations whose next run is due or
	// not known, the longest due first; of one organisation unless org is "".
	Due(ctx context.Context, org string, now time.Time, limit int) ([]Pipeline, error)
	// Put adds pipelines or replaces those with the same ConfigID.
	Put(ctx context.Context, pipelines ...Pipeline) error
	// Fired records runs that slots made, and when their pipelines are due next.
	Fired(ctx context.Context, next []Pipeline, firings []Firing) error
}

// Firing is one slot that was fired.
type Firing struct {
	RunID    string // of the slot
	Pipeline Pipeline
	Tracking string // pipeline_id of the run
	Slot     time.Time
	Run      launcher.Run // that stands for it; its ID is another's if an equal one was active
	Error    string       // why there is none
}

var configSpace = uuid.MustParse("0c1b7a52-3f0e-5d0c-8a44-6f8e2d9b7c11")

// ConfigID names what an organisation schedules: the same pipeline with the same
// parameters is scheduled once, so adding it again changes it.
func ConfigID(p Pipeline) string {
	params, _ := json.Marshal(p.Params) // keys come out sorted; texts always encode
	if len(p.Params) == 0 {
		params = nil
	}
	return uuid.NewSHA1(configSpace, fmt.Appendf(nil, "%q %q %q %q %q", p.Org, p.Provider, p.Domain, p.Template, params)).String()
}

// Pipelines lists what an organisation has scheduled, newest first; with active only
// those that are, or are not.
func (q *Queue) Pipelines(ctx context.Context, org string, active *bool) ([]Pipeline, error) {
	all, err := q.cfg.Schedules.Pipelines(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list the scheduled pipelines of %s: %w", org, err)
	}
	if active != nil {
		all = slices.DeleteFunc(all, func(p Pipeline) bool { return p.Active != *active })
	}
	return all, nil
}

// Schedule adds a pipeline to what an organisation has scheduled, or changes it. The
// error is a *launcher.Error when the pipeline, its schedule or a parameter is refused.
func (q *Queue) Schedule(ctx context.Context, p Pipeline) (Pipeline, error) {
	s, err := ParseSchedule(p.Cron, p.Timezone)
	if err != nil {
		return Pipeline{}, err
	}
	if _, known := q.template(p); !known {
		return Pipeline{}, &launcher.Error{
			Code:    launcher.CodePipelineNotFound,
			Message: fmt.Sprintf("there is no pipeline %s/%s/%s; GET /api/v1/pipelines lists what there is", p.Provider, p.Domain, p.Template),
		}
	}
	if p.Priority < 0 || p.Priority > LowestPriority {
		return Pipeline{}, &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf("priority %d is not between 1, the highest, and %d", p.Priority, LowestPriority)}
	}
	now := q.cfg.Now().UTC()
	p.ConfigID, p.Timezone, p.Priority = ConfigID(p), cmp.Or(p.Timezone, "UTC"), cmp.Or(p.Priority, DefaultPriority)
	p.Cron, p.Created, p.Updated = s.String(), now, time.Time{}
	p.NextRun, _ = s.Next(now)
	existing, err := q.Pipelines(ctx, p.Org, nil)
	if err != nil {
		return Pipeline{}, err
	}
	for _, old := range existing {
		if old.ConfigID == p.ConfigID {
			p.Created, p.Updated, p.LastRun, p.LastStatus = old.Created, now, old.LastRun, old.LastStatus
		}
	}
	if err := q.cfg.Schedules.Put(ctx, p); err != nil {
		return Pipeline{}, fmt.Errorf("schedule %s/%s/%s of %s: %w", p.Provider, p.Domain, p.Template, p.Org, err)
	}
	return p, nil
}

// Unschedule deactivates a scheduled pipeline; it stays in the list. The error is a
// *launcher.Error when the organisation has none of that id.
func (q *Queue) Unschedule(ctx context.Context, org, configID string) error {
	all, err := q.Pipelines(ctx, org, nil)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ConfigID != configID {
			continue
		}
		p.Active, p.Updated = false, q.cfg.Now().UTC()
		return q.cfg.Schedules.Put(ctx, p)
	}
	return &launcher.Error{Code: CodeConfigNotFound, Message: fmt.Sprintf("Pipeline configuration %s not found for org %s", configID, org)}
}

// CodeConfigNotFound is the code of a scheduled pipeline that does not exist.
const CodeConfigNotFound launcher.Code = "RESOURCE_NOT_FOUND"

// AddDefaults schedules the pipelines of the catalogue that need a provider and have a
// schedule, once its integration is VALID. What the organisation has, also what it has
// unscheduled, stays as it is.
func (q *Queue) AddDefaults(ctx context.Context, org, provider string) ([]Pipeline, error) {
	existing, err := q.Pipelines(ctx, org, nil)
	if err != nil {
		return nil, err
	}
	had := map[[3]string]bool{}
	for _, p := range existing {
		had[[3]string{p.Provider, p.Domain, p.Template}] = true
	}
	now := q.cfg.Now().UTC()
	var added []Pipeline
	for _, t := range q.cfg.Catalog.Templates(org) {
		if t.Cron == "" || !slices.Contains(t.Requires, provider) || had[[3]string{t.Provider, t.Domain, t.Name}] {
			continue
		}
		s, err := ParseSchedule(t.Cron, t.Timezone)
		if err != nil {
			return nil, fmt.Errorf("schedule of %s/%s/%s: %w", t.Provider, t.Domain, t.Name, err)
		}
		p := Pipeline{
			Org: org, Provider: t.Provider, Domain: t.Domain, Template: t.Name, Cron: s.String(), Timezone: cmp.Or(t.Timezone, "UTC"),
			Active: true, Priority: DefaultPriority, Created: now,
		}
		p.ConfigID = ConfigID(p)
		p.NextRun, _ = s.Next(now)
		added = append(added, p)
	}
	if len(added) == 0 {
		return nil, nil
	}
	if err := q.cfg.Schedules.Put(ctx, added...); err != nil {
		return nil, fmt.Errorf("schedule the pipelines of %s for %s: %w", provider, org, err)
	}
	return added, nil
}

func (q *Queue) template(p Pipeline) (Template, bool) {
	if q.cfg.Catalog == nil {
		return Template{}, false
	}
	for _, t := range q.cfg.Catalog.Templates(p.Org) {
		if t.Provider == p.Provider && t.Domain == p.Domain && t.Name == p.Template {
			return t, true
		}
	}
	return Template{}, false
}

// TextParams turns the values of a JSON object into the texts that runs take. Lists and
// objects are refused.
func TextParams(values map[string]any) (map[string]string, error) {
	out := make(map[string]string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch v := values[name].(type) {
		case nil:
		case string:
			out[name] = v
		case bool:
			out[name] = strconv.FormatBool(v)
		case json.Number:
			out[name] = v.String()
		case float64:
			if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				out[name] = strconv.FormatInt(int64(v), 10)
			} else {
				out[name] = strconv.FormatFloat(v, 'g', -1, 64)
			}
		default:
			return nil, &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf("parameter %s is a list or an object; a parameter is a text, a number or true or false", name)}
		}
	}
	return out, nil
}
