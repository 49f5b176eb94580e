package launcher

import (
	"encoding/json"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// State is the state of a run or of a step.
type State string

// The states. SKIPPED is a state of steps only; ATTEMPT_FAILED is a state of events only:
// a run whose attempt failed with retries left is shown as PENDING.
const (
	Pending       State = "PENDING"
	Running       State = "RUNNING"
	AttemptFailed State = "ATTEMPT_FAILED"
	Cancelled     State = "CANCELLED"
	Timeout       State = "TIMEOUT"
	Failed        State = "FAILED"
	Completed     State = "COMPLETED"
	Skipped       State = "SKIPPED"
)

// ranks order the states of one attempt and epoch, so that events may arrive in any
// order, twice or late.
var ranks = map[State]int{Pending: 1, Running: 2, AttemptFailed: 3, Skipped: 4, Cancelled: 4, Timeout: 5, Failed: 6, Completed: 7}

// Terminal reports whether nothing follows the state.
func (s State) Terminal() bool { return ranks[s] > ranks[AttemptFailed] }

// TriggerCLI is the trigger of runs that live and die with the process that asked for
// them: nobody else goes on with them.
const TriggerCLI = "cli"

// Request asks for a run. Org has been authenticated by the caller.
type Request struct {
	RunID     string            `json:"run_id,omitempty"` // "" = a new one; a known one is answered with its run
	Org       string            `json:"org"`
	Provider  string            `json:"provider,omitempty"`
	Domain    string            `json:"domain,omitempty"` // may be empty
	Template  string            `json:"template,omitempty"`
	Document  *Document         `json:"document,omitempty"` // a loose document instead of a catalogue entry; nil otherwise
	Start     civil.Date        `json:"start,omitzero"`
	End       civil.Date        `json:"end,omitzero"`         // inclusive; zero Start and End mean yesterday
	Params    map[string]string `json:"parameters,omitempty"` // run parameters
	Trigger   string            `json:"trigger,omitempty"`    // api, cli, scheduler
	TriggerBy string            `json:"trigger_by,omitempty"`
	KeyID     string            `json:"key_id,omitempty"`
	UserID    string            `json:"user_id,omitempty"`
	Runner    string            `json:"runner,omitempty"`   // "" = the service's default
	Priority  int               `json:"priority,omitempty"` // 1 is the highest; 0 = none given. For the queue
	RetryOf   string            `json:"retry_of,omitempty"`
	Trace     string            `json:"trace,omitempty"`  // of the request that asked, as a W3C traceparent; set by Submit
	Origin    string            `json:"origin,omitempty"` // first run of a chain of retries: what one of them staged is the others' to resume
}

// Document is a pipeline outside the catalogue.
type Document struct {
	File string `json:"file"`
	Text string `json:"text"`
}

// Plan is what the launcher must know of a planned pipeline.
type Plan struct {
	Pipeline   string                     `json:"pipeline"` // provider/domain/name or the name of a loose file
	File       string                     `json:"file,omitempty"`
	Text       string                     `json:"text,omitempty"`
	Params     map[string]string          `json:"parameters,omitempty"`  // as the run will see them
	ProjectID  string                     `json:"project_id,omitempty"`  // of the org's cloud integration, when the document uses it
	AdminEmail string                     `json:"admin_email,omitempty"` // of the org's profile, when the document uses it
	Tables     map[string]json.RawMessage `json:"tables,omitempty"`      // declared schemas of what the steps write, by reference
	Providers  json.RawMessage            `json:"providers,omitempty"`   // those whose credentials the steps use
	RunOnce    bool                       `json:"run_once,omitempty"`    // a slice that has completed is not run again
	Runner     string                     `json:"runner,omitempty"`      // that the document names; "" = the service's default
	ForceParam string                     `json:"force_param,omitempty"` // the parameter that, when true, runs it again all the same
	Start      civil.Date                 `json:"start"`
	End        civil.Date                 `json:"end"` // inclusive
	Timeout    time.Duration              `json:"timeout"`
	Retries    *int                       `json:"retry_attempts,omitempty"` // attempts after the first; nil = what Config says
	Backoff    time.Duration              `json:"retry_backoff,omitempty"`  // before the second attempt, doubled for each later one; 0 = what Config says
	Scope      string                     `json:"scope,omitempty"`          // of its claims: runs of other scopes share no unit; a label, "" = none
	Steps      []Step                     `json:"steps"`
	Units      []Unit                     `json:"units"` // ascending by step, then slice
	Hooks      []Hook                     `json:"hooks,omitempty"`
}

// Step names a step in the order of its document.
type Step struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Table string `json:"table,omitempty"`
	Alert bool   `json:"alert,omitempty"` // its failure is told although the run goes on
}

// Hook is a notification: it is sent when the run has ended, by whoever ends it.
type Hook struct {
	Step   string          `json:"step"`
	Type   string          `json:"type"`
	Config json.RawMessage `json:"config"`
}

// Unit is a slice of a step; Hash changes when the generation cannot be resumed.
type Unit struct {
	ID    string `json:"id"`
	Step  string `json:"step"`
	Slice string `json:"slice,omitempty"` // what the units of all steps over the same days have in common; "" = all that is not cut into slices
	Hash  string `json:"hash"`
	Once  bool   `json:"once,omitempty"` // its rows are added once: a published unit is never stated again
}

// Run is the fold of a run's events.
type Run struct {
	ID         string            `json:"run_id"`
	Org        string            `json:"org"`
	PipelineID string            `json:"pipeline_id"` // tracking id: {org}-{provider}-{domain}-{template}
	Attempt    int               `json:"attempt"`
	Epoch      int               `json:"epoch"`
	State      State             `json:"state"`
	Trigger    string            `json:"trigger_type"`
	TriggerBy  string            `json:"trigger_by,omitempty"`
	KeyID      string            `json:"org_api_key_id,omitempty"`
	UserID     string            `json:"user_id,omitempty"`
	Priority   int               `json:"priority,omitempty"`
	Start      time.Time         `json:"start_time"`            // when it was asked for
	Began      time.Time         `json:"began,omitzero"`        // when its first job started; zero if none did
	End        time.Time         `json:"end_time,omitzero"`     // zero while not terminal
	RunDate    civil.Date        `json:"run_date,omitzero"`     // first day
	RunEnd     civil.Date        `json:"run_date_end,omitzero"` // last day, inclusive
	Params     map[string]string `json:"parameters,omitempty"`
	Code       string            `json:"error_code,omitempty"` // of a run that is PENDING: of its last attempt
	Error      string            `json:"error_message,omitempty"`
	WaitingFor string            `json:"waiting_for,omitempty"` // run that holds a slice which this one needs
	LandedBy   string            `json:"landed_by,omitempty"`   // run whose outcome this one has taken
	RetryOf    string            `json:"retry_of,omitempty"`
	RetryAt    time.Time         `json:"retry_at,omitzero"` // when the next attempt is due
	Cancelling bool              `json:"cancelling,omitempty"`
	Steps      []StepRun         `json:"steps"`

	Request     Request        `json:"-"`
	Submitter   string         `json:"-"` // process that recorded it
	Generations map[string]int `json:"-"` // newest that it opened or resumed, by unit
	Discard     bool           `json:"-"` // staging goes when it is cancelled
	Hooks       []Hook         `json:"-"` // notifications, as planned when it was recorded
	Alerts      []string       `json:"-"` // steps whose failure is told although the run goes on
	Told        bool           `json:"-"` // its end has been told
	Settled     bool           `json:"-"` // what follows a terminal state has been done
}

// StepRun is one step of a run.
type StepRun struct {
	runfolder.StepResult
	State State `json:"state"`
}
