package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/launcher/store"
	pages "github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// stages implements launcher.Stages with the warehouse in use.
type stages struct{ *warehouse }

// Drop drops the staging tables of generations, by unit.
func (s stages) Drop(ctx context.Context, dataset string, generations map[string]int) error {
	var units []pages.Unit
	for id, g := range generations {
		units = append(units, pages.Unit{ID: id, Generation: g})
	}
	return sink.DropStages(ctx, s.BigQuery, dataset, units)
}

// desk is what commands that operate runs work with: an open warehouse, its store, and the
// pipelines of this binary. Close it once.
type desk struct {
	*warehouse
	app     *app
	store   *store.Store
	catalog *configs.Catalog
	planner *planner
}

func (a *app) desk(ctx context.Context) (*desk, error) {
	catalog, err := a.env.Catalog()
	if err != nil {
		return nil, err
	}
	w, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := openStore(ctx, w, catalog)
	if err != nil {
		w.close()
		return nil, err
	}
	planner := w.planner(catalog)
	planner.profiles = store.NewAccounts(s)
	return &desk{warehouse: w, app: a, store: s, catalog: catalog, planner: planner}, nil
}

func (d *desk) dataset(org string) string { return launcher.Dataset(org, d.env.Suffix()) }

// launcher makes a launcher whose jobs are started by the runner.
func (d *desk) launcher(runner launcher.Runner, engine string, watch func(string, runfolder.Event)) *launcher.Launcher {
	return launcher.New(launcher.Config{
		Store: d.store, Register: d.store, Planner: d.planner, Runner: runner, Stages: stages{d.warehouse},
		Dir: d.app.dataDir, Env: d.env.Suffix(), Project: d.env.Project, Location: d.env.Location, Engine: engine,
		Now: launcher.Clock, Log: d.app.logger(), Watch: watch,
	})
}

// children starts jobs as child processes: a process runs one job.
func (d *desk) children() (*local.Runner, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return &local.Runner{Command: []string{exe, "job"}, Env: d.env.JobEnviron()}, nil
}

// daysFlags are --date, or --from and --to.
type daysFlags struct{ date, from, to string }

// parse returns the days that the flags name, zero for none. required wants some.
func (f daysFlags) parse(required bool) (from, to civil.Date, err error) {
	for _, d := range []struct {
		name, value string
		into        *civil.Date
	}{{"--from", f.from, &from}, {"--to", f.to, &to}, {"--date", f.date, &from}} {
		if d.value == "" {
			continue
		}
		if *d.into, err = civil.ParseDate(d.value); err != nil {
			return from, to, usageError{fmt.Errorf("%s is %q; write it as YYYY-MM-DD", d.name, d.value)}
		}
	}
	switch {
	case f.date != "" && (f.from != "" || f.to != ""):
		return from, to, usageError{errors.New("--date names one day, --from and --to name several: give one or the other")}
	case f.date != "":
		return from, from, nil
	case f.from == "" && f.to == "" && !required:
		return from, to, nil
	case f.from == "" || f.to == "":
		return from, to, usageError{errors.New("--from and --to are both needed: the first and the last day, as YYYY-MM-DD")}
	case to.Before(from):
		return from, to, usageError{fmt.Errorf("--to %s is before --from %s", to, from)}
	}
	return from, to, nil
}

// drive starts a recorded run here and follows it to its end. A run that another process
// works on is only followed.
func drive(ctx context.Context, l *launcher.Launcher, org, id string) (launcher.Run, error) {
	stop := context.AfterFunc(ctx, func() { l.Stop(id) })
	defer stop()
	for ctx.Err() == nil {
		err := l.Start(ctx, org, id)
		var waiting *launcher.Waiting
		var later *launcher.Later
		var elsewhere *launcher.Elsewhere
		pause := time.Second
		switch {
		case err == nil, errors.As(err, &elsewhere), ctx.Err() != nil:
			return l.Wait(context.WithoutCancel(ctx), org, id)
		case errors.As(err, &waiting):
		case errors.As(err, &later):
			pause = max(time.Until(later.At), 0)
		default:
			return launcher.Run{}, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return l.Run(context.WithoutCancel(ctx), org, id)
}
