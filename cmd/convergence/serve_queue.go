package main

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/queue"
	"github.com/cloudact/convergence/launcher/store"
)

// admission decides which runs may be.
func (p *parts) admission(owner string) *queue.Admission {
	return queue.NewAdmission(queue.AdmissionConfig{
		Register: p.store, Accounts: store.NewAccounts(p.store), Integrations: configured{p.w.Credentials}, Requires: p.requires,
		Runs: p.store, Memory: p.store, Owner: owner, Limit: p.w.env.Service.MaxRuns,
		Now: launcher.Clock, ServerNow: p.store.ServerNow, Log: p.log,
	})
}

func (p *parts) newQueue(owner string, admission *queue.Admission) *queue.Queue {
	return queue.New(queue.Config{
		Launcher: p.launcher, Active: p.store, Runs: p.store, Admission: admission, Schedules: p.store, Catalog: scheduled{p.pipelines},
		Board: measured(p.store, p.metrics), Owner: owner, Scheduler: p.w.env.Service.Scheduler, Now: launcher.Clock, Log: p.log,
	})
}

// requires names the providers whose credentials a plan needs.
func (p *parts) requires(plan *launcher.Plan) []string {
	return p.pipelines.needs(configs.File{Name: plan.File, Text: []byte(plan.Text), ID: plan.Pipeline})
}

// configured answers whether an organisation has a VALID credential.
type configured struct{ store *credentials.Store }

// Configured implements queue.Integrations.
func (c configured) Configured(ctx context.Context, org, provider string) (bool, error) {
	infos, err := c.store.List(ctx, org)
	for _, i := range infos {
		if i.Provider == provider && i.Status == credentials.Valid {
			return true, nil
		}
	}
	return false, err
}

// scheduled shows the catalogue to the queue.
type scheduled struct{ pipelines *catalogueOf }

// Templates implements queue.Catalog.
func (t scheduled) Templates(org string) []queue.Template {
	all, err := t.pipelines.Pipelines(context.Background(), org)
	if err != nil {
		return nil
	}
	out := make([]queue.Template, len(all))
	for i, p := range all {
		out[i] = queue.Template{
			Provider: p.Provider, Domain: p.Domain, Name: p.Name, Cron: p.Schedule, Timezone: p.Timezone, LookbackDays: t.pipelines.lookback(org, p.ID),
		}
		if p.Integration != "" {
			out[i].Requires = strings.Split(p.Integration, ",")
		}
	}
	return out
}

// queued starts runs through the queue: it implements api.Runs, api.Queue, api.Scheduler
// and api.Schedules.
type queued struct {
	*launcher.Launcher
	queue *queue.Queue
	limit time.Duration // of one Process
}

// Launch implements api.Runs.
func (q queued) Launch(ctx context.Context, r launcher.Request) (launcher.Run, bool, error) {
	run, existing, err := q.Submit(ctx, r)
	if err == nil && !existing {
		q.queue.Enqueue(run)
	}
	return run, existing, err
}

// Retry implements api.Control.
func (q queued) Retry(ctx context.Context, org, id, by string) (launcher.Run, bool, error) {
	run, existing, err := q.Launcher.Retry(ctx, org, id, by)
	if err == nil && !existing {
		q.queue.Enqueue(run)
	}
	return run, existing, err
}

// Queued implements api.Queue.
func (q queued) Queued(ctx context.Context, org, state string) ([]api.QueuedRun, error) {
	rows, err := q.queue.List(ctx, org, queue.Filter{State: state, Limit: allRows})
	if err != nil {
		return nil, err
	}
	out := make([]api.QueuedRun, len(rows))
	for i, r := range rows {
		out[i] = api.QueuedRun{
			RunID: r.Run.ID, Org: r.Run.Org, PipelineID: r.Run.PipelineID, State: r.State, Scheduled: r.Run.Start, Priority: r.Priority,
			Added: r.Run.Start, Started: timeOrNil(r.Run.Began), WaitingFor: r.Run.WaitingFor,
		}
	}
	return out, nil
}

const allRows = 1 << 20

// Status implements api.Queue.
func (q queued) Status(ctx context.Context, org string) (api.QueueStatus, error) {
	s, err := q.queue.Status(ctx, org)
	return api.QueueStatus{
		Active: s.ActivePipelines, Due: s.Due, Queued: s.Queued, Running: s.Running, CompletedToday: s.CompletedToday,
		FailedToday: s.FailedToday, QueueLength: s.QueueLength, AverageSeconds: s.AverageSeconds,
	}, err
}

// Process implements api.Queue.
func (q queued) Process(ctx context.Context) (api.Processed, error) {
	done, err := q.queue.Process(ctx, q.limit)
	return api.Processed(done), err
}

// Trigger implements api.Scheduler.
func (q queued) Trigger(ctx context.Context, org string, limit int) (api.Triggered, error) {
	done, err := q.queue.Trigger(ctx, org, limit)
	return api.Triggered{
		Triggered: done.Triggered, Queued: done.Queued, Skipped: done.Skipped, Next: done.Next, Details: api.TriggeredDetails(done.Details),
	}, err
}

// ResetDailyQuotas implements api.Scheduler.
func (q queued) ResetDailyQuotas(ctx context.Context) (api.QuotaReset, error) {
	done, err := q.queue.ResetDailyQuotas(ctx)
	return api.QuotaReset(done), err
}

// CleanupOrphaned implements api.Scheduler.
func (q queued) CleanupOrphaned(ctx context.Context, age time.Duration) (api.Cleanup, error) {
	done, err := q.queue.CleanupOrphaned(ctx, age)
	out := api.Cleanup{
		Status: done.Status, Cleaned: done.Cleaned, Orgs: done.Orgs, OrgsWithSome: done.OrgsWithSome, Details: []api.CleanupOrg{}, Message: done.Message, At: done.At,
	}
	for _, d := range done.Details {
		out.Details = append(out.Details, api.CleanupOrg(d))
	}
	return out, err
}

// Schedules implements api.Schedules.
func (q queued) Schedules(ctx context.Context, org string, active *bool) ([]api.Schedule, error) {
	all, err := q.queue.Pipelines(ctx, org, active)
	if err != nil {
		return nil, err
	}
	out := make([]api.Schedule, len(all))
	for i, p := range all {
		out[i] = scheduleOf(p)
	}
	return out, nil
}

func scheduleOf(p queue.Pipeline) api.Schedule {
	return api.Schedule{
		ID: p.ConfigID, Org: p.Org, Provider: p.Provider, Domain: p.Domain, Pipeline: p.Template, Cron: p.Cron, Timezone: p.Timezone, Active: p.Active,
		NextRun: timeOrNil(p.NextRun), LastRun: timeOrNil(p.LastRun), LastStatus: textOrNil(p.LastStatus), Parameters: p.Params, Priority: p.Priority,
		Created: p.Created, Updated: timeOrNil(p.Updated),
	}
}

// Schedule implements api.Schedules.
func (q queued) Schedule(ctx context.Context, n api.NewSchedule) (api.Schedule, error) {
	params, err := queue.TextParams(n.Parameters)
	if err != nil {
		return api.Schedule{}, err
	}
	p, err := q.queue.Schedule(ctx, queue.Pipeline{
		Org: n.Org, Provider: n.Provider, Domain: n.Domain, Template: n.Pipeline, Cron: n.Cron, Timezone: n.Timezone, Active: n.Active,
		Params: params, Priority: n.Priority,
	})
	return scheduleOf(p), err
}

// Unschedule implements api.Schedules.
func (q queued) Unschedule(ctx context.Context, org, id string) error {
	return q.queue.Unschedule(ctx, org, id)
}

// auditOf writes the API's audit entries to the store.
type auditOf struct{ to *store.Audit }

// nobody is the organisation of a denial to a caller who is unknown.
const nobody = "-"

// Record implements api.Audit.
func (a auditOf) Record(ctx context.Context, e api.AuditEntry) {
	a.to.Append(ctx, store.AuditEntry{
		Org: cmp.Or(e.Org, nobody), UserID: e.UserID, KeyID: e.KeyID, Action: e.Action, ResourceType: e.ResourceType, ResourceID: e.ResourceID,
		Details: map[string]string{"method": e.Method, "path": e.Path}, Address: e.Address, UserAgent: e.UserAgent, RequestID: e.RequestID,
		Status: e.Status, Error: e.Error,
	})
}
