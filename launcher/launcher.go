// Package launcher is the life of a run: it admits a request, opens the generations of
// the units that the run states, starts a job through a Runner, follows its run folder,
// and records what happened as events from which a run's state is folded.
//
//	PENDING -> RUNNING -> COMPLETED | FAILED | TIMEOUT | CANCELLED
//
// It declares the small interfaces it needs (Store, Register, Planner, Runner) and knows
// neither Beam nor the pipeline language nor HTTP: cmd wires those in.
package launcher

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// State is the state of a run or of a step.
type State string

// The states. SKIPPED is a state of steps only.
const (
	Pending   State = "PENDING"
	Running   State = "RUNNING"
	Cancelled State = "CANCELLED"
	Timeout   State = "TIMEOUT"
	Failed    State = "FAILED"
	Completed State = "COMPLETED"
	Skipped   State = "SKIPPED"
)

// ranks order the states of one attempt and epoch, so that events may arrive in any
// order, twice or late.
var ranks = map[State]int{Pending: 1, Running: 2, Skipped: 3, Cancelled: 3, Timeout: 4, Failed: 5, Completed: 6}

// Terminal reports whether nothing follows the state.
func (s State) Terminal() bool { return ranks[s] > ranks[Running] }

// Request asks for a run. Org has been authenticated by the caller.
type Request struct {
	Org       string
	Provider  string
	Domain    string // may be empty
	Template  string
	Document  *Document // a loose document instead of a catalogue entry; nil otherwise
	Start     civil.Date
	End       civil.Date        // inclusive; zero Start and End mean yesterday
	Params    map[string]string // run parameters
	Trigger   string            // api, cli, scheduler
	TriggerBy string
	KeyID     string
	UserID    string
	Runner    string // "" = the service's default
}

// Document is a pipeline outside the catalogue.
type Document struct {
	File string
	Text string
}

// Plan is what the launcher must know of a planned pipeline.
type Plan struct {
	Pipeline string // provider/domain/name or the name of a loose file
	File     string
	Text     string
	Params   map[string]string // as the run will see them
	Start    civil.Date
	End      civil.Date // inclusive
	Timeout  time.Duration
	Steps    []Step
	Units    []Unit // ascending by step, then slice
}

// Step names a step in the order of its document.
type Step struct {
	ID    string
	Type  string
	Table string
}

// Unit is a slice of a step; Hash changes when the generation cannot be resumed.
type Unit struct {
	ID   string
	Step string
	Hash string
	Once bool // its rows are added once: a published unit is never stated again
}

// Planner resolves, validates and plans a pipeline without starting anything. Its errors
// are made for the user.
type Planner interface {
	Plan(ctx context.Context, r Request, runID string, now time.Time) (*Plan, error)
}

// Store keeps events and answers from them. Every method that reads takes the org, so
// that no org sees another's runs.
type Store interface {
	Append(ctx context.Context, events ...Event) error
	Events(ctx context.Context, org, runID string) ([]Event, error)
	List(ctx context.Context, org string, filter Filter) ([]Run, error)
	Project(ctx context.Context, runs ...Run) error
	// Generations returns the newest generation that events name for each unit.
	Generations(ctx context.Context, org string, units []string) (map[string]int, error)
}

// Filter narrows a list of runs, newest first.
type Filter struct {
	Pipeline string // exact tracking id
	State    State
	Limit    int
	After    string // id of the last run of the page before; "" = the first page
}

// Register is where generations are opened. Acquire creates the name if it is absent and
// otherwise answers with what the creator stored; Published says whether the publish of
// a unit's generation committed.
type Register interface {
	Acquire(ctx context.Context, name, owner, value string) (Claim, error)
	Published(ctx context.Context, unit string, generation int) (bool, error)
}

// Claim is the answer of a register: who holds the name, and what was stored with it.
type Claim struct {
	Won     bool
	Owner   string
	Value   string
	Created time.Time // by the register's clock
}

// Runner starts the job of a run whose folder holds its spec.
type Runner interface {
	Start(ctx context.Context, folder *runfolder.Folder) (Process, error)
}

// Process is a started job. Wait returns when the process is gone, whatever it left in
// its folder; Stop asks it to end and returns at once.
type Process interface {
	Wait() error
	Stop()
}

// Event is one thing that happened to a run. Its ID makes it idempotent.
type Event struct {
	ID      string
	RunID   string
	Org     string
	Attempt int
	Epoch   int
	Seq     int64
	Kind    string // run, step, generation
	Step    string
	State   State
	Payload json.RawMessage
	Time    time.Time
}

// Run is the fold of a run's events.
type Run struct {
	ID         string
	Org        string
	PipelineID string // tracking id: {org}-{provider}-{domain}-{template}
	Attempt    int
	Epoch      int
	State      State
	Trigger    string
	TriggerBy  string
	KeyID      string
	UserID     string
	Start      time.Time
	End        time.Time // zero while not terminal
	RunDate    civil.Date
	Params     map[string]string
	Code       string
	Error      string
	Steps      []StepRun
}

// StepRun is one step of a run.
type StepRun struct {
	runfolder.StepResult
	State State
}

// Config wires a launcher.
type Config struct {
	Store    Store
	Register Register
	Planner  Planner
	Runner   Runner
	Dir      string // data directory: runs live in Dir/runs
	Env      string // development, staging, production
	Project  string
	Location string
	Engine   string // default Beam runner of a job: prism, direct
	Owner    string // identity of this launcher in registers
	Now      func() time.Time
	Log      *slog.Logger
	// Watch, if set, is told of every event of a job as it is read.
	Watch func(runID string, e runfolder.Event)
}
