package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/launcher/store"
)

const defaultOrg = "dev_org_local"

type runFlags struct {
	org            string
	date, from, to string
	runner         string
	vars           []string
	dryRun         bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run PIPELINE",
		Short: "Run one pipeline without the service",
		Long:  "PIPELINE is a file or the name of a shipped pipeline (provider/domain/name). Rows land in the\ndataset of --org. Without dates the run states yesterday (UTC).",
		Example: "  convergence run openai/cost/usage_cost --org acme --from 2026-08-19 --to 2026-08-23\n" +
			"  convergence run my_pipeline.yml --org acme --date 2026-08-19 --dry-run",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.runPipeline(c.Context(), args[0], f) },
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation that the run is for")
	c.Flags().StringVar(&f.date, "date", "", "one day, YYYY-MM-DD")
	c.Flags().StringVar(&f.from, "from", "", "first day")
	c.Flags().StringVar(&f.to, "to", "", "last day, inclusive")
	c.Flags().StringVar(&f.runner, "runner", "", "prism, direct or dataflow; none: the pipeline's own, else that of CONVERGENCE_RUNNER")
	c.Flags().StringArrayVar(&f.vars, "var", nil, "run parameter as name=value; repeatable")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "resolve, validate and plan, print what would run, start nothing")
	return c
}

// request turns flags into what the launcher is asked for.
func (f runFlags) request(p *planner, target string) (launcher.Request, error) {
	if f.runner != "" && f.runner != run.Prism && f.runner != run.Direct && f.runner != run.Dataflow {
		return launcher.Request{}, usageError{fmt.Errorf("--runner is %q; it must be %s, %s or %s", f.runner, run.Prism, run.Direct, run.Dataflow)}
	}
	if err := checkOrg(f.org); err != nil {
		return launcher.Request{}, err
	}
	r, err := p.target(target, f.org)
	if err != nil {
		return r, err
	}
	r.Org, r.Runner, r.Trigger, r.TriggerBy = f.org, f.runner, "cli", "cli"
	if r.Params, err = parameters(f.vars); err != nil {
		return r, err
	}
	for flagName, d := range map[string]struct{ name, value string }{
		"--date": {"date", f.date}, "--from": {"start_date", f.from}, "--to": {"end_date", f.to},
	} {
		if d.value == "" {
			continue
		}
		if _, err := civil.ParseDate(d.value); err != nil {
			return r, usageError{fmt.Errorf("%s is %q; write it as YYYY-MM-DD", flagName, d.value)}
		}
		r.Params[d.name] = d.value
	}
	return r, nil
}

// parameters reads the values of --var.
func parameters(vars []string) (map[string]string, error) {
	params := map[string]string{}
	for _, pair := range vars {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--var is %q; write it as name=value", pair)}
		}
		params[name] = value
	}
	return params, nil
}

// parseBeamFlags leaves Beam's own flags at their defaults.
func parseBeamFlags() error { return flag.CommandLine.Parse(nil) }

func (a *app) runPipeline(ctx context.Context, target string, f runFlags) error {
	if err := parseBeamFlags(); err != nil {
		return err
	}
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	p := newPlanner(a.env, catalog)
	p.warn = func(w configs.Problem) { fmt.Fprintln(a.err, w) }
	request, err := f.request(p, target)
	if err != nil {
		return err
	}
	planned, err := p.Plan(ctx, request, uuid.Nil.String(), time.Now().UTC())
	if err != nil {
		return a.explain(err)
	}
	if f.dryRun {
		return a.printPlan(planned)
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	return a.launchHere(ctx, w, catalog, request)
}

// explain prints the problems of a refused document, one line each.
func (a *app) explain(err error) error {
	var e *launcher.Error
	if !errors.As(err, &e) || len(e.Problems) == 0 {
		return err
	}
	for _, line := range e.Problems {
		fmt.Fprintln(a.err, line)
	}
	return failure{err}
}

func (a *app) printPlan(p *launcher.Plan) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(p)
	}
	fmt.Fprintf(a.out, "%s from %s to %s would run:\n", p.Pipeline, p.Start, p.End)
	for _, s := range p.Steps {
		units := 0
		for _, u := range p.Units {
			if u.Step == s.ID {
				units++
			}
		}
		fmt.Fprintf(a.out, "  %-24s %-32s -> %s (%d slices)\n", s.ID, s.Type, s.Table, units)
	}
	for _, h := range p.Hooks {
		fmt.Fprintf(a.out, "  %-24s %-32s when the run has ended\n", h.Step, h.Type)
	}
	return nil
}

// launchHere is launcher and job in one process.
func (a *app) launchHere(ctx context.Context, w *warehouse, catalog *configs.Catalog, request launcher.Request) error {
	s, err := openStore(ctx, w, catalog)
	if err != nil {
		return err
	}
	if err := store.CreateDataset(ctx, w.BigQuery, launcher.Dataset(request.Org, w.env.Suffix()), w.env.Location); err != nil {
		return err
	}
	log := a.logger()
	tell, err := w.teller(s, log)
	if err != nil {
		return err
	}
	shown := newProgress(a.err)
	planner := w.planner(catalog)
	planner.profiles = store.NewAccounts(s)
	jobs, err := newRunners(ctx, w.env, &inProcess{env: w.env, app: a}, log)
	if err != nil {
		return err
	}
	defer jobs.close()
	l := launcher.New(launcher.Config{
		Store: s, Register: s, Planner: planner, Runner: jobs,
		Dir: a.dataDir, Env: w.env.Suffix(), Project: w.env.Project, Location: w.env.Location, Engine: w.env.Runner,
		Now: launcher.Clock, Log: log, Stages: stages{w}, Ended: tell, Watch: func(_ string, e runfolder.Event) { shown.event(e) },
	})
	defer l.Close()
	ended, err := toEnd(ctx, l, request, func(r launcher.Run, existing bool) {
		fmt.Fprintf(a.err, "run %s of %s\n", r.ID, r.PipelineID)
		if existing {
			fmt.Fprintln(a.err, "it is at work already, started by another command or a service; waiting for its end")
		}
	})
	if err != nil {
		return a.explain(err)
	}
	return a.printRun(ended)
}

// toEnd launches a run and waits for its end; began hears of the run, and whether it was
// there already. When the request is answered with the active run of another command and
// that one is lost, it is launched again, and goes on with what the lost one staged. When
// ctx ends the run is stopped, or, if it is another's, left to go on.
func toEnd(ctx context.Context, l *launcher.Launcher, r launcher.Request, began func(run launcher.Run, existing bool)) (launcher.Run, error) {
	for {
		run, existing, err := l.Launch(ctx, r)
		if err != nil {
			return launcher.Run{}, err
		}
		began(run, existing)
		if !existing {
			stop := context.AfterFunc(ctx, func() { l.Stop(run.ID) })
			defer stop()
			return l.Wait(context.WithoutCancel(ctx), r.Org, run.ID)
		}
		ended, err := l.Wait(ctx, r.Org, run.ID)
		if err != nil && ctx.Err() != nil {
			return launcher.Run{}, fmt.Errorf("stopped waiting; run %s goes on without this command", run.ID)
		}
		if err != nil || ended.Code != string(launcher.CodeLost) {
			return ended, err
		}
	}
}

func (a *app) printRun(r launcher.Run) error {
	if a.output == outputJSON {
		if err := json.NewEncoder(a.out).Encode(r); err != nil {
			return err
		}
	} else {
		printSteps(a.out, r)
	}
	if r.State == launcher.Completed {
		return nil
	}
	if r.State == launcher.Cancelled {
		return fmt.Errorf("run %s was stopped; the same command starts it again", r.ID)
	}
	return fmt.Errorf("run %s %s: %s: %s", r.ID, r.State, r.Code, r.Error)
}

// openStore opens the central tables and makes those that are missing.
func openStore(ctx context.Context, w *warehouse, catalog *configs.Catalog) (*store.Store, error) {
	tables := map[string][]byte{}
	for _, t := range catalog.Central() {
		b, err := json.Marshal(t)
		if err != nil {
			return nil, fmt.Errorf("encode table %s: %w", t.Name, err)
		}
		tables[t.Name] = b
	}
	s := store.New(store.Config{
		Client: w.BigQuery, Dataset: wiring.CentralDataset, Location: w.env.Location, Tables: tables, Now: launcher.Clock,
	})
	if err := s.Setup(ctx); err != nil {
		return nil, fmt.Errorf("set up central tables: %w", err)
	}
	return s, nil
}

// inProcess runs the one job of this process.
type inProcess struct {
	env wiring.Environment
	app *app
}

// Start implements launcher.Runner.
func (r *inProcess) Start(ctx context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	spec, err := folder.ReadSpec()
	if err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile(folder.Path(runfolder.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open job log: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	job := &inProcessJob{cancel: cancel, done: make(chan error, 1)}
	quiet := slog.New(slog.NewJSONHandler(logFile, nil))
	go func() {
		_, err := r.env.Job(ctx, spec, folder, quiet)
		cancel()
		_ = logFile.Close()
		job.done <- err
	}()
	return job, nil
}

type inProcessJob struct {
	cancel context.CancelFunc
	done   chan error
}

// Wait implements launcher.Process.
func (j *inProcessJob) Wait() error { return <-j.done }

// Stop implements launcher.Process.
func (j *inProcessJob) Stop() { j.cancel() }
