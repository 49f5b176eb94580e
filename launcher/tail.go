package launcher

import (
	"context"
	"time"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// tail reads events until the process is gone, and stops it at the deadline.
func (f *follower) tail(folder *runfolder.Folder, process Process, deadline time.Time) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if err := process.Wait(); err != nil {
			f.l.cfg.Log.Debug("job ended", "run", f.base.ID, "error", err)
		}
	}()
	ticker := time.NewTicker(tailEvery)
	defer ticker.Stop()
	late := time.NewTimer(deadline.Sub(f.l.cfg.Now()))
	defer late.Stop()
	var offset int64
	recorded := time.Now()
	for running := true; running; {
		select {
		case <-gone:
			running = false
		case <-late.C:
			process.Stop()
		case <-ticker.C:
		}
		offset = f.drain(folder, offset)
		if running && time.Since(recorded) >= recordEvery {
			f.recordProgress()
			recorded = time.Now()
		}
	}
}

// drain reads whole lines until there are no more; a line that is no event is left out.
func (f *follower) drain(folder *runfolder.Folder, offset int64) int64 {
	for {
		events, next, err := folder.Events(offset)
		if err != nil {
			f.l.cfg.Log.Warn("read job events", "run", f.base.ID, "error", err)
		}
		for _, e := range events {
			f.observe(e)
			if f.l.cfg.Watch != nil {
				f.l.cfg.Watch(f.base.ID, e)
			}
		}
		if next == offset || err == nil {
			return next
		}
		offset = next
	}
}

func (f *follower) observe(e runfolder.Event) {
	if e.Step == "" {
		return
	}
	f.mu.Lock()
	first := !f.started[e.Step]
	f.started[e.Step] = true
	if e.Kind == runfolder.KindProgress {
		f.progress[e.Step] = e.StepCounts
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	switch {
	case e.Result != nil:
		f.recordOr(ctx, "record step", kindStep, e.Step, State(e.Result.State), e.Result)
	case first:
		f.recordOr(ctx, "record step", kindStep, e.Step, Running, runfolder.StepResult{Step: e.Step, Start: e.Time})
	}
}

// recordProgress makes running totals that moved visible to other processes.
func (f *follower) recordProgress() {
	seq := f.l.cfg.Now().UnixMicro()
	var events []Event
	f.mu.Lock()
	for step, counts := range f.progress {
		if counts == f.shown[step] {
			continue
		}
		f.shown[step] = counts
		if e, err := f.event(kindProgress, step, Running, seq, counts); err == nil {
			events = append(events, e)
		}
	}
	f.mu.Unlock()
	if len(events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	if err := f.record(ctx, events...); err != nil {
		f.l.cfg.Log.Warn("record progress", "run", f.base.ID, "error", err)
	}
}

// recordOr records an event that is not the last word: what fails is logged, and the end
// of the run says it again.
func (f *follower) recordOr(ctx context.Context, what, kind, step string, state State, payload any) {
	e, err := f.event(kind, step, state, 0, payload)
	if err == nil {
		err = f.record(ctx, e)
	}
	if err != nil {
		f.l.cfg.Log.Warn(what, "run", f.base.ID, "step", step, "error", err)
	}
}
