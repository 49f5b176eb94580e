package store

import (
	"context"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
)

// longestRun bounds how far back the start of a run that has not ended is looked for.
const longestRun = 35 * 24 * time.Hour

// Active folds the runs of an org, or of all if org is "", that have not ended, or that
// ended since the given time.
func (s *Store) Active(ctx context.Context, org string, endedSince time.Time) ([]launcher.Run, error) {
	rows, err := readAll[eventRow](ctx, s, "active.sql",
		bigquery.QueryParameter{Name: "org", Value: org},
		bigquery.QueryParameter{Name: "since", Value: s.cfg.Now().Add(-longestRun)},
		bigquery.QueryParameter{Name: "ended_since", Value: endedSince})
	if err != nil {
		return nil, err
	}
	var out []launcher.Run
	for _, group := range byRun(rows) {
		run, found, err := launcher.Reduce(eventsOf(group))
		if err != nil {
			return nil, err
		}
		// A run of which only late events are known has no beginning: it is somebody's
		// whose PENDING is not visible yet.
		if done := run.State.Terminal() && run.Settled; found && !done && !run.Start.IsZero() {
			out = append(out, run)
		}
	}
	return out, nil
}

// Signals returns the claims and the requests to cancel that were appended since.
func (s *Store) Signals(ctx context.Context, since time.Time) ([]launcher.Event, error) {
	rows, err := readAll[eventRow](ctx, s, "signals.sql", bigquery.QueryParameter{Name: "since", Value: since})
	if err != nil {
		return nil, err
	}
	return eventsOf(rows), nil
}
