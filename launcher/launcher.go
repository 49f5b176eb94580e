// Package launcher is the life of a run: it admits a request, claims the slices that the
// run states, opens the generations of their units, starts a job through a Runner,
// follows its run folder, and records what happened as events from which a run's state is
// folded.
//
//	PENDING -> RUNNING -> COMPLETED | FAILED | TIMEOUT | CANCELLED
//
// Any number of launchers work on one store, and any of them may die between any two
// steps: what it held is taken over, and what its jobs staged is resumed.
//
// It declares the small interfaces it needs (Store, Register, Planner, Runner) and knows
// neither Beam nor the pipeline language nor HTTP: cmd wires those in.
package launcher

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// Planner resolves, validates and plans a pipeline without starting anything. Its errors
// are made for the user.
type Planner interface {
	Plan(ctx context.Context, r Request, runID string, now time.Time) (*Plan, error)
}

// Admission says whether a run may be recorded, and reserves what it uses up. A nil
// Admission admits all.
//
// Release gives back what is no longer used: it is called after the terminal event of a
// run, and when an admitted run could not be recorded. It may be called again for the
// same run, by any process, until it has succeeded: what it gives back is a function of
// the run's id.
type Admission interface {
	Admit(ctx context.Context, run Run, plan *Plan) error
	Release(ctx context.Context, run Run) error
}

// Stages drops the staging tables of generations, by unit. Those that are gone are no
// error.
type Stages interface {
	Drop(ctx context.Context, dataset string, generations map[string]int) error
}

// Store keeps events and answers from them. Every method that reads for somebody takes
// the org, so that no org sees another's runs.
type Store interface {
	Append(ctx context.Context, events ...Event) error
	Events(ctx context.Context, org, runID string) ([]Event, error)
	List(ctx context.Context, org string, filter Filter) ([]Run, error)
	// Active returns the runs that have not ended, and those that ended since the given
	// time and are not settled; of every org if org is "".
	Active(ctx context.Context, org string, endedSince time.Time) ([]Run, error)
	// Signals returns the claims and the requests to cancel that were appended since.
	Signals(ctx context.Context, since time.Time) ([]Event, error)
	Project(ctx context.Context, runs ...Run) error
	// Generations returns the newest generation that events name for each unit.
	Generations(ctx context.Context, org string, units []string) (map[string]int, error)

	claim.Log
}

// Filter narrows a list of runs, newest first.
type Filter struct {
	Pipeline string // exact tracking id
	State    State
	Limit    int
	After    string // id of the last run of the page before; "" = the first page
}

// Claim is the answer of a register: who holds the name, and what was stored with it.
type Claim = claim.Answer

// Register is where generations are opened and closed.
type Register interface {
	// Acquire creates the name if it is absent and otherwise answers with what the
	// creator stored.
	Acquire(ctx context.Context, name, owner, value string) (Claim, error)
	// Look is Acquire without creating; it returns false for a name that is free.
	Look(ctx context.Context, name string) (Claim, bool, error)
	// Standing says how far the publish of a unit's generation got.
	Standing(ctx context.Context, unit string, generation int) (Standing, error)
	// Fence closes a generation: it takes the first publish id that is free, after it has
	// cancelled and awaited the jobs before it. It returns Published if one of them had
	// committed, else Fenced.
	Fence(ctx context.Context, unit string, generation int) (Standing, error)
}

// Standing is how far the publish of a generation got, told from its publish ids alone.
type Standing struct {
	State   StandingState
	Run     string // that published it, "" if its job does not say
	Running bool   // a publish job is under way
}

// StandingState is the verdict of a Standing.
type StandingState int

// A generation can still be published, was published, was closed, or has used up its
// three failed ordinals.
const (
	Unsettled StandingState = iota
	Published
	Fenced
	Exhausted
)

// Runner starts the job of a run whose folder holds its spec.
type Runner interface {
	Start(ctx context.Context, folder *runfolder.Folder) (Process, error)
}

// Adopter is a Runner whose jobs outlive the launcher that started them. Adopt returns the
// job that lives in a run folder, false if none does.
type Adopter interface {
	Adopt(ctx context.Context, folder *runfolder.Folder) (Process, bool, error)
}

// Process is a started job. Wait returns when the process is gone, whatever it left in
// its folder; Stop asks it to end and returns at once.
type Process interface {
	Wait() error
	Stop()
}

// Event is one thing that happened to a run. Its ID makes it idempotent.
type Event struct {
	ID      string          `json:"id"`
	RunID   string          `json:"run_id"`
	Org     string          `json:"-"`
	Attempt int             `json:"attempt"`
	Epoch   int             `json:"epoch"`
	Seq     int64           `json:"seq"`
	Kind    string          `json:"kind"` // run, step, progress, generation, wait, cancel, told, settled, claim, release, beat
	Step    string          `json:"step,omitempty"`
	State   State           `json:"state,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Time    time.Time       `json:"time"`
}

// Config wires a launcher.
type Config struct {
	Store     Store
	Register  Register
	Planner   Planner
	Runner    Runner
	Admission Admission // nil admits all
	Stages    Stages    // nil leaves staging tables to their expiry
	Dir       string    // data directory: runs live in Dir/runs
	Env       string    // development, staging, production
	Project   string
	Location  string
	Engine    string    // default Beam runner of a job: prism, direct
	Owner     procid.ID // of this launcher in registers; zero = procid.Self()
	Now       func() time.Time
	Log       *slog.Logger

	// Service says that this launcher is a service: it goes on with runs whose launcher is
	// gone, and leaves its own for the next one when it closes.
	Service bool
	// Enqueue, if set, is told of runs that are due, instead of starting them here.
	Enqueue func(Run)
	// Storage, if set, says why runs cannot keep files now: none is started then.
	Storage func() error
	// Trace, if set, names the trace of the request that a context belongs to; the job of
	// the run that it asks for continues it.
	Trace func(context.Context) string
	// Ended, if set, is called for each run that has ended, after its terminal event is
	// durable and in the background: in one process of all, and once, unless that process
	// dies before it could record that it has called it. Then another one calls it again,
	// as after an error, which says that ctx ended before it was done.
	Ended func(context.Context, Run) error

	Retries      int           // attempts after the first where the plan does not say
	RetryBackoff time.Duration // before the second attempt; 0 = 30 s
	Heartbeat    time.Duration // 0 = claim.BeatEvery, which is also the longest that others are patient with
	Poll         time.Duration // of a run that another process follows or waits for; 0 = 2 s
	ResumeWithin time.Duration // age up to which another request's open generation is resumed; 0 = 24 h

	// Watch, if set, is told of every event of a job as it is read.
	Watch func(runID string, e runfolder.Event)
}

func (c Config) withDefaults() Config {
	if c.Owner == (procid.ID{}) {
		c.Owner = procid.Self()
	}
	for d, def := range map[*time.Duration]time.Duration{
		&c.RetryBackoff: 30 * time.Second, &c.Heartbeat: claim.BeatEvery, &c.Poll: 2 * time.Second, &c.ResumeWithin: 24 * time.Hour,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return c
}

// Clock returns UTC wall time.
func Clock() time.Time { return time.Now().UTC() }

// Dataset is the dataset of an org in an environment.
func Dataset(org, env string) string { return org + "_" + env }
