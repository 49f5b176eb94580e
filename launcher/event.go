package launcher

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"cloud.google.com/go/civil"
)

// Event kinds, beside those of package claim.
const (
	kindRun        = "run"
	kindStep       = "step"
	kindProgress   = "progress"   // running totals of a step; Seq is a time
	kindGeneration = "generation" // Step is the unit's id, Seq the generation that was opened
	kindWait       = "wait"       // another run holds a slice; Seq is a time
	kindCancel     = "cancel"     // somebody asked for the end of the run
	kindTold       = "told"       // who waits for the end of the run has been told
	kindSettled    = "settled"    // what follows the end of the run has been done
)

// runPayload is what run events carry; each field is set by the event that knows it.
type runPayload struct {
	PipelineID string            `json:"pipeline_id,omitempty"`
	Trigger    string            `json:"trigger_type,omitempty"`
	TriggerBy  string            `json:"trigger_by,omitempty"`
	KeyID      string            `json:"org_api_key_id,omitempty"`
	UserID     string            `json:"user_id,omitempty"`
	RunDate    civil.Date        `json:"run_date,omitzero"`
	RunEnd     civil.Date        `json:"run_date_end,omitzero"`
	Params     map[string]string `json:"parameters,omitempty"`
	Steps      []Step            `json:"steps,omitempty"`
	Hooks      []Hook            `json:"hooks,omitempty"`
	Request    *Request          `json:"request,omitempty"`
	Submitter  string            `json:"submitter,omitempty"`
	Code       string            `json:"code,omitempty"`
	Error      string            `json:"error,omitempty"`
	LandedBy   string            `json:"landed_by,omitempty"`
	RetryAt    time.Time         `json:"retry_at,omitzero"`
}

type waitPayload struct {
	For string `json:"waiting_for"`
}

type cancelPayload struct {
	Discard bool   `json:"discard,omitempty"`
	By      string `json:"by,omitempty"`
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
