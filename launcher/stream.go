package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// streamed are the kinds of events that are for others to see.
var streamed = []string{kindRun, kindStep, kindProgress, kindWait, kindCancel}

// Follow yields the events of a run as they happen, those that have happened first, and
// ends after its terminal event, when ctx ends, or with an error. It works for runs of
// any process. With after, the id of an event, it goes on behind that event.
func (l *Launcher) Follow(ctx context.Context, org, id, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if _, err := l.read(ctx, org, id); err != nil {
			yield(Event{}, err)
			return
		}
		seen := map[string]bool{}
		for ctx.Err() == nil {
			events, run, err := l.newEvents(ctx, org, id, seen)
			if err != nil {
				yield(Event{}, err)
				return
			}
			if at := slices.IndexFunc(events, func(e Event) bool { return e.ID == after }); at >= 0 {
				events = events[at+1:]
			}
			after = ""
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
			if run.State.Terminal() {
				return
			}
			sleep(ctx, l.cfg.Poll, l.changed(id))
		}
	}
}

// newEvents returns the events that were not seen before, in the order in which they
// happened, and marks them as seen.
func (l *Launcher) newEvents(ctx context.Context, org, id string, seen map[string]bool) ([]Event, Run, error) {
	all, err := l.cfg.Store.Events(ctx, org, id)
	if err != nil {
		return nil, Run{}, fmt.Errorf("read events of run %s: %w", id, err)
	}
	run, _, err := Reduce(all)
	if err != nil {
		return nil, Run{}, err
	}
	var fresh []Event
	for _, e := range all {
		if slices.Contains(streamed, e.Kind) && !seen[e.ID] {
			seen[e.ID] = true
			if e.Kind == kindRun && e.State == Pending {
				e.Payload = nil // it holds the request
			}
			fresh = append(fresh, e)
		}
	}
	slices.SortStableFunc(fresh, func(a, b Event) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return a.compare(b)
	})
	return fresh, run, nil
}

// Log opens the log of a run's job, if this host has it. Close it.
func (l *Launcher) Log(ctx context.Context, org, id string) (io.ReadCloser, error) {
	if _, err := l.read(ctx, org, id); err != nil { // also: the run is this org's
		return nil, err
	}
	file, err := os.Open(filepath.Join(l.cfg.Dir, "runs", id, runfolder.LogFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Code: CodeNoLog, Message: fmt.Sprintf("the log of run %s is not on this host: no job of it was started here", id)}
	}
	if err != nil {
		return nil, fmt.Errorf("open log of run %s: %w", id, err)
	}
	return file, nil
}
