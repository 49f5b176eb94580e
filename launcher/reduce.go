package launcher

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// Reduce folds the events of one run. Order, repetition and delay of events do not
// matter. It returns false when there is none. A run of which no run event is known yet
// is PENDING.
func Reduce(events []Event) (Run, bool, error) {
	if len(events) == 0 {
		return Run{}, false, nil
	}
	events = slices.Clone(events)
	slices.SortFunc(events, Event.compare)
	f := fold{run: Run{ID: events[0].RunID, Org: events[0].Org, State: Pending}, steps: map[string]*stepFold{}}
	for _, e := range events {
		if err := f.event(e); err != nil {
			return Run{}, false, fmt.Errorf("event %s of run %s: %w", e.ID, e.RunID, err)
		}
	}
	return f.settled(), true, nil
}

// fold is a run while its events are read in order.
type fold struct {
	run    Run
	last   Event // of the run
	wait   *Event
	steps  map[string]*stepFold
	counts []Event // progress
}

// stepFold is a step with the attempt and epoch that it is known from.
type stepFold struct {
	StepRun
	attempt, epoch int
	declared       runfolder.StepResult
}

func (f *fold) event(e Event) error {
	switch e.Kind {
	case kindRun:
		f.last = e
		return f.apply(e)
	case kindStep:
		return f.step(e)
	case kindProgress:
		f.counts = append(f.counts, e)
	case kindGeneration:
		if f.run.Generations == nil {
			f.run.Generations = map[string]int{}
		}
		f.run.Generations[e.Step] = max(f.run.Generations[e.Step], int(e.Seq))
	case kindWait:
		if f.wait == nil || e.Seq >= f.wait.Seq {
			f.wait = &e
		}
	case kindCancel:
		var p cancelPayload
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return err
		}
		f.run.Cancelling, f.run.Discard = true, f.run.Discard || p.Discard
	case kindTold:
		f.run.Told = true
	case kindSettled:
		f.run.Settled = true
	}
	return nil
}

func (f *fold) apply(e Event) error {
	var p runPayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return err
	}
	r := &f.run
	r.Attempt, r.Epoch, r.State = e.Attempt, e.Epoch, e.State
	r.End, r.Code, r.Error, r.LandedBy, r.RetryAt = time.Time{}, "", "", "", time.Time{} // of an earlier attempt
	switch {
	case e.State == Pending:
		if p.Request != nil {
			r.Request = *p.Request
			r.Priority, r.RetryOf = p.Request.Priority, p.Request.RetryOf
		}
		r.PipelineID, r.Trigger, r.TriggerBy, r.KeyID, r.UserID = p.PipelineID, p.Trigger, p.TriggerBy, p.KeyID, p.UserID
		r.RunDate, r.RunEnd, r.Params, r.Submitter = p.RunDate, p.RunEnd, p.Params, p.Submitter
		r.Hooks, r.Alerts = p.Hooks, alerts(p.Steps)
		if r.Start.IsZero() || e.Time.Before(r.Start) {
			r.Start = e.Time
		}
	case e.State == Running:
		if r.Began.IsZero() || e.Time.Before(r.Began) {
			r.Began = e.Time
		}
	case e.State == AttemptFailed:
		r.State, r.Code, r.Error, r.RetryAt = Pending, p.Code, p.Error, p.RetryAt
	case e.State.Terminal():
		r.End, r.Code, r.Error, r.LandedBy = e.Time, p.Code, p.Error, p.LandedBy
	}
	for i, s := range p.Steps {
		declared := runfolder.StepResult{Step: s.ID, Type: s.Type, Table: s.Table, Index: i}
		if known := f.steps[s.ID]; known != nil {
			known.declared = declared
			continue
		}
		f.steps[s.ID] = &stepFold{StepRun: StepRun{State: Pending, StepResult: declared}, declared: declared}
	}
	return nil
}

// alerts are the steps whose failure is told.
func alerts(steps []Step) []string {
	var out []string
	for _, s := range steps {
		if s.Alert {
			out = append(out, s.ID)
		}
	}
	return out
}

func (f *fold) step(e Event) error {
	var result runfolder.StepResult
	if err := json.Unmarshal(e.Payload, &result); err != nil {
		return err
	}
	result.Step = e.Step
	s := &stepFold{StepRun: StepRun{StepResult: result, State: e.State}, attempt: e.Attempt, epoch: e.Epoch}
	if known := f.steps[e.Step]; known != nil {
		s.declared = known.declared
	}
	f.steps[e.Step] = s
	return nil
}

// settled is the run once all events are known.
func (f *fold) settled() Run {
	r := f.run
	if r.State == Pending && f.wait != nil && !f.wait.Time.Before(f.last.Time) {
		var p waitPayload
		if json.Unmarshal(f.wait.Payload, &p) == nil {
			r.WaitingFor = p.For
		}
	}
	r.Cancelling = r.Cancelling && !r.State.Terminal()
	f.progress()
	for _, s := range f.steps {
		r.Steps = append(r.Steps, f.stepRun(s))
	}
	slices.SortFunc(r.Steps, func(a, b StepRun) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), strings.Compare(a.Step, b.Step))
	})
	return r
}

// progress adds the latest running totals to steps that go on.
func (f *fold) progress() {
	for _, e := range f.counts { // in order: the last one counts
		s := f.steps[e.Step]
		if s == nil || s.State.Terminal() || s.attempt != e.Attempt || s.epoch != e.Epoch {
			continue
		}
		var counts runfolder.StepCounts
		if json.Unmarshal(e.Payload, &counts) == nil {
			s.Counts = counts
		}
	}
}

// stepRun is a step as the whole run lets it appear. A step that an earlier attempt left
// without completing it is gone through again. What had not begun when the run ended was
// skipped, what was under way shares the fate of the run.
func (f *fold) stepRun(s *stepFold) StepRun {
	out := s.StepRun
	if s.declared.Step != "" {
		out.Index = s.declared.Index
		out.Type, out.Table = cmp.Or(out.Type, s.declared.Type), cmp.Or(out.Table, s.declared.Table)
	}
	earlier := s.attempt < f.run.Attempt || s.attempt == f.run.Attempt && s.epoch < f.run.Epoch
	if begun := s.attempt > 0; begun && earlier && out.State != Completed {
		out = StepRun{State: Pending, StepResult: s.declared}
		out.Step = s.Step
	}
	switch {
	case !f.run.State.Terminal() || out.State.Terminal():
	case out.State == Pending:
		out.State = Skipped
	case f.run.State != Completed:
		out.State, out.End = f.run.State, f.run.End
	}
	return out
}
