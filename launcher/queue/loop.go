package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	scheduleEvery = 30 * time.Second
	sweepEvery    = 5 * time.Minute
	triggerLimit  = 100
	leastPause    = 500 * time.Millisecond // between two steps
)

// Loop does everything a service does by itself until ctx ends: it fires schedules,
// starts runs, gives back what was lost, and shows the queue in its tables.
func (q *Queue) Loop(ctx context.Context) {
	var scheduled, swept time.Time
	for {
		if q.cfg.Scheduler && q.cfg.Schedules != nil && time.Since(scheduled) >= scheduleEvery {
			scheduled = time.Now()
			if _, err := q.Trigger(ctx, "", triggerLimit); err != nil {
				q.complain(ctx, "fire schedules", err)
			}
		}
		stepped := time.Now()
		if _, err := q.step(ctx, q.cfg.Scheduler); err != nil {
			q.complain(ctx, "start runs", err)
		}
		if err := q.Show(ctx); err != nil {
			q.complain(ctx, "show the queue", err)
		}
		if time.Since(swept) >= sweepEvery {
			swept = time.Now()
			if _, err := q.cfg.Admission.SweepAll(ctx); err != nil {
				q.complain(ctx, "give back what ended runs held", err)
			}
		}
		if !q.rest(ctx, stepped) {
			return
		}
	}
}

// rest waits until there may be something to do, at least a moment after the last step:
// what happens meanwhile is done at once.
func (q *Queue) rest(ctx context.Context, stepped time.Time) bool {
	timer := time.NewTimer(q.cfg.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.wake:
		return pauseFor(ctx, leastPause-time.Since(stepped))
	case <-ctx.Done():
		return false
	}
}

func (q *Queue) complain(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		q.cfg.Log.Warn(what, "error", err)
	}
}

// Processed is the answer of Process.
type Processed struct {
	Processed bool     `json:"processed"`
	Count     int      `json:"processed_count"`
	Started   []string `json:"started_pipelines"`
	Elapsed   float64  `json:"elapsed_seconds"`
	RunID     *string  `json:"pipeline_logging_id"` // of the last one
	Org       *string  `json:"org_slug"`
	Pipeline  *string  `json:"pipeline_id"`
	Status    string   `json:"status"` // IDLE, BATCH_COMPLETE
	Message   string   `json:"message"`
}

// Process starts what may start until nothing more may or the time is over. The runs go
// on after it has returned.
func (q *Queue) Process(ctx context.Context, limit time.Duration) (Processed, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := Processed{Status: "IDLE", Started: []string{}, Message: "nothing waits that may start now"}
	var fault error
	for {
		begun, err := q.step(ctx, true)
		for _, run := range begun {
			out.Count++
			out.Started = append(out.Started, run.PipelineID)
			out.RunID, out.Org, out.Pipeline = &run.ID, &run.Org, &run.PipelineID
		}
		if err != nil || len(begun) == 0 {
			fault = err
			break
		}
	}
	if out.Processed = out.Count > 0; out.Processed {
		out.Status, out.Message = "BATCH_COMPLETE", fmt.Sprintf("%d pipelines started", out.Count)
	}
	out.Elapsed = time.Since(start).Seconds()
	if fault != nil && (ctx.Err() == nil || out.Count == 0 && !errors.Is(fault, context.DeadlineExceeded)) {
		return out, fault
	}
	return out, nil
}
