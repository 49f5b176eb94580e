package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store/patience"
)

const (
	eventsTable = "org_meta_run_events"
	// streaming into a table that was just made may lose rows on the real service
	streamingAge = 10 * time.Minute
	defaultLimit = 20
)

// eventRow is one row of org_meta_run_events; payload travels as text.
type eventRow struct {
	EventID   string    `bigquery:"event_id"`
	RunID     string    `bigquery:"run_id"`
	OrgSlug   string    `bigquery:"org_slug"`
	Attempt   int64     `bigquery:"attempt"`
	Epoch     int64     `bigquery:"epoch"`
	Seq       int64     `bigquery:"seq"`
	Kind      string    `bigquery:"kind"`
	Step      string    `bigquery:"step"`
	State     string    `bigquery:"state"`
	Payload   string    `bigquery:"payload"`
	CreatedAt time.Time `bigquery:"created_at"`
}

// Save implements bigquery.ValueSaver: the event's id is its insertId.
func (e eventRow) Save() (map[string]bigquery.Value, string, error) {
	return map[string]bigquery.Value{
		"event_id": e.EventID, "run_id": e.RunID, "org_slug": e.OrgSlug, "attempt": e.Attempt, "epoch": e.Epoch,
		"seq": e.Seq, "kind": e.Kind, "step": e.Step, "state": e.State, "payload": e.Payload,
		"created_at": e.CreatedAt.Truncate(time.Microsecond), // the service refuses more digits
	}, e.EventID, nil
}

func rowOf(e launcher.Event) eventRow {
	return eventRow{
		EventID: e.ID, RunID: e.RunID, OrgSlug: e.Org, Attempt: int64(e.Attempt), Epoch: int64(e.Epoch), Seq: e.Seq,
		Kind: e.Kind, Step: e.Step, State: string(e.State), Payload: string(e.Payload), CreatedAt: e.Time,
	}
}

func (e eventRow) event() launcher.Event {
	return launcher.Event{
		ID: e.EventID, RunID: e.RunID, Org: e.OrgSlug, Attempt: int(e.Attempt), Epoch: int(e.Epoch), Seq: e.Seq,
		Kind: e.Kind, Step: e.Step, State: launcher.State(e.State), Payload: []byte(e.Payload), Time: e.CreatedAt,
	}
}

const (
	mostEvents  = 1 << 20 // bytes of events in one request
	eventBytes  = 512     // of an event beside its payload
	severalRows = 400     // BigQuery advises 500 rows a request

	sendPatience = time.Minute
)

func weighEvents(events []launcher.Event) int {
	weight := 0
	for _, e := range events {
		weight += max(len(e.Payload)+eventBytes, mostEvents/severalRows)
	}
	return weight
}

// Append makes events durable. Appending an event twice is harmless: readers fold by id.
// What is appended at the same time is sent together.
func (s *Store) Append(ctx context.Context, events ...launcher.Event) error {
	if len(events) == 0 {
		return nil
	}
	_, err := s.appends.Ask(ctx, events)
	if isRowFault(err) { // of somebody's events, or of these
		return s.send(ctx, events)
	}
	return err
}

// isRowFault reports whether a request was refused for what is in it, not for when it came.
func isRowFault(err error) bool {
	var rows bigquery.PutMultiError
	return errors.As(err, &rows) || isStatus(err, http.StatusBadRequest) && !patience.Passing(err)
}

// sendAll sends what several callers append.
func (s *Store) sendAll(ctx context.Context, several [][]launcher.Event) (struct{}, error) {
	return struct{}{}, s.send(ctx, slices.Concat(several...))
}

func (s *Store) send(ctx context.Context, events []launcher.Event) error {
	ctx, cancel := context.WithTimeout(ctx, sendPatience) // the client streams again and again as long as it may
	defer cancel()
	rows := make([]eventRow, len(events))
	for i, e := range events {
		rows[i] = rowOf(e)
	}
	s.mu.Lock()
	young := s.cfg.Now().Sub(s.created[eventsTable]) < streamingAge
	s.mu.Unlock()
	if young {
		return patience.Send(ctx, func() error {
			_, err := readAll[struct{}](ctx, s, "append_events.sql", bigquery.QueryParameter{Name: "events", Value: rows})
			return err
		})
	}
	savers := make([]bigquery.ValueSaver, len(rows))
	for i := range rows {
		savers[i] = rows[i]
	}
	inserter := s.dataset.Table(eventsTable).Inserter()
	if err := patience.Send(ctx, func() error { return inserter.Put(ctx, savers) }); err != nil {
		return fmt.Errorf("stream events: %w", err)
	}
	return nil
}

// Events returns the events of one run of one org.
func (s *Store) Events(ctx context.Context, org, runID string) ([]launcher.Event, error) {
	rows, err := readAll[eventRow](ctx, s, "events.sql",
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "run_id", Value: runID})
	if err != nil {
		return nil, err
	}
	return eventsOf(rows), nil
}

func eventsOf(rows []eventRow) []launcher.Event {
	events := make([]launcher.Event, len(rows))
	for i, r := range rows {
		events[i] = r.event()
	}
	return events
}

// List folds the newest runs of an org. The filter is applied to folded runs, so that a
// run is never shown in a state that it has left.
func (s *Store) List(ctx context.Context, org string, filter launcher.Filter) ([]launcher.Run, error) {
	rows, err := readAll[eventRow](ctx, s, "run_events.sql",
		bigquery.QueryParameter{Name: "org", Value: org},
		bigquery.QueryParameter{Name: "since", Value: s.cfg.Now().AddDate(0, -1, 0)})
	if err != nil {
		return nil, err
	}
	limit := filter.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	var out []launcher.Run
	skip := filter.After != ""
	for _, group := range byRun(rows) {
		if skip { // up to the last run of the page before, whatever state it is in by now
			skip = group[0].RunID != filter.After
			continue
		}
		run, found, err := launcher.Reduce(eventsOf(group))
		if err != nil {
			return nil, err
		}
		if !found || (filter.Pipeline != "" && run.PipelineID != filter.Pipeline) || (filter.State != "" && run.State != filter.State) {
			continue
		}
		if out = append(out, run); len(out) == limit {
			break
		}
	}
	return out, nil
}

// byRun splits rows that are ordered by run.
func byRun(rows []eventRow) [][]eventRow {
	var groups [][]eventRow
	for i, start := 1, 0; i <= len(rows); i++ {
		if i == len(rows) || rows[i].RunID != rows[start].RunID {
			groups = append(groups, rows[start:i])
			start = i
		}
	}
	return groups
}

// Generations returns the newest generation that events name for each unit.
func (s *Store) Generations(ctx context.Context, org string, units []string) (map[string]int, error) {
	type newest struct {
		Unit       string `bigquery:"unit"`
		Generation int64  `bigquery:"generation"`
	}
	rows, err := readAll[newest](ctx, s, "generations.sql",
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "units", Value: units})
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(rows))
	for _, r := range rows {
		out[r.Unit] = int(r.Generation)
	}
	return out, nil
}

// readAll runs a file of sql/ and loads every row into a T.
func readAll[T any](ctx context.Context, s *Store, name string, params ...bigquery.QueryParameter) ([]T, error) {
	q, err := s.query(name, params...)
	if err != nil {
		return nil, err
	}
	it, err := q.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var out []T
	for {
		var row T
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, row)
	}
}

func nullDate(d civil.Date) bigquery.NullDate {
	return bigquery.NullDate{Date: d, Valid: d.IsValid()}
}
