package store

import (
	"context"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
)

// longestRun bounds how far back the start of a run that has not ended is looked for.
const longestRun = 35 * 24 * time.Hour

// activeQuestion is what Active asks: gathered, they cost one query.
type activeQuestion struct {
	org        string // "" = all
	endedSince time.Time
}

const mostActive = 500 // questions of one query

// Active folds the runs of an org, or of all if org is "", that have not ended, or that
// ended since the given time. What others ask for at the same time is read together.
func (s *Store) Active(ctx context.Context, org string, endedSince time.Time) ([]launcher.Run, error) {
	rows, err := s.active.Ask(ctx, activeQuestion{org, endedSince})
	if err != nil {
		return nil, err
	}
	var out []launcher.Run
	for _, group := range byRun(rows) {
		if org != "" && group[0].OrgSlug != org {
			continue
		}
		run, found, err := launcher.Reduce(eventsOf(group))
		if err != nil {
			return nil, err
		}
		before := run.State.Terminal() && (run.Settled || run.End.Before(endedSince))
		// A run of which only late events are known has no beginning: it is somebody's
		// whose PENDING is not visible yet.
		if found && !before && !run.Start.IsZero() {
			out = append(out, run)
		}
	}
	return out, nil
}

// readActive reads the events of the runs that any of the questions is about.
func (s *Store) readActive(ctx context.Context, asked []activeQuestion) ([]eventRow, error) {
	orgs, all, since := make([]string, len(asked)), false, asked[0].endedSince
	for i, q := range asked {
		orgs[i], all = q.org, all || q.org == ""
		if q.endedSince.Before(since) {
			since = q.endedSince
		}
	}
	slices.Sort(orgs)
	return readAll[eventRow](ctx, s, "active.sql",
		bigquery.QueryParameter{Name: "all", Value: all},
		bigquery.QueryParameter{Name: "orgs", Value: slices.Compact(orgs)},
		bigquery.QueryParameter{Name: "since", Value: s.cfg.Now().Add(-longestRun)},
		bigquery.QueryParameter{Name: "ended_since", Value: since})
}

// Signals returns the claims and the requests to cancel that were appended since.
func (s *Store) Signals(ctx context.Context, since time.Time) ([]launcher.Event, error) {
	rows, err := readAll[eventRow](ctx, s, "signals.sql", bigquery.QueryParameter{Name: "since", Value: since})
	if err != nil {
		return nil, err
	}
	return eventsOf(rows), nil
}
