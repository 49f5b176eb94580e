// Package units tells how far the units of a pipeline are: their newest generation, from
// the events of runs; whether it was published, from the publish jobs themselves, so that
// it is true also where a launcher died before it could say so; and what is staged of one
// that was not. It only reads.
//
// It knows job ids, labels and the bookkeeping rows of stages, and nothing of planning,
// launching or Beam.
package units

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"text/template"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

//go:embed sql/*.sql
var files embed.FS

var statements = template.Must(template.ParseFS(files, "sql/*.sql"))

// State is how far a unit is.
type State string

// The states.
const (
	None      State = "NONE"      // no run has ever stated it
	Open      State = "OPEN"      // its newest generation can be resumed
	Publishes State = "PUBLISHES" // its publish job runs
	Published State = "PUBLISHED"
	Closed    State = "CLOSED" // its newest generation was given up; the next run opens another
)

// Status is how far one unit is. The zero value but for State is that of a unit that no
// run has stated.
type Status struct {
	Unit       string     `json:"unit"`
	Generation int        `json:"generation"`
	State      State      `json:"state"`
	Run        string     `json:"run_id,omitempty"` // that published it, or opened its generation
	Job        string     `json:"job_id,omitempty"` // its newest publish job
	At         time.Time  `json:"at,omitzero"`      // when it was published, or its generation opened
	Staged     bool       `json:"staged"`           // it has a staging table
	Positions  []Position `json:"positions,omitempty"`
}

// Position is how far one partition of a staged generation is, with all that is staged of
// it: a chunk that a resume does not use is counted, too.
type Position struct {
	Partition string `json:"partition" bigquery:"part"`
	Chunks    int64  `json:"chunks" bigquery:"chunks"`
	Pages     int64  `json:"pages" bigquery:"pages"`
	Rows      int64  `json:"rows" bigquery:"staged"`
	Rejected  int64  `json:"rejected" bigquery:"rejected"`
	Ended     bool   `json:"ended" bigquery:"ended"` // nothing is left to fetch
	Next      string `json:"next,omitempty" bigquery:"next"`
}

// Reader reads from one warehouse. All fields are required.
type Reader struct {
	Client   *bigquery.Client
	Central  string // dataset of the events
	Location string
}

const atOnce = 8

// Read returns the status of each of the units of an org. With positions it reads the
// stages of those that are open, which lie in the dataset.
func (r Reader) Read(ctx context.Context, org, dataset string, ids []string, positions bool) (map[string]Status, error) {
	known, err := r.generations(ctx, org, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Status, len(ids))
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s, err := r.status(ctx, dataset, known[id], positions)
			s.Unit = id
			mu.Lock()
			defer mu.Unlock()
			out[id], errs = s, append(errs, err)
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

type generation struct {
	Unit       string    `bigquery:"unit"`
	Generation int       `bigquery:"generation"`
	Run        string    `bigquery:"run"`
	At         time.Time `bigquery:"opened"`
}

func (r Reader) generations(ctx context.Context, org string, ids []string) (map[string]generation, error) {
	rows, err := read[generation](ctx, r, "generations.sql", struct{ Central string }{r.Central},
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "units", Value: ids})
	if err != nil {
		return nil, err
	}
	out := make(map[string]generation, len(rows))
	for _, row := range rows {
		out[row.Unit] = row
	}
	return out, nil
}

func (r Reader) status(ctx context.Context, dataset string, g generation, positions bool) (Status, error) {
	s := Status{Generation: g.Generation, State: None, Run: g.Run, At: g.At}
	if g.Generation == 0 {
		return s, nil
	}
	if err := r.publish(ctx, g, &s); err != nil || !positions || s.State == Published {
		return s, err
	}
	stage := fmt.Sprintf("%s._stg_%s_%d", dataset, g.Unit, g.Generation)
	var err error
	s.Positions, err = read[Position](ctx, r, "positions.sql", struct{ Stage string }{stage})
	if hasStatus(err, http.StatusNotFound) {
		return s, nil
	}
	s.Staged = err == nil
	return s, err
}

// publish walks the publish ids of a generation up to the first that did not fail.
func (r Reader) publish(ctx context.Context, g generation, s *Status) error {
	s.State = Open
	for ordinal := 0; ; ordinal++ {
		id := fmt.Sprintf("pub_%s_%d_%d", g.Unit, g.Generation, ordinal)
		job, err := r.Client.JobFromIDLocation(ctx, id, r.Location)
		if hasStatus(err, http.StatusNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read publish job %s: %w", id, err)
		}
		s.Job = id
		st := job.LastStatus()
		switch labels := labelsOf(job); {
		case st == nil || !st.Done():
			s.State = Publishes
			return nil
		case st.Err() != nil:
			continue
		case labels["fence"] != "":
			s.State = Closed
			return nil
		default:
			s.State, s.At = Published, st.Statistics.EndTime
			if run := labels["run"]; run != "" {
				s.Run = run
			}
			return nil
		}
	}
}

// labelsOf are the labels of a query job; none if the client cannot read the job back.
func labelsOf(job *bigquery.Job) map[string]string {
	config, err := job.Config()
	if err != nil {
		return nil
	}
	if q, ok := config.(*bigquery.QueryConfig); ok {
		return q.Labels
	}
	return nil
}

// read runs a file of sql/ and loads every row into a T.
func read[T any](ctx context.Context, r Reader, name string, names any, params ...bigquery.QueryParameter) ([]T, error) {
	var text bytes.Buffer
	if err := statements.ExecuteTemplate(&text, name, names); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	q := r.Client.Query(text.String())
	q.Location, q.Parameters = r.Location, params
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

func hasStatus(err error, status int) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code == status
}
