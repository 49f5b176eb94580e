package launcher

import (
	"fmt"
	"time"
)

// Code is a machine-readable error code that crosses the API.
type Code string

// The codes that the launcher itself answers with.
const (
	CodePipelineNotFound Code = "PIPELINE_NOT_FOUND"
	CodeInvalidPipeline  Code = "INVALID_PIPELINE"
	CodeInvalidParameter Code = "INVALID_PARAMETER"
	CodeRunNotFound      Code = "RUN_NOT_FOUND"
	CodeRunEnded         Code = "RUN_ENDED"      // it cannot be cancelled any more
	CodeRunNotEnded      Code = "RUN_NOT_ENDED"  // it cannot be retried yet
	CodeRunCompleted     Code = "RUN_COMPLETED"  // there is nothing to retry
	CodeNoLog            Code = "LOG_NOT_FOUND"  // it is on another host, or there is none
	CodeAlreadyLanded    Code = "ALREADY_LANDED" // its rows are in the table and are added once
	CodeSuperseded       Code = "SUPERSEDED"     // another run has taken its slices over
	CodeStageMissing     Code = "STAGE_MISSING"
	CodeInterrupted      Code = "INTERRUPTED" // its launcher was asked to end
	CodeNotConfigured    Code = "INTEGRATION_NOT_CONFIGURED"
	CodeLost             Code = "LOST"
	CodeTimeout          Code = "TIMEOUT"
	CodeCancelled        Code = "CANCELLED"
	CodeUnavailable      Code = "SERVICE_UNAVAILABLE" // the launcher is closing, or its store does not answer
	CodeInternal         Code = "INTERNAL"
)

// The codes of a refused admission.
const (
	CodeForbidden            Code = "FORBIDDEN" // the organisation is not ACTIVE
	CodeSubscriptionInactive Code = "SUBSCRIPTION_INACTIVE"
	CodeDailyQuota           Code = "DAILY_QUOTA_EXCEEDED"
	CodeMonthlyQuota         Code = "MONTHLY_QUOTA_EXCEEDED"
	CodeConcurrentLimit      Code = "CONCURRENT_LIMIT_EXCEEDED"
	CodeIdempotencyConflict  Code = "IDEMPOTENCY_CONFLICT" // the key was used for another body
)

// permanent are the codes of failures that another attempt would only repeat.
var permanent = map[Code]bool{
	CodeInvalidPipeline: true, CodeInvalidParameter: true, CodePipelineNotFound: true, CodeNotConfigured: true,
	CodeAlreadyLanded: true, CodeCancelled: true, CodeTimeout: true,
	"CONFIG": true, "CREDENTIAL": true, "BLOCKED_ADDRESS": true, "BLOCKED_REDIRECT": true, "SCHEMA_MISMATCH": true,
	"TOO_MANY_REJECTS": true, "CURSOR_LOOP": true, "TOO_MANY_PAGES": true, "BODY_TOO_LARGE": true, "COUNT_MISMATCH": true,
	"NO_OUTCOME": true,
}

// Error is the one error type that crosses the API. Message is for the user and holds
// neither internals nor secrets; Problems are single lines of a refused document.
type Error struct {
	Code     Code
	Message  string
	Problems []string
	// RetryAfter is when asking again may be answered differently; 0 = unknown.
	RetryAfter time.Duration
	Err        error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Waiting is the answer of Start when another run holds a slice that this one needs: the
// run stays PENDING and holds nothing, so that it may be started again by anybody at any
// time. Changed is closed when that is worth a try before the poll interval is over; nil
// if the other run is followed by another process.
type Waiting struct {
	Run     string // that waits
	For     string // run that holds the slice
	Changed <-chan struct{}
}

// Error implements error.
func (w *Waiting) Error() string {
	return fmt.Sprintf("run %s waits for run %s", w.Run, w.For)
}

// Later is the answer of Start when the attempt that it made, or the one before, has
// failed and the next one is due at At: the run is PENDING and holds nothing.
type Later struct {
	Run string
	At  time.Time
}

// Error implements error.
func (l *Later) Error() string {
	return fmt.Sprintf("the next attempt of run %s is due at %s", l.Run, l.At.UTC().Format(time.RFC3339))
}

// Elsewhere is the answer of Start when a process that lives works on the run.
type Elsewhere struct {
	Run   string
	Owner string
}

// Error implements error.
func (e *Elsewhere) Error() string {
	return fmt.Sprintf("run %s is followed by another process (%s)", e.Run, e.Owner)
}
