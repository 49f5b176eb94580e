package store

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store/patience"
)

// What the jobs of a publisher say of themselves in labels.
const (
	fenceLabel = "fence"
	runLabel   = "run"
)

const (
	failedOrdinals = 3 // failed publish jobs after which a generation is given up
	fencePatience  = time.Minute
)

func publishID(unit string, generation, ordinal int) string {
	return fmt.Sprintf("pub_%s_%d_%d", unit, generation, ordinal)
}

// Standing walks the publish ids of a generation up to the first that is free. Jobs that
// lost a serialisation conflict or met a rate limit use ordinals up without counting.
func (s *Store) Standing(ctx context.Context, unit string, generation int) (launcher.Standing, error) {
	failures := 0
	for ordinal := 0; failures < failedOrdinals; ordinal++ {
		id := publishID(unit, generation, ordinal)
		job, err := s.cfg.Client.JobFromIDLocation(ctx, id, s.cfg.Location)
		if isStatus(err, http.StatusNotFound) {
			return launcher.Standing{}, nil
		}
		if err != nil {
			return launcher.Standing{}, fmt.Errorf("read publish job %s: %w", id, err)
		}
		labels := labelsOf(job)
		status := job.LastStatus()
		_, fence := labels[fenceLabel]
		switch {
		case fence:
			return launcher.Standing{State: launcher.Fenced}, nil
		case status == nil || !status.Done():
			return launcher.Standing{Running: true}, nil
		case status.Err() == nil:
			return launcher.Standing{State: launcher.Published, Run: labels[runLabel]}, nil
		case !patience.Passing(status.Err()):
			failures++
		}
	}
	return launcher.Standing{State: launcher.Exhausted}, nil
}

// Fence takes the first publish id of a generation that is free, and cancels and awaits
// the jobs that have the ids before it: a publisher goes on to the next ordinal only when
// the one before has failed, so one fence stops it.
func (s *Store) Fence(ctx context.Context, unit string, generation int) (launcher.Standing, error) {
	for ordinal := 0; ; ordinal++ {
		id := publishID(unit, generation, ordinal)
		standing, err := backoff.Retry(ctx, func() (*launcher.Standing, error) {
			st, err := s.fence(ctx, id)
			if err != nil && patience.Refused(err) {
				err = backoff.Permanent(err)
			}
			return st, err
		}, backoff.WithMaxElapsedTime(fencePatience), backoff.WithBackOff(patience.Pause()))
		if err != nil {
			return launcher.Standing{}, fmt.Errorf("fence off job %s: %w", id, err)
		}
		if standing != nil {
			return *standing, nil
		}
	}
}

// fence puts a fence under one id; nil says that another job has it and has failed.
func (s *Store) fence(ctx context.Context, id string) (*launcher.Standing, error) {
	q, err := s.query("one.sql")
	if err != nil {
		return nil, err
	}
	q.JobIDConfig = bigquery.JobIDConfig{JobID: id, Location: s.cfg.Location}
	q.Labels = map[string]string{fenceLabel: "1"}
	if _, err = q.Run(ctx); err == nil {
		return &launcher.Standing{State: launcher.Fenced}, nil
	}
	if !isStatus(err, http.StatusConflict) {
		return nil, err
	}
	job, err := s.cfg.Client.JobFromIDLocation(ctx, id, s.cfg.Location)
	if err != nil {
		return nil, err
	}
	labels := labelsOf(job)
	if _, fence := labels[fenceLabel]; fence {
		return &launcher.Standing{State: launcher.Fenced}, nil
	}
	status := job.LastStatus()
	if status == nil || !status.Done() {
		if err := job.Cancel(ctx); err != nil {
			return nil, fmt.Errorf("cancel: %w", err)
		}
		if status, err = ended(ctx, job); err != nil {
			return nil, err
		}
	}
	if status.Err() == nil {
		return &launcher.Standing{State: launcher.Published, Run: labels[runLabel]}, nil
	}
	return nil, nil
}

// ended waits for the end of a job. One that failed makes Wait fail, too.
func ended(ctx context.Context, job *bigquery.Job) (*bigquery.JobStatus, error) {
	status, err := job.Wait(ctx)
	if err == nil {
		return status, nil
	}
	if status, statusErr := job.Status(ctx); statusErr == nil && status.Done() {
		return status, nil
	}
	return nil, err
}

func labelsOf(job *bigquery.Job) map[string]string {
	config, err := job.Config()
	if err != nil {
		return nil // the client cannot read its parameters back, which a fence, having none, never causes
	}
	if q, ok := config.(*bigquery.QueryConfig); ok {
		return q.Labels
	}
	return nil
}
