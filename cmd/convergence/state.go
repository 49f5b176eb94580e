package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/units"
)

const shortCursor = 24 // characters of a cursor in a table

func (a *app) stateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "state", Short: "Show how far the units of a pipeline are, or make them start over",
		Example: "  convergence state show openai/cost/usage_cost --org acme --from 2026-08-19 --to 2026-08-23\n" +
			"  convergence state reset my_pipeline.yml --org acme --date 2026-08-19",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; there are show and reset", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.stateShow(), a.stateReset())
	return c
}

type stateFlags struct {
	runFlags
	days daysFlags
}

func (f *stateFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation")
	c.Flags().StringVar(&f.days.date, "date", "", "one day, YYYY-MM-DD")
	c.Flags().StringVar(&f.days.from, "from", "", "first day")
	c.Flags().StringVar(&f.days.to, "to", "", "last day, inclusive")
	c.Flags().StringArrayVar(&f.vars, "var", nil, "run parameter as name=value, as the run had it; repeatable")
}

func (a *app) stateShow() *cobra.Command {
	f := stateFlags{runFlags: runFlags{runner: run.Prism}}
	c := &cobra.Command{
		Use:   "show PIPELINE",
		Short: "Show the units of a pipeline: generation, state, and positions of what is staged",
		Long: "A unit is one slice of one step. NONE: no run has stated it. OPEN: a run of the same pipeline\n" +
			"goes on from the positions below it. PUBLISHES: its publish job runs. PUBLISHED: its rows are in\n" +
			"the table. CLOSED: its newest generation was given up, and the next run begins another.\n" +
			"Without dates, yesterday (UTC).",
		Example: "  convergence state show openai/cost/usage_cost --org acme --from 2026-08-19 --to 2026-08-23",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, found, err := a.states(c.Context(), args[0], f, false)
			if err != nil {
				return err
			}
			defer d.close()
			return a.printStates(found)
		},
	}
	f.bind(c)
	return c
}

// unitState is a unit with where it belongs.
type unitState struct {
	Step  string `json:"step"`
	Slice string `json:"slice"` // "" for what is not cut into slices
	units.Status
}

// states reads the units of a pipeline. Close the desk, unless there is an error.
func (a *app) states(ctx context.Context, target string, f stateFlags, required bool) (*desk, []unitState, error) {
	from, to, err := f.days.parse(required)
	if err != nil {
		return nil, nil, err
	}
	d, err := a.desk(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, err := d.states(ctx, target, f, launcher.Request{Start: from, End: to})
	if err != nil {
		d.close()
		return nil, nil, a.explain(err)
	}
	return d, found, nil
}

func (d *desk) states(ctx context.Context, target string, f stateFlags, days launcher.Request) ([]unitState, error) {
	request, err := f.request(d.planner, target)
	if err != nil {
		return nil, err
	}
	request.Start, request.End = days.Start, days.End
	planned, err := d.planner.Plan(ctx, request, uuid.Nil.String(), time.Now().UTC())
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(planned.Units))
	for i, u := range planned.Units {
		ids[i] = u.ID
	}
	known, err := d.units().Read(ctx, f.org, d.dataset(f.org), ids, true)
	if err != nil {
		return nil, fmt.Errorf("read the units of %s: %w", target, err)
	}
	out := make([]unitState, len(planned.Units))
	for i, u := range planned.Units {
		out[i] = unitState{Step: u.Step, Slice: u.Slice, Status: known[u.ID]}
	}
	return out, nil
}

func (a *app) printStates(found []unitState) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(found)
	}
	t := a.table("step", "slice", "unit", "generation", "state", "since", "run", "partition", "pages", "rows", "next")
	for _, u := range found {
		since := ""
		if !u.At.IsZero() {
			since = u.At.UTC().Format("2006-01-02 15:04:05")
		}
		head := table.Row{u.Step, u.Slice, u.Unit, u.Generation, string(u.State), since, u.Run}
		if len(u.Positions) == 0 {
			t.AppendRow(append(head, "", "", "", ""))
		}
		for _, p := range u.Positions {
			next := text.Trim(p.Next, shortCursor)
			if p.Ended {
				next = "ended"
			}
			t.AppendRow(append(head[:len(head):len(head)], p.Partition, p.Pages, p.Rows, next))
			head = table.Row{"", "", "", "", "", "", ""}
		}
	}
	return a.render(t)
}

func (a *app) stateReset() *cobra.Command {
	f := stateFlags{runFlags: runFlags{runner: run.Prism}}
	c := &cobra.Command{
		Use:   "reset PIPELINE --date D",
		Short: "Drop what is staged of units that were not published, so that the next run starts over",
		Long: "Rows in tables stay as they are: a published unit is stated again by running it. The generations\n" +
			"of units that are reset are closed, so that a run which still works on them cannot publish.",
		Example: "  convergence state reset openai/cost/usage_cost --org acme --date 2026-08-19\n" +
			"  convergence state reset openai/cost/usage_cost --org acme --from 2026-08-19 --to 2026-08-23",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.days == (daysFlags{}) {
				return usageError{errors.New("say which days: --date, or --from and --to")}
			}
			d, found, err := a.states(c.Context(), args[0], f, true)
			if err != nil {
				return err
			}
			defer d.close()
			return a.resetUnits(c.Context(), d, f.org, found)
		},
	}
	f.bind(c)
	return c
}

// resetUnits closes the open generations, then drops their stages.
func (a *app) resetUnits(ctx context.Context, d *desk, org string, found []unitState) error {
	reset := []unitState{}
	for _, u := range found {
		if u.State != units.Open && u.State != units.Publishes && !u.Staged {
			continue
		}
		standing, err := d.store.Fence(ctx, u.Unit, u.Generation)
		if err != nil {
			return fmt.Errorf("close generation %d of step %s, %s: %w", u.Generation, u.Step, u.Slice, err)
		}
		if standing.State == launcher.Published { // a moment ago
			continue
		}
		if err := (stages{d.warehouse}).Drop(ctx, d.dataset(org), map[string]int{u.Unit: u.Generation}); err != nil {
			return err
		}
		u.State, u.Staged, u.Positions = units.Closed, false, nil
		reset = append(reset, u)
	}
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(reset)
	}
	for _, u := range reset {
		fmt.Fprintf(a.out, "step %s, %s: generation %d is closed and its stage dropped; the next run starts over\n", u.Step, u.Slice, u.Generation)
	}
	if len(reset) == 0 {
		fmt.Fprintln(a.out, "nothing to reset: no unit of these days is open; published units are stated again by running them")
	}
	return nil
}
