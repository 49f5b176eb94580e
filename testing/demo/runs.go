package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudact/convergence/api/client"
)

var usageCost = client.Pipeline{Provider: "openai", Domain: "cost", Name: "usage_cost"}

// runAll posts one run per organisation at once, waits for all of them and checks which
// generation they published.
func (d *demo) runAll(ctx context.Context, generation int) error {
	ids := map[string]string{}
	for _, org := range organisations {
		started, err := d.client(d.service.keys[org.Name]).Run(ctx, org.Name, usageCost, client.RunOptions{
			StartDate: d.first(), EndDate: d.last(), TriggerBy: "make demo",
		})
		if err != nil {
			return err
		}
		fmt.Printf("  POST /api/v1/pipelines/run/%s/%s -> %s %s\n", org.Name, pipeline, started.Status, started.ID)
		ids[org.Name] = started.ID
	}
	for i, org := range organisations {
		if i == 0 {
			if err := d.watch(ctx, org.Name, ids[org.Name]); err != nil {
				return err
			}
		}
		run, err := d.follow(ctx, org.Name, ids[org.Name])
		if err != nil {
			return err
		}
		if err := published(run, generation); err != nil {
			return fmt.Errorf("%s: %w", org.Name, err)
		}
	}
	return nil
}

// published checks that every publish of a run is of one generation. The ids of publish
// jobs say it: pub_{unit}_{generation}_{ordinal}.
func published(run client.Run, generation int) error {
	for _, s := range run.Steps {
		publishes := 0
		for _, id := range s.JobIDs {
			rest, ok := strings.CutPrefix(id, "pub_")
			if !ok {
				continue
			}
			publishes++
			parts := strings.Split(rest, "_")
			if len(parts) != 3 || parts[1] != strconv.Itoa(generation) {
				return fmt.Errorf("step %s published by job %s, which is not of generation %d", s.Step, id, generation)
			}
		}
		if publishes == 0 {
			return fmt.Errorf("step %s names no publish job", s.Step)
		}
	}
	return nil
}

// watch follows the events of a run as they happen, and prints a line for each change of
// state. The last one must be the end of the run.
func (d *demo) watch(ctx context.Context, org, id string) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	fmt.Printf("  GET  /api/v1/pipelines/runs/%s/events\n", id)
	var last client.Event
	began, events := time.Now(), 0
	err := d.client(d.service.keys[org]).Follow(ctx, id, "", func(e client.Event) bool {
		if events++; e.State != "" && (e.Kind == "run" || e.Kind == "step") {
			fmt.Printf("  %-7s event: %s\n", org, strings.Join(strings.Fields(strings.Join([]string{e.Kind, e.Step, string(e.State)}, " ")), " "))
		}
		last = e
		return true
	})
	if err != nil {
		return fmt.Errorf("watch run of %s: %w", org, err)
	}
	if last.Kind != "run" || !last.State.Ended() {
		return fmt.Errorf("the events of run %s end with %s %s, not with the end of the run", id, last.Kind, last.State)
	}
	fmt.Printf("  %-7s %d events in %s\n", org, events, time.Since(began).Round(time.Millisecond))
	return nil
}

// follow waits for the end of a run and prints a line whenever a step has moved.
func (d *demo) follow(ctx context.Context, org, id string) (client.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	shown := map[string]string{}
	run, err := d.client(d.service.keys[org]).Wait(ctx, id, func(r client.Run) {
		for _, s := range r.Steps {
			if s.Status == client.Pending || s.Status.Ended() && !r.Status.Ended() {
				continue // the last counts come with the end of the run
			}
			line := fmt.Sprintf("  %-7s %-14s %-9s %6d rows %4d pages %4d requests -> %s %d rows, %d unpriced",
				org, s.Step, s.Status, s.Rows, s.Pages, s.Requests, s.Table, s.Published, s.Unpriced)
			if shown[s.Step] != line {
				shown[s.Step] = line
				fmt.Println(line)
			}
		}
	})
	if err != nil {
		return run, fmt.Errorf("follow run of %s: %w", org, err)
	}
	if run.Status != client.Completed {
		return run, fmt.Errorf("run %s of %s ended %s: %s: %s", id, org, run.Status, run.Code, run.Error)
	}
	fmt.Printf("  %-7s %s in %s\n", org, run.Status, run.End.Sub(run.Start).Round(time.Millisecond))
	return run, nil
}

func (d *demo) firstRun(ctx context.Context) error {
	fmt.Printf("\nRunning %s for %s to %s through the REST API\n", pipeline, d.first(), d.last())
	if err := d.runAll(ctx, 1); err != nil {
		return err
	}
	d.before = map[string]tables{}
	for _, org := range organisations {
		t, err := d.snapshot(ctx, org.Name)
		if err != nil {
			return err
		}
		d.before[org.Name] = t
	}
	return nil
}

// secondRun runs the same days again: they are fetched again and published as the next
// generation, and no row or cent changes.
func (d *demo) secondRun(ctx context.Context) error {
	requests := len(d.simulator.Requests())
	fmt.Printf("\nThe same days again\n")
	if err := d.runAll(ctx, 2); err != nil {
		return err
	}
	fetched := len(d.simulator.Requests()) - requests
	if fetched == 0 {
		return fmt.Errorf("the second run asked the provider for nothing")
	}
	for _, org := range organisations {
		after, err := d.snapshot(ctx, org.Name)
		if err != nil {
			return err
		}
		if err := after.sameRowsAs(d.before[org.Name]); err != nil {
			return fmt.Errorf("%s: %w", org.Name, err)
		}
		fmt.Printf("  %-7s fetched again, published anew as generation 2: %d rows in %d tables, every row and cent equal\n", org.Name, after.rows(), len(after))
	}
	fmt.Printf("  (%d requests to the provider; only _run_id, _row_id, extracted_at and calculated_at may differ)\n", fetched)
	return nil
}
