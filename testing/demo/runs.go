package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

type runAnswer struct {
	ID     string `json:"pipeline_logging_id"`
	Status string `json:"status"`
	Error  string `json:"error_message"`
	Steps  []struct {
		Step      string `json:"step"`
		Status    string `json:"status"`
		Table     string `json:"table"`
		Rows      int64  `json:"rows"`
		Published int64  `json:"rows_published"`
		Unpriced  int64  `json:"rows_unpriced"`
		Pages     int64  `json:"pages_fetched"`
		Requests  int64  `json:"requests"`
		Error     string `json:"error_message"`
	} `json:"steps"`
	DurationMS int64 `json:"duration_ms"`
}

// runAll posts one run per organisation at once and waits for all of them.
func (d *demo) runAll(ctx context.Context) error {
	ids := map[string]string{}
	for _, org := range organisations {
		var started runAnswer
		path := "/api/v1/pipelines/run/" + org.Name + "/" + pipeline
		body := map[string]string{"start_date": d.first(), "end_date": d.last(), "trigger_by": "make demo"}
		if err := d.call(ctx, http.MethodPost, path, org.Name, body, &started); err != nil {
			return err
		}
		fmt.Printf("  POST %s -> %s %s\n", path, started.Status, started.ID)
		ids[org.Name] = started.ID
	}
	for _, org := range organisations {
		if err := d.follow(ctx, org.Name, ids[org.Name]); err != nil {
			return err
		}
	}
	return nil
}

// follow polls a run to its end and prints a line whenever a step has moved.
func (d *demo) follow(ctx context.Context, org, id string) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	shown := map[string]string{}
	for {
		var r runAnswer
		if err := d.call(ctx, http.MethodGet, "/api/v1/pipelines/runs/"+id, org, nil, &r); err != nil {
			return err
		}
		for _, s := range r.Steps {
			line := fmt.Sprintf("  %-7s %-14s %-9s %6d rows %4d pages %4d requests -> %s %d rows, %d unpriced",
				org, s.Step, s.Status, s.Rows, s.Pages, s.Requests, s.Table, s.Published, s.Unpriced)
			if s.Status != "PENDING" && shown[s.Step] != line {
				shown[s.Step] = line
				fmt.Println(line)
			}
		}
		switch r.Status {
		case "COMPLETED":
			fmt.Printf("  %-7s %s in %s\n", org, r.Status, time.Duration(r.DurationMS)*time.Millisecond)
			return nil
		case "PENDING", "RUNNING":
		default:
			return fmt.Errorf("run %s of %s ended %s: %s", id, org, r.Status, r.Error)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return fmt.Errorf("run %s of %s: %w", id, org, err)
		}
	}
}

func (d *demo) firstRun(ctx context.Context) error {
	fmt.Printf("\nRunning %s for %s to %s through the REST API\n", pipeline, d.first(), d.last())
	if err := d.runAll(ctx); err != nil {
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
	if err := d.runAll(ctx); err != nil {
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
