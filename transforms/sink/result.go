package sink

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

// Step states.
const (
	StateCompleted = "COMPLETED"
	StateFailed    = "FAILED"
	StateSkipped   = "SKIPPED"
)

// Error codes of a StepResult, beside those that sources put into a row.Failure.
const (
	CodeDependencyFailed = "DEPENDENCY_FAILED"
	CodeIncompleteChain  = "INCOMPLETE_CHAIN"
	CodeTooManyRejects   = "TOO_MANY_REJECTS"
	CodeCountMismatch    = "COUNT_MISMATCH"
	CodeSchemaMismatch   = "SCHEMA_MISMATCH"
	CodeWarehouse        = "WAREHOUSE"
	CodeSuperseded       = "SUPERSEDED"
	CodeTimeout          = "TIMEOUT"
)

// Codes of rows that this package rejects.
const (
	RejectOutOfRange      = "OUT_OF_RANGE"
	RejectMissingRequired = "MISSING_REQUIRED"
)

// Counts are totals over the chosen chains of a step's units.
type Counts struct {
	Rows     int64 `json:"rows,omitempty"`         // rows that reached the sink, rejected ones included
	Pages    int64 `json:"pages,omitempty"`        // pages that reached the sink
	Requests int64 `json:"requests,omitempty"`     // HTTP requests spent on them
	Rejected int64 `json:"rejected,omitempty"`     // rows in the dead-letter table
	Billed   int64 `json:"bytes_billed,omitempty"` // by the step's query jobs
}

// StepResult is how a step ended. Its JSON names are those of the run folder's result.
type StepResult struct {
	Step      string    `json:"step"`
	Type      string    `json:"type"`
	Index     int       `json:"index"`
	State     string    `json:"state"`
	Table     string    `json:"table,omitempty"`
	Staged    int64     `json:"staged"`             // rows in the chosen chains
	Published int64     `json:"published"`          // rows in the destination, from job statistics
	Unpriced  int64     `json:"unpriced,omitempty"` // the sink does not know; left to counters
	JobIDs    []string  `json:"job_ids,omitempty"`
	Code      string    `json:"code,omitempty"`
	Error     string    `json:"error,omitempty"`
	Warnings  []string  `json:"warnings,omitempty"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Counts    Counts    `json:"counts"`

	// Continue says that dependents go on although this step did not complete.
	Continue bool `json:"continue,omitempty"`
}

// Blocks reports whether steps that depend on this one must be skipped.
func (r StepResult) Blocks() bool { return r.State != StateCompleted && !r.Continue }

func init() {
	registerJSON[StepResult]()
	registerJSON[ChunkRef]()
}

// registerJSON registers T with a JSON coder: there are few of these elements, and JSON
// keeps their fields free to grow.
func registerJSON[T any]() {
	t := reflect.TypeFor[T]()
	beam.RegisterType(t)
	beam.RegisterCoder(t,
		func(v T) ([]byte, error) { return json.Marshal(v) },
		func(b []byte) (T, error) {
			var v T
			if err := json.Unmarshal(b, &v); err != nil {
				return v, fmt.Errorf("decode %s: %w", t, err)
			}
			return v, nil
		})
}
