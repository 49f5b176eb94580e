package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/civil"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store"
	"github.com/cloudact/convergence/launcher/units"
)

const mostParallel = 64

type backfillFlags struct {
	runFlags
	parallel int
	force    bool
}

func (a *app) backfillCommand() *cobra.Command {
	f := backfillFlags{runFlags: runFlags{runner: run.Prism}}
	c := &cobra.Command{
		Use:   "backfill PIPELINE --from D --to D",
		Short: "Run a pipeline once for each of many days",
		Long: "A day is finished when all of its slices have been published, by whatever run; such days are\n" +
			"skipped. After an interruption or a failure the same command goes on with the rest: days that\n" +
			"were under way resume from what they had staged. A line per day says how it ended.",
		Example: "  convergence backfill openai/cost/usage_cost --org acme --from 2026-06-01 --to 2026-07-31 --parallel 4\n" +
			"  convergence backfill my_pipeline.yml --org acme --from 2026-06-01 --to 2026-06-07 --force",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.backfill(c.Context(), args[0], f) },
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation that the runs are for")
	c.Flags().StringVar(&f.from, "from", "", "first day, YYYY-MM-DD")
	c.Flags().StringVar(&f.to, "to", "", "last day, inclusive")
	c.Flags().IntVar(&f.parallel, "parallel", 1, "how many days run at the same time, each in a process of its own")
	c.Flags().BoolVar(&f.force, "force", false, "also state finished days again")
	c.Flags().StringArrayVar(&f.vars, "var", nil, "run parameter as name=value; repeatable")
	return c
}

// day is one day of a backfill, and how it ended.
type day struct {
	Date      civil.Date `json:"date"`
	Outcome   string     `json:"outcome"` // skipped, completed, failed, cancelled, timeout, not started
	Run       string     `json:"run_id,omitempty"`
	Rows      int64      `json:"rows"`
	Published int64      `json:"published"`
	Adopted   int64      `json:"pages_adopted"`
	Again     int64      `json:"pages_fetched_again"`
	Seconds   float64    `json:"seconds"`
	Code      string     `json:"error_code,omitempty"`
	Error     string     `json:"error_message,omitempty"`

	units []string
}

// The outcomes that are not the state of a run.
const (
	outcomeSkipped    = "skipped"
	outcomeNotStarted = "not started"
	outcomeFailed     = "failed"
)

func (a *app) backfill(ctx context.Context, target string, f backfillFlags) error {
	from, to, err := daysFlags{from: f.from, to: f.to}.parse(true)
	if err != nil {
		return err
	}
	if f.parallel < 1 || f.parallel > mostParallel {
		return usageError{fmt.Errorf("--parallel is %d; it must be 1 to %d", f.parallel, mostParallel)}
	}
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	p := newPlanner(a.env, catalog)
	f.from, f.to = "", "" // each run has a day of its own
	request, err := f.request(p, target)
	if err != nil {
		return err
	}
	for _, name := range []string{"date", "start_date", "end_date"} {
		if _, said := request.Params[name]; said {
			return usageError{fmt.Errorf("--var %s: the days of a backfill are --from and --to", name)}
		}
	}
	days, err := a.planDays(ctx, p, request, from, to)
	if err != nil {
		return a.explain(err)
	}
	d, err := a.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if err := store.CreateDataset(ctx, d.BigQuery, d.dataset(f.org), d.env.Location); err != nil {
		return err
	}
	if !f.force {
		if err := d.skipFinished(ctx, f.org, days); err != nil {
			return err
		}
	}
	return a.fillDays(ctx, d, request, days, f.parallel)
}

// planDays plans every day, so that nothing is started of a pipeline that cannot run.
func (a *app) planDays(ctx context.Context, p *planner, r launcher.Request, from, to civil.Date) ([]*day, error) {
	var out []*day
	known := map[string]int{} // unit -> days that state it
	for at := from; !to.Before(at); at = at.AddDays(1) {
		r.Start, r.End = at, at
		if len(out) == 0 { // what a plan warns of is the same for every day
			p.warn = func(w configs.Problem) { fmt.Fprintln(a.err, w) }
		}
		planned, err := p.Plan(ctx, r, uuid.Nil.String(), time.Now().UTC())
		p.warn = nil
		if err != nil {
			return nil, err
		}
		d := &day{Date: at}
		for _, u := range planned.Units {
			d.units = append(d.units, u.ID)
			known[u.ID]++
		}
		out = append(out, d)
	}
	// What several days state, such as a table that is overwritten, says nothing of one.
	for _, d := range out {
		var own []string
		for _, id := range d.units {
			if known[id] == 1 {
				own = append(own, id)
			}
		}
		d.units = own
	}
	if len(out) > 1 && len(out[0].units) == 0 {
		return nil, fmt.Errorf("no step of the pipeline works by day: every run would state the same rows; use %q with --from and --to", "convergence run")
	}
	return out, nil
}

func (d *desk) units() units.Reader {
	return units.Reader{Client: d.BigQuery, Central: wiring.CentralDataset, Location: d.env.Location}
}

// skipFinished marks the days of which every unit has been published.
func (d *desk) skipFinished(ctx context.Context, org string, days []*day) error {
	var ids []string
	for _, one := range days {
		ids = append(ids, one.units...)
	}
	known, err := d.units().Read(ctx, org, d.dataset(org), ids, false)
	if err != nil {
		return fmt.Errorf("read what has been published: %w", err)
	}
	for _, one := range days {
		finished := len(one.units) > 0
		for _, id := range one.units {
			finished = finished && known[id].State == units.Published
			one.Run = known[id].Run
		}
		if finished {
			one.Outcome = outcomeSkipped
		} else {
			one.Run = ""
		}
	}
	return nil
}

// fillDays runs the days that are not skipped, so many at a time, in ascending order, and
// says how each has ended.
func (a *app) fillDays(ctx context.Context, d *desk, request launcher.Request, days []*day, parallel int) error {
	children, err := d.children()
	if err != nil {
		return err
	}
	jobs, err := newRunners(ctx, d.env, children, d.app.logger())
	if err != nil {
		return err
	}
	defer jobs.close()
	l := d.launcher(jobs, d.env.Runner, nil)
	defer l.Close()
	var printing sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, one := range days {
		if one.Outcome == outcomeSkipped {
			a.printDay(&printing, one)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			one.Outcome = outcomeNotStarted
			a.printDay(&printing, one)
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			r := request
			r.Start, r.End = one.Date, one.Date
			one.fill(ctx, l, r)
			a.printDay(&printing, one)
		})
	}
	wg.Wait()
	return a.sumUp(ctx, days)
}

// fill runs one day to its end.
func (d *day) fill(ctx context.Context, l *launcher.Launcher, r launcher.Request) {
	begun := time.Now()
	defer func() { d.Seconds = time.Since(begun).Seconds() }()
	ended, err := toEnd(ctx, l, r, func(started launcher.Run, _ bool) { d.Run = started.ID })
	var coded *launcher.Error
	switch {
	case errors.As(err, &coded):
		d.Outcome, d.Code, d.Error = outcomeFailed, string(coded.Code), coded.Error()
		return
	case err != nil:
		d.Outcome, d.Error = outcomeFailed, err.Error()
		return
	}
	d.Outcome, d.Code, d.Error = strings.ToLower(string(ended.State)), ended.Code, ended.Error
	for _, s := range ended.Steps {
		d.Rows += s.Counts.Rows
		d.Published += s.Published
		d.Adopted += s.Counts.Adopted
		d.Again += s.Counts.Refetched
	}
}

func (a *app) printDay(mu *sync.Mutex, d *day) {
	mu.Lock()
	defer mu.Unlock()
	if a.output == outputJSON {
		_ = json.NewEncoder(a.out).Encode(d) // as the text below: whoever reads it may have left
		return
	}
	line := fmt.Sprintf("%s  %-11s", d.Date, d.Outcome)
	switch d.Outcome {
	case outcomeSkipped:
		line += "  published by run " + d.Run
	case outcomeNotStarted:
	default:
		line += fmt.Sprintf("  run %s  %d rows, %d published, %d pages adopted, %d fetched again, %.1f s", d.Run, d.Rows, d.Published, d.Adopted, d.Again, d.Seconds)
	}
	if d.Error != "" {
		line += "  " + strings.TrimPrefix(d.Code+": ", ": ") + d.Error
	}
	fmt.Fprintln(a.out, line)
}

// sumUp closes a backfill. Days that did not complete make it fail.
func (a *app) sumUp(ctx context.Context, days []*day) error {
	counts, open := map[string]int{}, 0
	for _, d := range days {
		counts[d.Outcome]++
		if d.Outcome != outcomeSkipped && d.Outcome != strings.ToLower(string(launcher.Completed)) {
			open++
		}
	}
	parts := []string{}
	for _, name := range []string{"completed", outcomeSkipped, outcomeFailed, "timeout", "cancelled", outcomeNotStarted} {
		if n := counts[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	fmt.Fprintf(a.err, "%d days: %s\n", len(days), strings.Join(parts, ", "))
	switch {
	case open == 0:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("stopped with %d of %d days open; the same command goes on with them", open, len(days))
	default:
		return fmt.Errorf("%d of %d days did not complete; the same command tries them again", open, len(days))
	}
}
