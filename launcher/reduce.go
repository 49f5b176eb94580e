package launcher

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// Event kinds.
const (
	kindRun        = "run"
	kindStep       = "step"
	kindGeneration = "generation" // Step is the unit's id, Seq the generation that was opened
)

// runPayload is what run events carry; each field is set by the event that knows it.
type runPayload struct {
	PipelineID string            `json:"pipeline_id,omitempty"`
	Trigger    string            `json:"trigger_type,omitempty"`
	TriggerBy  string            `json:"trigger_by,omitempty"`
	KeyID      string            `json:"org_api_key_id,omitempty"`
	UserID     string            `json:"user_id,omitempty"`
	RunDate    civil.Date        `json:"run_date,omitzero"`
	Params     map[string]string `json:"parameters,omitempty"`
	Code       string            `json:"code,omitempty"`
	Error      string            `json:"error,omitempty"`
	Steps      []Step            `json:"steps,omitempty"`
}

// newEvent makes an event whose ID is a function of what it says, so that appending it
// twice is appending it once.
func newEvent(r Run, kind, step string, state State, seq int64, payload any, at time.Time) (Event, error) {
	b, err := json.Marshal(payload)
	if err != nil {
		return Event{}, fmt.Errorf("encode %s event: %w", kind, err)
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d/%s/%s/%s/%d", r.ID, r.Attempt, r.Epoch, step, kind, state, seq))
	return Event{
		ID: hex.EncodeToString(id[:])[:32], RunID: r.ID, Org: r.Org, Attempt: r.Attempt, Epoch: r.Epoch,
		Seq: seq, Kind: kind, Step: step, State: state, Payload: b, Time: at.UTC(),
	}, nil
}

// compare orders what events say about one thing: later attempts, then later epochs, then
// later states win, whatever order they are read in. Equals are ordered by what they
// hold, so that no two readers ever disagree.
func (e Event) compare(o Event) int {
	return cmp.Or(
		cmp.Compare(e.Attempt, o.Attempt), cmp.Compare(e.Epoch, o.Epoch), cmp.Compare(ranks[e.State], ranks[o.State]),
		cmp.Compare(e.Seq, o.Seq), cmp.Compare(e.ID, o.ID), bytes.Compare(e.Payload, o.Payload), e.Time.Compare(o.Time),
	)
}

// Reduce folds the events of one run. Order, repetition and delay of events do not
// matter. It returns false when there is none. A run of which no run event is known yet
// is PENDING.
func Reduce(events []Event) (Run, bool, error) {
	if len(events) == 0 {
		return Run{}, false, nil
	}
	events = slices.Clone(events)
	slices.SortFunc(events, Event.compare)
	r := Run{ID: events[0].RunID, Org: events[0].Org, State: Pending}
	steps := map[string]*StepRun{}
	for _, e := range events {
		var err error
		switch e.Kind {
		case kindRun:
			err = r.apply(e, steps)
		case kindStep:
			err = applyStep(e, steps)
		}
		if err != nil {
			return Run{}, false, fmt.Errorf("event %s of run %s: %w", e.ID, e.RunID, err)
		}
	}
	for _, s := range steps {
		r.Steps = append(r.Steps, r.settled(*s))
	}
	slices.SortFunc(r.Steps, func(a, b StepRun) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), strings.Compare(a.Step, b.Step))
	})
	return r, true, nil
}

// settled gives an end to a step that the end of its run left without one: what had not
// begun was skipped, what was under way shares the fate of the run.
func (r Run) settled(s StepRun) StepRun {
	switch {
	case !r.State.Terminal() || s.State.Terminal():
	case s.State == Pending:
		s.State = Skipped
	case r.State != Completed:
		s.State, s.End = r.State, r.End
	}
	return s
}

func (r *Run) apply(e Event, steps map[string]*StepRun) error {
	var p runPayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return err
	}
	r.Attempt, r.Epoch, r.State = e.Attempt, e.Epoch, e.State
	r.End, r.Code, r.Error = time.Time{}, "", "" // of an earlier attempt
	switch {
	case e.State == Pending:
		r.PipelineID, r.Trigger, r.TriggerBy, r.KeyID, r.UserID = p.PipelineID, p.Trigger, p.TriggerBy, p.KeyID, p.UserID
		r.RunDate, r.Params = p.RunDate, p.Params
		if r.Start.IsZero() || e.Time.Before(r.Start) {
			r.Start = e.Time
		}
	case e.State.Terminal():
		r.End, r.Code, r.Error = e.Time, p.Code, p.Error
	}
	for i, s := range p.Steps {
		// A new attempt goes through its steps again, but for those that have completed.
		if before := steps[s.ID]; before == nil || before.State != Completed {
			steps[s.ID] = &StepRun{State: Pending, StepResult: runfolder.StepResult{Step: s.ID, Type: s.Type, Table: s.Table, Index: i}}
		}
	}
	return nil
}

func applyStep(e Event, steps map[string]*StepRun) error {
	var result runfolder.StepResult
	if err := json.Unmarshal(e.Payload, &result); err != nil {
		return err
	}
	result.Step = e.Step
	if declared := steps[e.Step]; declared != nil {
		result.Index = declared.Index
		result.Type = cmp.Or(result.Type, declared.Type)
		result.Table = cmp.Or(result.Table, declared.Table)
	}
	steps[e.Step] = &StepRun{StepResult: result, State: e.State}
	return nil
}
