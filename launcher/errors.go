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
