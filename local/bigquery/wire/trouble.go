package wire

import (
	"fmt"
	"net/http"
)

// Reasons of errors that pass: the same request may succeed later.
const (
	ReasonBackendError         = "backendError"
	ReasonInternalError        = "internalError"
	ReasonRateLimitExceeded    = "rateLimitExceeded"
	ReasonQuotaExceeded        = "quotaExceeded"
	ReasonResourcesExceeded    = "resourcesExceeded"
	ReasonJobBackendError      = "jobBackendError"
	ReasonJobInternalError     = "jobInternalError"
	ReasonJobRateLimitExceeded = "jobRateLimitExceeded"
)

const quotaHelp = "For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas"

// BackendError is the 503 that a client must survive.
func BackendError() *Error {
	return &Error{
		HTTPStatus: http.StatusServiceUnavailable, Reason: ReasonBackendError,
		Message: "Error encountered during execution. Retrying may solve the problem.",
	}
}

// InternalError is the 500 that a client must survive.
func InternalError() *Error {
	return &Error{
		HTTPStatus: http.StatusInternalServerError, Reason: ReasonInternalError,
		Message: "An internal error occurred and the request could not be completed. This is usually caused by a transient issue. Retrying the job with back-off as described in the BigQuery SLA should solve the problem.",
	}
}

// RateLimitExceeded is the 403 for too many requests of a method.
func RateLimitExceeded() *Error {
	return rateLimit("too many api requests per user per method for this user_method")
}

// TooManyTableUpdates is the 403 for changing a table too often.
func TooManyTableUpdates() *Error {
	return rateLimit("too many table update operations for this table")
}

// TooManyDML is the 403 for starting DML statements on a table too fast.
func TooManyDML() *Error {
	return rateLimit("too many table dml insert operations for this table")
}

func rateLimit(what string) *Error {
	return &Error{HTTPStatus: http.StatusForbidden, Reason: ReasonRateLimitExceeded, Message: "Exceeded rate limits: " + what + ". " + quotaHelp}
}

// JobRateLimitExceeded is a job refused because too many run.
func JobRateLimitExceeded() *Error {
	return &Error{
		HTTPStatus: http.StatusBadRequest, Reason: ReasonJobRateLimitExceeded,
		Message: "Job exceeded rate limits: Your project exceeded quota for concurrent queries. " + quotaHelp,
	}
}

// JobBackendError is a job that ended by no fault of its own; it is submitted
// again under another id.
func JobBackendError() *Error {
	return &Error{
		HTTPStatus: http.StatusBadRequest, Reason: ReasonJobBackendError,
		Message: "The job encountered an error during execution. Retrying the job may solve the problem.",
	}
}

// QuotaExceeded is the 403 for a quota of the day.
func QuotaExceeded() *Error {
	return &Error{
		HTTPStatus: http.StatusForbidden, Reason: ReasonQuotaExceeded,
		Message: "Quota exceeded: Your table exceeded quota for imports or query appends per table. " + quotaHelp,
	}
}

// OutstandingDML refuses a mutating statement whose table has a full queue.
func OutstandingDML(ref TableReference, limit int) *Error {
	return &Error{
		HTTPStatus: http.StatusBadRequest, Reason: ReasonResourcesExceeded, Location: "q", LocationType: "parameter",
		Message: fmt.Sprintf("Resources exceeded during query execution: Too many DML statements outstanding against table %s, limit is %d", ref, limit),
	}
}

// SerializationFailure is how a mutating statement loses against another one
// of the same partition after its own retries.
func SerializationFailure(ref TableReference) *Error {
	return InvalidQuery(fmt.Sprintf("Could not serialize access to table %s due to concurrent update", ref))
}

// RowsInBuffer refuses DML that touches rows that were just streamed.
func RowsInBuffer(statement string, ref TableReference) *Error {
	return InvalidQuery(fmt.Sprintf("%s statement over table %s.%s.%s would affect rows in the streaming buffer, which is not supported",
		statement, ref.ProjectID, ref.DatasetID, ref.TableID))
}
