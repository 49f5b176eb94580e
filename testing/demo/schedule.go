package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudact/convergence/api/client"
)

const (
	dailyAt  = "0 0 * * *"
	bySlots  = "scheduler"
	makeDue  = `UPDATE organizations.org_pipeline_configs SET next_run_time = TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), DAY) WHERE config_id = '%s'`
	firstRow = 20
)

// schedule schedules the pipeline for the first organisation, lets the slot of today be
// due, fires it as an operator does, and follows the run that comes of it.
func (d *demo) schedule(ctx context.Context) error {
	org := organisations[0].Name
	fmt.Printf("\nA schedule for %s, fired with the root key\n", org)
	own, root := d.client(d.service.keys[org]), d.root()
	s, err := own.PutSchedule(ctx, org, client.NewSchedule{Provider: usageCost.Provider, Domain: usageCost.Domain, Pipeline: usageCost.Name, Cron: dailyAt})
	if err != nil {
		return fmt.Errorf("schedule %s: %w", pipeline, err)
	}
	if s.NextRun == nil || !s.NextRun.After(time.Now()) {
		return fmt.Errorf("the schedule is due at %v, which is not in the future", s.NextRun)
	}
	fmt.Printf("  POST /api/v1/scheduler/org/%s/pipelines -> %s at %q, next %s\n", org, s.Pipeline, s.Cron, s.NextRun.Format(time.RFC3339))
	if _, err := d.output(ctx, "sql", "--org", org, fmt.Sprintf(makeDue, s.ID)); err != nil {
		return err
	}
	fmt.Println("  its next time is set to the past in org_pipeline_configs, as if the service had been down at midnight")
	fired, err := root.Trigger(ctx, 0)
	if err != nil {
		return fmt.Errorf("fire schedules: %w", err)
	}
	fmt.Printf("  POST /api/v1/scheduler/trigger -> triggered %d, queued %d, skipped %d\n", fired.Triggered, fired.Queued, fired.Skipped)
	again, err := root.Trigger(ctx, 0)
	if err != nil {
		return fmt.Errorf("fire schedules again: %w", err)
	}
	fmt.Printf("  POST /api/v1/scheduler/trigger -> triggered %d: a slot fires once\n", again.Triggered)
	if fired.Queued != 1 || again.Triggered != 0 {
		return fmt.Errorf("the slot made %d runs, then %d; want 1 and 0", fired.Queued, again.Triggered)
	}
	if _, err := root.ProcessQueue(ctx); err != nil {
		return fmt.Errorf("process the queue: %w", err)
	}
	fmt.Println("  POST /api/v1/scheduler/process-queue -> the run may begin")
	return d.scheduled(ctx, org)
}

// scheduled follows the run that the schedule made.
func (d *demo) scheduled(ctx context.Context, org string) error {
	runs, err := d.client(d.service.keys[org]).List(ctx, client.Filter{Limit: firstRow})
	if err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	fmt.Printf("  GET  /api/v1/pipelines/runs -> %d runs\n", len(runs))
	for _, r := range runs {
		if r.Trigger != bySlots {
			continue
		}
		fmt.Printf("  run %s of the schedule is about %s to %s, days without traces\n", r.ID, r.RunDate, r.RunDateEnd)
		_, err := d.follow(ctx, org, r.ID)
		return err
	}
	return fmt.Errorf("none of %d runs is of the schedule", len(runs))
}
