package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/local"
	pricetables "github.com/cloudact/convergence/launcher/prices"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/queue"
	"github.com/cloudact/convergence/launcher/store"
)

// parts is what a service is made of, joined. Close it once.
type parts struct {
	app       *app
	w         *warehouse
	store     *store.Store
	catalog   *configs.Catalog
	log       *slog.Logger
	metrics   *api.Metrics
	pipelines *catalogueOf
	once      *queue.Admission
	runners   *runners
	launcher  *launcher.Launcher
	queue     *queue.Queue
	audit     *store.Audit
	prices    *pricetables.Store
	tell      func(context.Context, launcher.Run) error // people, how a run ended
	stopping  atomic.Bool
}

// serviceRetries is how often a run of the service is tried again where its document does
// not say.
const serviceRetries = 3

// assemble starts what works in the background. job is the command of a run's process.
func (a *app) assemble(w *warehouse, s *store.Store, catalog *configs.Catalog, job []string, log *slog.Logger) (*parts, error) {
	tables, err := w.env.PriceStore(w.BigQuery, catalog.Providers())
	if err != nil {
		return nil, err
	}
	if a.metrics == nil {
		a.metrics = api.NewMetrics()
	}
	p := &parts{
		app: a, w: w, store: s, catalog: catalog, log: log, metrics: a.metrics, audit: store.NewAudit(s, log), prices: tables,
	}
	if p.tell, err = w.teller(s, log); err != nil {
		return nil, err
	}
	planner := w.planner(catalog)
	planner.profiles = store.NewAccounts(s)
	p.pipelines = &catalogueOf{env: w.env, planner: planner, bigquery: w.BigQuery, now: launcher.Clock, log: log}
	self := procid.Self()
	p.once = p.admission(self.String())
	if p.runners, err = newRunners(context.Background(), w.env, &local.Runner{Command: job, Env: w.env.JobEnviron()}, log); err != nil {
		return nil, err
	}
	p.launcher = launcher.New(launcher.Config{
		Store: s, Register: s, Planner: planner, Stages: stages{w}, Admission: p.once,
		Runner: p.runners,
		Dir:    a.dataDir, Env: w.env.Suffix(), Project: w.env.Project, Location: w.env.Location, Engine: w.env.Runner,
		Owner: self, Service: true, Retries: serviceRetries, Now: launcher.Clock, Log: log, Ended: p.ended,
		Enqueue: func(r launcher.Run) { p.queue.Enqueue(r) }, Trace: traceOf,
		Storage: func() error { return writable(a.dataDir) },
	})
	p.queue = p.newQueue(self.String(), p.once)
	return p, nil
}

// work goes on with what an earlier process left, then works the queue until ctx ends.
func (p *parts) work(ctx context.Context) {
	if err := p.launcher.Recover(ctx); err != nil && ctx.Err() == nil {
		p.log.Error("go on with the runs of an earlier process; the next heartbeat tries again", "error", err)
	}
	p.queue.Loop(ctx)
}

// ended tells people of a run that has ended, and counts it.
func (p *parts) ended(ctx context.Context, r launcher.Run) error {
	if err := p.tell(ctx, r); err != nil {
		return err
	}
	p.metrics.RunEnded(r.Org, r.PipelineID, string(r.State), r.End.Sub(r.Start))
	for _, s := range r.Steps {
		p.metrics.StepEnded(s.Type, s.Counts.Rows, s.Counts.Retries)
	}
	return nil
}

func (p *parts) close() {
	p.queue.Close()
	p.launcher.Close()
	p.runners.close()
	p.audit.Close()
}

// config wires the API to the parts.
func (p *parts) config() api.Config {
	env := p.w.env
	cfg := p.app.httpConfig(env, p.log)
	cfg.Storage = func() error { return writable(p.app.dataDir) }
	cfg.Keys, cfg.Ready, cfg.Stopping = store.NewKeys(p.store), p.store.Ping, p.stopping.Load
	if env.Service.Metrics {
		cfg.Metrics = p.metrics
	}
	runs := queued{Launcher: p.launcher, queue: p.queue, limit: env.Service.QueueTime}
	cfg.Runs, cfg.Control, cfg.Feed, cfg.Once = runs, runs, p.launcher, p.once
	cfg.Queue, cfg.Scheduler, cfg.Schedules = runs, runs, runs
	cfg.Catalogue, cfg.Documents, cfg.Audit = p.pipelines, p.pipelines, auditOf{p.audit}
	integrations := integrationsOf{env.Integrations(p.w.Credentials, wiring.Directory{
		Environment: env, Of: func(org string) configs.Providers { return p.pipelines.planner.seenBy(org).Providers() },
	}, p.ready)}
	cfg.Integrations, cfg.IntegrationStates = integrations, integrations
	cfg.Prices, cfg.PriceEditor, cfg.PriceUpserter = priceRows{p.prices}, priceRows{p.prices}, priceRows{p.prices}
	cfg.Costs = costsOf{env: env, client: p.w.BigQuery}
	cfg.Plans, cfg.PlanEditor = planRows{p.prices}, planRows{p.prices}
	return cfg
}

// ready makes and seeds the tables of a provider whose integration is VALID, and schedules
// the pipelines that it makes possible.
func (p *parts) ready(ctx context.Context, org string, provider credentials.Provider) error {
	tables := wiring.PreparePrices(p.prices, p.catalog.Providers())
	_, err := p.queue.AddDefaults(ctx, org, provider.Name)
	return errors.Join(tables(ctx, org, provider), err)
}
