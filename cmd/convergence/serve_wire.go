package main

import (
	"log/slog"
	"sync/atomic"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/store"
)

// parts is what a service is made of, joined. Close it once.
type parts struct {
	app      *app
	w        *warehouse
	store    *store.Store
	catalog  *configs.Catalog
	log      *slog.Logger
	metrics  *api.Metrics
	launcher *launcher.Launcher
	stopping atomic.Bool
}

// assemble starts what works in the background. job is the command of a run's process.
func (a *app) assemble(w *warehouse, s *store.Store, catalog *configs.Catalog, job []string, log *slog.Logger) *parts {
	return &parts{
		app: a, w: w, store: s, catalog: catalog, log: log, metrics: api.NewMetrics(),
		launcher: launcher.New(launcher.Config{
			Store: s, Register: s, Planner: newPlanner(w.env, catalog),
			Runner: &local.Runner{Command: job, Env: w.env.JobEnviron()},
			Dir:    a.dataDir, Env: w.env.Suffix(), Project: w.env.Project, Location: w.env.Location, Engine: run.Prism,
			Now: launcher.Clock, Log: log,
		}),
	}
}

func (p *parts) close() { p.launcher.Close() }

// config wires the API to the parts.
func (p *parts) config() api.Config {
	env := p.w.env
	cfg := p.app.httpConfig(env, p.log)
	cfg.Runs, cfg.Keys, cfg.Ready, cfg.Stopping = p.launcher, store.NewKeys(p.store), p.store.Ping, p.stopping.Load
	if env.Service.Metrics {
		cfg.Metrics = p.metrics
	}
	pipelines := &catalogueOf{env: env, planner: newPlanner(env, p.catalog), bigquery: p.w.BigQuery, now: launcher.Clock, log: p.log}
	cfg.Catalogue, cfg.Documents = pipelines, pipelines
	integrations := integrationsOf{env.Integrations(p.w.Credentials, wiring.Directory{
		Environment: env, Of: func(string) configs.Providers { return p.catalog.Providers() },
	}, nil)}
	cfg.Integrations, cfg.IntegrationStates = integrations, integrations
	return cfg
}
