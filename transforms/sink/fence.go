package sink

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

var labelPattern = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)

// firstGeneration is the lowest that is ever opened.
const firstGeneration = 1

// landed is the publish of an earlier generation that committed.
type landed struct {
	job string
	run string // "" if its job does not say
}

func (l landed) String() string {
	if l.run == "" {
		return "job " + l.job
	}
	return "run " + l.run
}

// landsOnce reports whether a unit that has landed may not be stated again: its rows
// have no identity by which a second statement could find them.
func (o Options) landsOnce() bool { return o.WriteMode == ModeAppend && len(o.KeyFields) == 0 }

// fenceOff takes the first free publish id of every earlier generation of a unit, so
// that a publisher that was left behind can never commit after this one: it walks the
// same ids upwards and stops at a fence. What is running is cancelled and awaited. The
// newest generation that had committed is returned; those before it are its business.
func fenceOff(ctx context.Context, c *bigquery.Client, o Options, u row.Unit) (*landed, error) {
	text, err := render(sqlFence, sqlData{})
	if err != nil {
		return nil, err
	}
	f := fencer{c, o, text, newPauses(ctx)}
	for g := u.Generation - 1; g >= firstGeneration; g-- {
		old := u
		old.Generation = g
		for ordinal, held := 0, false; !held; ordinal++ {
			var before *landed
			if before, held, err = f.take(ctx, publishID(old, ordinal)); before != nil || err != nil {
				return before, err
			}
		}
	}
	return nil, nil
}

func publishID(u row.Unit, ordinal int) string {
	return "pub_" + unitKey(u) + "_" + strconv.Itoa(ordinal)
}

type fencer struct {
	client  *bigquery.Client
	options Options
	text    string
	pauses  *pauses
}

// take puts a fence under the id. If another job has it, held is false once that job has
// failed, and a job that committed is returned.
func (f fencer) take(ctx context.Context, id string) (_ *landed, held bool, err error) {
	for {
		q := f.client.Query(f.text)
		q.JobIDConfig = bigquery.JobIDConfig{JobID: id, ProjectID: f.options.Table.Project, Location: f.options.Table.Location}
		q.Labels = map[string]string{labelFence: "1"}
		_, err := q.Run(ctx)
		if err == nil {
			return nil, true, nil
		}
		if hasStatus(err, http.StatusConflict) {
			before, held, err := outcomeOf(ctx, f.client, f.options, id, true)
			if err == nil || !isUncertain(err) {
				return before, held, err
			}
		}
		if ctx.Err() != nil || !isUncertain(err) && !hasStatus(err, http.StatusConflict) {
			return nil, false, fmt.Errorf("fence off job %s: %w", id, err)
		}
		if err := f.pauses.wait(ctx, fmt.Errorf("fence off job %s: %w", id, err)); err != nil {
			return nil, false, err
		}
	}
}

// outcomeOf says whether an existing publish job is a fence or has committed; neither
// means that it failed or, unless it is stopped, runs.
func outcomeOf(ctx context.Context, c *bigquery.Client, o Options, id string, stop bool) (_ *landed, fence bool, err error) {
	job, err := c.JobFromProject(ctx, o.Table.Project, id, o.Table.Location)
	if err != nil {
		return nil, false, err
	}
	labels := map[string]string{}
	if config, err := job.Config(); err == nil {
		if q, ok := config.(*bigquery.QueryConfig); ok {
			labels = q.Labels
		}
	}
	if _, fence := labels[labelFence]; fence {
		return nil, true, nil
	}
	st := job.LastStatus()
	if st == nil || !st.Done() {
		if !stop {
			return nil, false, nil
		}
		if err := job.Cancel(ctx); err != nil {
			return nil, false, fmt.Errorf("cancel job %s: %w", id, err)
		}
		if st, err = await(ctx, job); err != nil {
			return nil, false, err
		}
	}
	if st.Err() != nil {
		return nil, false, nil
	}
	return &landed{job: id, run: labels[labelRun]}, false, nil
}

// landedBefore looks for a generation of the unit that committed, and touches nothing. The
// one to be published counts if another run has published it: its stage has gone with that
// run. A publish of this run is attached to instead.
func landedBefore(ctx context.Context, c *bigquery.Client, o Options, u row.Unit) (*landed, error) {
	for g := u.Generation; g >= firstGeneration; g-- {
		old := u
		old.Generation = g
		for ordinal := 0; ; ordinal++ {
			before, fence, err := outcomeOf(ctx, c, o, publishID(old, ordinal), false)
			if hasStatus(err, http.StatusNotFound) || fence {
				break
			}
			if own := g == u.Generation && before != nil && before.run == o.RunID; own {
				break
			}
			if before != nil || err != nil {
				return before, err
			}
		}
	}
	return nil, nil
}
