package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/deadletters"
)

const (
	defaultLetters = 100
	mostLetters    = 10_000
	shortMessage   = 50 // characters of a message or record in a table
)

func (a *app) dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "dlq", Short: "List rejected rows, or state the units again that rejected them",
		Example: "  convergence dlq list --org acme\n  convergence dlq replay openai/cost/usage_cost --org acme",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; there are list and replay", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.dlqList(), a.dlqReplay())
	return c
}

type dlqFlags struct {
	org  string
	rows bool
	deadletters.Filter
}

func (f dlqFlags) check() error {
	if f.Limit < 1 || f.Limit > mostLetters {
		return usageError{fmt.Errorf("--limit is %d; it must be 1 to %d", f.Limit, mostLetters)}
	}
	return checkOrg(f.org)
}

func (a *app) dlqList() *cobra.Command {
	var f dlqFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "Count the rows that steps rejected, by run, step and reason; --rows prints them",
		Example: "  convergence dlq list --org acme --all\n" +
			"  convergence dlq list --org acme --run 3b1f0d5e-8f0c-4f6e-9f43-1c6f6c9b6a55 --rows --output json",
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			d, err := a.desk(c.Context())
			if err != nil {
				return err
			}
			defer d.close()
			if f.rows {
				letters, err := d.letters(f.org).Letters(c.Context(), f.Filter)
				if err != nil {
					return err
				}
				return a.printLetters(letters)
			}
			groups, err := d.letters(f.org).Groups(c.Context(), f.Filter)
			if err != nil {
				return err
			}
			return a.printGroups(groups)
		},
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation")
	c.Flags().StringVar(&f.Pipeline, "pipeline", "", "only of this pipeline, provider/domain/name or the name of a file")
	c.Flags().StringVar(&f.Run, "run", "", "only of this run")
	c.Flags().BoolVar(&f.All, "all", false, "also rows whose unit has been stated again since")
	c.Flags().BoolVar(&f.rows, "rows", false, "print the rejected records")
	c.Flags().IntVar(&f.Limit, "limit", defaultLetters, "how many lines are printed")
	return c
}

func (d *desk) letters(org string) deadletters.Table {
	return deadletters.Table{Client: d.BigQuery, Dataset: d.dataset(org), Location: d.env.Location, Org: org}
}

func (a *app) printGroups(groups []deadletters.Group) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(nonNil(groups))
	}
	t := a.table("run", "pipeline", "step", "table", "code", "rows", "tried again", "when", "message")
	for _, g := range groups {
		t.AppendRow(table.Row{
			g.Run, g.Pipeline, g.Step, g.Table, g.Code, g.Letters, g.Retries, g.FailedAt.UTC().Format("2006-01-02 15:04:05"), text.Trim(g.Message, shortMessage),
		})
	}
	return a.render(t)
}

func (a *app) printLetters(letters []deadletters.Letter) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(nonNil(letters))
	}
	t := a.table("run", "step", "code", "message", "record")
	for _, l := range letters {
		record := l.Record
		if a.output == outputText {
			record = text.Trim(record, shortMessage)
		}
		t.AppendRow(table.Row{l.Run, l.Step, l.Code, text.Trim(l.Message, shortMessage), record})
	}
	return a.render(t)
}

// nonNil is an empty list in JSON, not null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *app) dlqReplay() *cobra.Command {
	f := backfillFlags{runFlags: runFlags{runner: run.Prism}, parallel: 1}
	var of string
	c := &cobra.Command{
		Use:   "replay PIPELINE",
		Short: "State the days again whose rows were rejected, with the pipeline as it is now",
		Long: "A rejected row is not put into the table by hand: the runs that rejected rows are run again, day\n" +
			"by day, with the parameters they had, and what the pipeline now takes lands under the step's write\n" +
			"mode. Rows that are still rejected come up again under the new run. A step that appends without\n" +
			"key_fields adds a day once, so a replay changes nothing of it and says so.",
		Example: "  convergence dlq replay openai/cost/usage_cost --org acme\n" +
			"  convergence dlq replay my_pipeline.yml --org acme --run 3b1f0d5e-8f0c-4f6e-9f43-1c6f6c9b6a55",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.replay(c.Context(), args[0], of, f) },
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation")
	c.Flags().StringVar(&of, "run", "", "only what this run rejected")
	c.Flags().IntVar(&f.parallel, "parallel", 1, "how many days run at the same time")
	return c
}

// replay runs the days again of the runs that left dead letters.
func (a *app) replay(ctx context.Context, target, of string, f backfillFlags) error {
	if f.parallel < 1 || f.parallel > mostParallel {
		return usageError{fmt.Errorf("--parallel is %d; it must be 1 to %d", f.parallel, mostParallel)}
	}
	if err := checkOrg(f.org); err != nil {
		return err
	}
	d, err := a.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	request, err := f.request(d.planner, target)
	if err != nil {
		return err
	}
	pipeline, err := d.pipeline(ctx, request)
	if err != nil {
		return a.explain(err)
	}
	groups, err := d.letters(f.org).Groups(ctx, deadletters.Filter{Pipeline: pipeline, Run: of, Limit: mostLetters})
	if err != nil {
		return err
	}
	runs, err := d.rejecting(ctx, f.org, groups)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		fmt.Fprintf(a.err, "nothing to replay: %s of %s has no rejected rows that were not tried again\n", pipeline, f.org)
		return nil
	}
	for _, r := range runs {
		request.Params = r.params
		if err := a.fillDays(ctx, d, request, r.days, f.parallel); err != nil {
			return err
		}
		for _, id := range r.ids {
			if err := d.letters(f.org).Replayed(ctx, pipeline, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipeline is the name under which a pipeline's dead letters are kept.
func (d *desk) pipeline(ctx context.Context, r launcher.Request) (string, error) {
	planned, err := d.planner.Plan(ctx, r, uuid.Nil.String(), launcher.Clock())
	if err != nil {
		return "", err
	}
	return planned.Pipeline, nil
}

// rejected are the days of runs with the same parameters.
type rejected struct {
	ids    []string
	params map[string]string
	days   []*day
}

// rejecting looks up what the runs asked for that left dead letters. Days that several of
// them state are stated once.
func (d *desk) rejecting(ctx context.Context, org string, groups []deadletters.Group) ([]*rejected, error) {
	var out []*rejected
	seen := map[string]bool{}
	for _, g := range groups {
		if seen[g.Run] {
			continue
		}
		seen[g.Run] = true
		events, err := d.store.Events(ctx, org, g.Run)
		if err != nil {
			return nil, fmt.Errorf("read run %s: %w", g.Run, err)
		}
		r, found, err := launcher.Reduce(events)
		if err != nil {
			return nil, err
		}
		if !found || r.RunDate.IsZero() {
			return nil, fmt.Errorf("run %s rejected rows, but is not known any more: run its days again by hand", g.Run)
		}
		at := slices.IndexFunc(out, func(o *rejected) bool { return maps.Equal(o.params, r.Params) })
		if at < 0 {
			at, out = len(out), append(out, &rejected{params: r.Params})
		}
		out[at].add(r)
	}
	return out, nil
}

func (o *rejected) add(r launcher.Run) {
	o.ids = append(o.ids, r.ID)
	last := r.RunEnd
	if last.IsZero() {
		last = r.RunDate
	}
	for at := r.RunDate; !last.Before(at); at = at.AddDays(1) {
		if !slices.ContainsFunc(o.days, func(d *day) bool { return d.Date == at }) {
			o.days = append(o.days, &day{Date: at})
		}
	}
	slices.SortFunc(o.days, func(a, b *day) int { return a.Date.DaysSince(b.Date) })
}
