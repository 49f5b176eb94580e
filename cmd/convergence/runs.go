package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/runfolder"
)

const (
	cancelPatience = 45 * time.Second // a process that works on the run hears of it within a heartbeat
	defaultRuns    = 20
	mostRuns       = 1000
	shortError     = 60 // characters of an error in a list
)

type runsFlags struct {
	org, pipeline, state  string
	limit                 int
	logs, cancel, discard bool
	retry                 bool
}

func (a *app) runsCommand() *cobra.Command {
	var f runsFlags
	c := &cobra.Command{
		Use:   "runs [ID]",
		Short: "List runs, look into one, cancel or retry it",
		Long: "Without an ID the newest runs of --org. With one its steps: rows that reached the sink, pages\n" +
			"fetched, adopted from an earlier attempt, and fetched again although they had been staged.\n" +
			"--cancel keeps what was staged, so that a later run goes on from there; with --discard it is\n" +
			"dropped. --retry makes a new run of the same days, in this process.",
		Example: "  convergence runs --org acme\n  convergence runs 3b1f0d5e-8f0c-4f6e-9f43-1c6f6c9b6a55 --org acme --logs\n" +
			"  convergence runs 3b1f0d5e-8f0c-4f6e-9f43-1c6f6c9b6a55 --org acme --retry",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("one run at a time; see %q", c.CommandPath()+" --help")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			return a.runs(c.Context(), args, f)
		},
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation")
	c.Flags().StringVar(&f.pipeline, "pipeline", "", "only runs of this tracking id, {org}-{provider}-{domain}-{name}")
	c.Flags().StringVar(&f.state, "state", "", "only runs in this state, such as FAILED")
	c.Flags().IntVar(&f.limit, "limit", defaultRuns, "how many runs are listed")
	c.Flags().BoolVar(&f.logs, "logs", false, "print the log of the run's job")
	c.Flags().BoolVar(&f.cancel, "cancel", false, "ask for the end of the run")
	c.Flags().BoolVar(&f.discard, "discard", false, "with --cancel: drop what it has staged")
	c.Flags().BoolVar(&f.retry, "retry", false, "run it again, from what it had staged")
	return c
}

var runStates = map[string]bool{
	"": true, "PENDING": true, "RUNNING": true, "COMPLETED": true, "FAILED": true, "TIMEOUT": true, "CANCELLED": true,
}

func (f runsFlags) check(args []string) error {
	verbs := 0
	for _, said := range []bool{f.logs, f.cancel, f.retry} {
		if said {
			verbs++
		}
	}
	switch {
	case verbs > 1:
		return usageError{errors.New("--logs, --cancel and --retry are three things to do: give one")}
	case verbs > 0 && len(args) == 0:
		return usageError{errors.New("--logs, --cancel and --retry need the ID of a run; without flags, runs lists them")}
	case f.discard && !f.cancel:
		return usageError{errors.New("--discard belongs to --cancel")}
	case !runStates[f.state]:
		return usageError{fmt.Errorf("--state is %q; it must be PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT or CANCELLED", f.state)}
	case f.limit < 1 || f.limit > mostRuns:
		return usageError{fmt.Errorf("--limit is %d; it must be 1 to %d", f.limit, mostRuns)}
	}
	if len(args) == 1 {
		if _, err := uuid.Parse(args[0]); err != nil {
			return usageError{fmt.Errorf("%q is no ID of a run; runs without an ID lists them", args[0])}
		}
	}
	return checkOrg(f.org)
}

func (a *app) runs(ctx context.Context, args []string, f runsFlags) error {
	d, err := a.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if len(args) == 0 {
		runs, err := d.store.List(ctx, f.org, launcher.Filter{Pipeline: f.pipeline, State: launcher.State(f.state), Limit: f.limit})
		if err != nil {
			return fmt.Errorf("list runs of %s: %w", f.org, err)
		}
		return a.printRuns(runs)
	}
	id := args[0]
	switch {
	case f.logs:
		return a.printLog(ctx, d, f.org, id)
	case f.retry:
		return a.retryRun(ctx, d, f.org, id)
	}
	l := d.launcher(&inProcess{env: d.env, app: a}, "", nil)
	defer l.Close()
	if f.cancel {
		return a.cancelRun(ctx, l, f, id)
	}
	run, err := l.Run(ctx, f.org, id)
	if err != nil {
		return err
	}
	return a.showRun(run)
}

func (a *app) printRuns(runs []launcher.Run) error {
	if a.output == outputJSON {
		if runs == nil {
			runs = []launcher.Run{}
		}
		return json.NewEncoder(a.out).Encode(runs)
	}
	t := a.table("run", "pipeline", "days", "state", "started", "seconds", "code", "error")
	for _, r := range runs {
		t.AppendRow(table.Row{
			r.ID, r.PipelineID, daysOf(r), string(r.State), r.Start.UTC().Format("2006-01-02 15:04:05"), secondsOf(r.Start, r.End), r.Code,
			text.Trim(r.Error, shortError),
		})
	}
	return a.render(t)
}

// table begins a table of the given columns.
func (a *app) table(columns ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(columns)
	return t
}

// render prints a table as text or as CSV.
func (a *app) render(t table.Writer) error {
	rendered := t.Render
	if a.output == outputCSV {
		rendered = t.RenderCSV
	}
	_, err := fmt.Fprintln(a.out, rendered())
	return err
}

func daysOf(r launcher.Run) string {
	switch {
	case r.RunDate.IsZero():
		return ""
	case r.RunEnd.IsZero() || r.RunEnd == r.RunDate:
		return r.RunDate.String()
	default:
		return r.RunDate.String() + " to " + r.RunEnd.String()
	}
}

func secondsOf(start, end time.Time) string {
	if start.IsZero() || end.IsZero() {
		return ""
	}
	return fmt.Sprintf("%.1f", end.Sub(start).Seconds())
}

// showRun prints a run with its steps.
func (a *app) showRun(r launcher.Run) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(r)
	}
	if a.output == outputText {
		fmt.Fprintf(a.out, "run %s of %s, %s: %s, attempt %d, by %s\n", r.ID, r.PipelineID, daysOf(r), r.State, r.Attempt, r.Trigger)
		for _, line := range []struct{ what, value string }{
			{"waits for run", r.WaitingFor}, {"landed by run", r.LandedBy}, {"retry of run", r.RetryOf},
		} {
			if line.value != "" {
				fmt.Fprintf(a.out, "%s %s\n", line.what, line.value)
			}
		}
		if r.Code != "" || r.Error != "" {
			fmt.Fprintf(a.out, "%s: %s\n", r.Code, r.Error)
		}
	}
	t := a.table("step", "state", "table", "rows", "published", "rejected", "fetched", "adopted", "again", "retries", "seconds", "code", "error")
	for _, s := range r.Steps {
		t.AppendRow(table.Row{
			s.Step, string(s.State), s.Table, s.Counts.Rows, s.Published, s.Counts.Rejected, s.Counts.Pages, s.Counts.Adopted, s.Counts.Refetched,
			s.Counts.Retries, secondsOf(s.Start, s.End), s.Code, text.Trim(s.Error, shortError),
		})
	}
	return a.render(t)
}

// printLog prints the log of the run's job, which lies in the data directory of the
// process that launched it.
func (a *app) printLog(ctx context.Context, d *desk, org, id string) error {
	l := d.launcher(&inProcess{env: d.env, app: a}, "", nil)
	defer l.Close()
	if _, err := l.Run(ctx, org, id); err != nil { // not another organisation's
		return err
	}
	path := filepath.Join(a.dataDir, "runs", id, runfolder.LogFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("run %s left no log here: %s does not exist; it may have run on another host or with another --data-dir", id, path)
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(a.out, file); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

// cancelRun asks for the end of a run and waits for it a while.
func (a *app) cancelRun(ctx context.Context, l *launcher.Launcher, f runsFlags, id string) error {
	if _, err := l.Cancel(ctx, f.org, id, f.discard); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, cancelPatience)
	defer cancel()
	run, err := l.Wait(patience, f.org, id)
	if err != nil && ctx.Err() == nil && patience.Err() != nil {
		fmt.Fprintf(a.out, "run %s is asked to end; the process that works on it has not answered within %s\n", id, cancelPatience)
		return nil
	}
	if err != nil {
		return err
	}
	return a.showRun(run)
}

// retryRun makes a new run of the days of one that has ended, in this process.
func (a *app) retryRun(ctx context.Context, d *desk, org, id string) error {
	if err := parseBeamFlags(); err != nil {
		return err
	}
	shown := newProgress(a.err)
	l := d.launcher(&inProcess{env: d.env, app: a}, "", func(_ string, e runfolder.Event) { shown.event(e) })
	defer l.Close()
	run, existing, err := l.Retry(ctx, org, id, "cli")
	if err != nil {
		return a.explain(err)
	}
	if existing {
		fmt.Fprintf(a.err, "run %s is already at the work of run %s\n", run.ID, id)
	} else {
		fmt.Fprintf(a.err, "run %s of %s, retry of %s\n", run.ID, run.PipelineID, id)
	}
	ended, err := drive(ctx, l, org, run.ID)
	if err != nil {
		return err
	}
	return a.printRun(ended)
}
