// Package runfolder is the contract between a launcher and the job process it started:
// the files of one run's folder. The launcher writes spec.json before the job starts;
// the job appends to events.jsonl while it runs and leaves result.json by atomic rename
// when it ends. Files outlive both processes, so that a new launcher can follow an old
// job, which a pipe would not allow.
//
// It is a leaf: it knows neither the pipeline language nor Beam, and it never holds a
// secret.
package runfolder

import (
	"encoding/json"
	"time"

	"cloud.google.com/go/civil"
)

// File names below a run's folder.
const (
	SpecFile   = "spec.json"
	EventsFile = "events.jsonl"
	ResultFile = "result.json"
	JobFile    = "job.json"
	LogFile    = "job.log"
)

// Spec is everything a job process needs to know, and nothing secret.
type Spec struct {
	RunID      string            `json:"run_id"` // UUID, also pipeline_logging_id
	Attempt    int               `json:"attempt"`
	Epoch      int               `json:"epoch"`
	Org        string            `json:"org"`
	Env        string            `json:"env"`     // development, staging, production: part of the dataset name
	Project    string            `json:"project"` // platform project of the warehouse
	Dataset    string            `json:"dataset"` // {org}_{env}
	Location   string            `json:"location"`
	Pipeline   string            `json:"pipeline"`              // provider/domain/name, or the path of a loose file
	Document   string            `json:"document"`              // the pipeline's YAML text
	File       string            `json:"file"`                  // its name in messages
	Params     map[string]string `json:"params"`                // run parameters and --var, not org_slug and the like
	ProjectID  string            `json:"project_id,omitempty"`  // of the org's cloud integration
	AdminEmail string            `json:"admin_email,omitempty"` // of the org's profile, when the document uses it
	StartDate  civil.Date        `json:"start_date"`
	EndDate    civil.Date        `json:"end_date"` // inclusive
	Now        time.Time         `json:"now"`      // run start
	Deadline   time.Time         `json:"deadline"`
	Runner     string            `json:"runner"`                // prism, direct, dataflow, flink
	Trace      string            `json:"traceparent,omitempty"` // of the request that asked for the run

	Tables      map[string]json.RawMessage `json:"tables,omitempty"`    // schemas that the plan found, by reference: a job need not have the folder that declares them
	Providers   json.RawMessage            `json:"providers,omitempty"` // those that the steps use, likewise
	Generations map[string]int             `json:"generations"`         // unit id -> generation that the launcher opened
}

// Job is the process that works in the folder, as its launcher started it.
type Job struct {
	PID     int    `json:"pid"`
	Process string `json:"process"` // its identity, as package procid writes it
}

// Event kinds.
const (
	KindStarted  = "started"  // the job runs
	KindProgress = "progress" // running totals of a step
	KindStep     = "step"     // a step ended; Result is set
	KindLog      = "log"
)

// Event is one line of events.jsonl.
type Event struct {
	Seq  int64     `json:"seq"` // from 1, ascending within a file
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	Step string    `json:"step,omitempty"`
	StepCounts
	Result  *StepResult `json:"result,omitempty"` // kind step: how the step ended
	Message string      `json:"message,omitempty"`
}

// StepCounts are running totals of a step.
type StepCounts struct {
	Rows      int64 `json:"rows,omitempty"`      // rows that reached the sink, rejected ones included
	Pages     int64 `json:"pages,omitempty"`     // pages fetched
	Requests  int64 `json:"requests,omitempty"`  // HTTP requests, retries included
	Retries   int64 `json:"retries,omitempty"`   // of those requests
	Adopted   int64 `json:"adopted,omitempty"`   // pages adopted from an earlier attempt's staging
	Refetched int64 `json:"refetched,omitempty"` // pages fetched again although staged before
	Rejected  int64 `json:"rejected,omitempty"`  // rows in the dead-letter output
	Billed    int64 `json:"bytes_billed,omitempty"`
}

// Step states.
const (
	StepCompleted = "COMPLETED"
	StepFailed    = "FAILED"
	StepSkipped   = "SKIPPED"
)

// StepResult is how a step ended. Published counts rows in the destination.
type StepResult struct {
	Step      string     `json:"step"`
	Type      string     `json:"type"`
	Index     int        `json:"index"` // 0-based order in the document
	State     string     `json:"state"`
	Table     string     `json:"table,omitempty"`
	Published int64      `json:"published"`
	Unpriced  int64      `json:"unpriced,omitempty"`
	JobIDs    []string   `json:"job_ids,omitempty"`
	Code      string     `json:"code,omitempty"` // error code when FAILED or SKIPPED, TRUNCATED and the like otherwise
	Error     string     `json:"error,omitempty"`
	Warnings  []string   `json:"warnings,omitempty"`
	Start     time.Time  `json:"start"`
	End       time.Time  `json:"end"`
	Counts    StepCounts `json:"counts"`
}

// Result states.
const (
	Completed = "COMPLETED"
	Failed    = "FAILED"
	Timeout   = "TIMEOUT"
	Cancelled = "CANCELLED"
)

// Result is how the job ended. A run is COMPLETED only if every step that had to
// complete did.
type Result struct {
	RunID string       `json:"run_id"`
	State string       `json:"state"`
	Code  string       `json:"code,omitempty"`
	Error string       `json:"error,omitempty"`
	Steps []StepResult `json:"steps"`
	Start time.Time    `json:"start"`
	End   time.Time    `json:"end"`
}
