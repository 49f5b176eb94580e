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
	CodeStageMissing     = "STAGE_MISSING" // the next generation can be opened
	CodeLocation         = "LOCATION"
	CodeFile             = "FILE"
	CodeTimeout          = "TIMEOUT"

	// CodeAlreadyLanded is that of a completed step of which a slice was left as it is.
	CodeAlreadyLanded = "ALREADY_LANDED"

	// CodeTruncated is that of a completed step whose query returned as many rows as its
	// outermost LIMIT allows: there may be more.
	CodeTruncated = "TRUNCATED"
)

// Codes of rows that this package rejects.
const (
	RejectOutOfRange      = "OUT_OF_RANGE"
	RejectMissingRequired = "MISSING_REQUIRED"
	RejectNullKey         = "NULL_KEY"
	RejectRefused         = "REFUSED" // by the table, when rows are streamed
)

// Counts are totals over the chosen chains of a step's units.
type Counts struct {
	Rows     int64 `json:"rows,omitempty"`         // rows that reached the sink, rejected ones included
	Pages    int64 `json:"pages,omitempty"`        // pages that reached the sink in this attempt
	Requests int64 `json:"requests,omitempty"`     // HTTP requests spent on them
	Adopted  int64 `json:"adopted,omitempty"`      // pages that an earlier attempt had staged
	Again    int64 `json:"refetched,omitempty"`    // of Pages: staged by an earlier attempt, but not adopted
	Rejected int64 `json:"rejected,omitempty"`     // rows in the dead-letter table
	Billed   int64 `json:"bytes_billed,omitempty"` // by the step's query jobs
}

// Landing says what became of a step's staged rows, from job statistics: their number is
// the sum of all four.
type Landing struct {
	Inserted   int64 `json:"inserted,omitempty"`
	Updated    int64 `json:"updated,omitempty"`
	Existing   int64 `json:"existing,omitempty"`   // their keys were already there
	Superseded int64 `json:"superseded,omitempty"` // a later row of the same unit has their key
}

// StepResult is how a step ended. Its JSON names are those of the run folder's result.
type StepResult struct {
	Step      string `json:"step"`
	Type      string `json:"type"`
	Index     int    `json:"index"`
	State     string `json:"state"`
	Table     string `json:"table,omitempty"`
	Staged    int64  `json:"staged"`    // rows in the chosen chains
	Published int64  `json:"published"` // rows in the destination, from job statistics: Inserted + Updated
	Landing
	Unpriced int64     `json:"unpriced,omitempty"` // the sink does not know; left to counters
	JobIDs   []string  `json:"job_ids,omitempty"`
	Code     string    `json:"code,omitempty"`
	Error    string    `json:"error,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Counts   Counts    `json:"counts"`

	// Continue says that dependents go on although this step did not complete.
	Continue bool `json:"continue,omitempty"`
}

// Blocks reports whether steps that depend on this one must be skipped.
func (r StepResult) Blocks() bool { return r.State != StateCompleted && !r.Continue }

func init() {
	result, chunk := reflect.TypeFor[StepResult](), reflect.TypeFor[ChunkRef]()
	beam.RegisterType(result)
	beam.RegisterType(chunk)
	// JSON leaves the fields of these few elements free to grow. Beam finds coder
	// functions by their names, which generic functions do not have.
	beam.RegisterCoder(result, encodeResult, decodeResult)
	beam.RegisterCoder(chunk, encodeChunk, decodeChunk)
}

func encodeResult(r StepResult) ([]byte, error) { return json.Marshal(r) }

func decodeResult(b []byte) (r StepResult, err error) {
	if err = json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("decode step result: %w", err)
	}
	return r, nil
}

func encodeChunk(c ChunkRef) ([]byte, error) { return json.Marshal(c) }

func decodeChunk(b []byte) (c ChunkRef, err error) {
	if err = json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("decode chunk reference: %w", err)
	}
	return c, nil
}
