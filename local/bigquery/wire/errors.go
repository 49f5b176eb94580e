package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Reasons of the error bodies, spelled as the service spells them.
const (
	ReasonInvalid            = "invalid"
	ReasonInvalidQuery       = "invalidQuery"
	ReasonNotFound           = "notFound"
	ReasonDuplicate          = "duplicate"
	ReasonResourceInUse      = "resourceInUse"
	ReasonFailedPrecondition = "failedPrecondition"
	ReasonConditionNotMet    = "conditionNotMet"
	ReasonNotImplemented     = "notImplemented"
	ReasonStopped            = "stopped"
	ReasonBytesBilled        = "bytesBilledLimitExceeded"
)

// Error is one error as it crosses the wire: an HTTP status and the first
// entry of the errors list. The zero value is not an error of the service.
type Error struct {
	// HTTPStatus is the status line's code, Code the one in the body; they
	// differ for a failed precondition only. A zero Code means HTTPStatus.
	HTTPStatus int
	Code       int
	Reason     string
	Message    string
	// Location and LocationType name the part of the request at fault.
	Location     string
	LocationType string
	// More follows the first entry in the list of a failed job.
	More []ErrorProto
}

// ErrorProto is one entry of an errors list, of a job's errorResult and of
// an insertAll answer.
type ErrorProto struct {
	Reason    string `json:"reason"`
	Location  string `json:"location,omitempty"`
	DebugInfo string `json:"debugInfo,omitempty"`
	Message   string `json:"message"`
}

// Error returns the message as the client shows it.
func (e *Error) Error() string { return e.Message }

// Proto returns the entry that a failed job carries as its errorResult.
// A query error is located at "query" there, and at "q" in HTTP bodies.
func (e *Error) Proto() ErrorProto {
	location := e.Location
	if location == "q" {
		location = "query"
	}
	return ErrorProto{Reason: e.Reason, Location: location, Message: e.Message}
}

// FromProto turns a recorded errorResult into the error that reading the
// job's results answers with.
func FromProto(p ErrorProto) *Error {
	e := &Error{HTTPStatus: statusOfReason(p.Reason), Reason: p.Reason, Message: p.Message, Location: p.Location}
	if p.Location == "query" {
		e.Location, e.LocationType = "q", "parameter"
	}
	return e
}

func statusOfReason(reason string) int {
	switch reason {
	case ReasonNotFound:
		return http.StatusNotFound
	case ReasonDuplicate:
		return http.StatusConflict
	case ReasonRateLimitExceeded, ReasonQuotaExceeded:
		return http.StatusForbidden
	case ReasonBackendError:
		return http.StatusServiceUnavailable
	case ReasonInternalError:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// Invalid is a 400 with reason invalid.
func Invalid(format string, args ...any) *Error {
	return &Error{HTTPStatus: http.StatusBadRequest, Reason: ReasonInvalid, Message: fmt.Sprintf(format, args...)}
}

// InvalidQuery is a 400 about the SQL text itself; message carries the
// position as "at [line:column]".
func InvalidQuery(message string) *Error {
	return &Error{HTTPStatus: http.StatusBadRequest, Reason: ReasonInvalidQuery, Message: message, Location: "q", LocationType: "parameter"}
}

// NotImplemented is a 400 that names what this server does not do. It is not
// a 501: clients retry every 5xx for ever.
func NotImplemented(what string) *Error {
	return &Error{HTTPStatus: http.StatusBadRequest, Reason: ReasonNotImplemented, Message: "Not implemented: " + what}
}

// NotFoundDataset is the 404 for a dataset.
func NotFoundDataset(project, dataset string) *Error {
	return notFound("Dataset %s:%s", project, dataset)
}

// NotFoundTable is the 404 for a table.
func NotFoundTable(ref TableReference) *Error { return notFound("Table %s", ref) }

// NotFoundJob is the 404 for a job; location is shown when the request named
// one.
func NotFoundJob(project, location, id string) *Error {
	return notFound("Job %s", jobName(project, location, id))
}

func notFound(format string, args ...any) *Error {
	return &Error{HTTPStatus: http.StatusNotFound, Reason: ReasonNotFound, Message: "Not found: " + fmt.Sprintf(format, args...)}
}

func jobName(project, location, id string) string {
	if location == "" {
		return project + ":" + id
	}
	return project + ":" + location + "." + id
}

// DuplicateDataset is the 409 for creating a dataset twice.
func DuplicateDataset(project, dataset string) *Error {
	return duplicate("Dataset %s:%s", project, dataset)
}

// DuplicateTable is the 409 for creating a table twice, and the job error of
// WRITE_EMPTY into a table with rows.
func DuplicateTable(ref TableReference) *Error { return duplicate("Table %s", ref) }

// DuplicateJob is the 409 for a job id that was used before.
func DuplicateJob(project, location, id string) *Error {
	return duplicate("Job %s", jobName(project, location, id))
}

func duplicate(format string, args ...any) *Error {
	return &Error{HTTPStatus: http.StatusConflict, Reason: ReasonDuplicate, Message: "Already Exists: " + fmt.Sprintf(format, args...)}
}

// DatasetInUse is the refusal to delete a dataset that has tables.
func DatasetInUse(project, dataset string) *Error {
	return &Error{
		HTTPStatus: http.StatusBadRequest, Reason: ReasonResourceInUse,
		Message: fmt.Sprintf("Dataset %s:%s is still in use", project, dataset),
	}
}

// PreconditionFailed answers an If-Match that names an old etag: status 412
// with code 400 in the body, as recorded.
func PreconditionFailed() *Error {
	return &Error{
		HTTPStatus: http.StatusPreconditionFailed, Code: http.StatusBadRequest,
		Reason: ReasonFailedPrecondition, Message: "Precondition check failed.",
	}
}

// ConcurrentUpdate is how a multi-statement transaction loses against another.
func ConcurrentUpdate(ref TableReference) *Error {
	return InvalidQuery(fmt.Sprintf("Transaction is aborted due to concurrent update against table %s.", ref))
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Errors  []errorEntry `json:"errors"`
	Status  string       `json:"status"`
}

type errorEntry struct {
	Message      string `json:"message"`
	Domain       string `json:"domain"`
	Reason       string `json:"reason"`
	Location     string `json:"location,omitempty"`
	LocationType string `json:"locationType,omitempty"`
}

// WriteError answers err. An error that is not a *Error is a defect of this
// server and is answered as 500 internalError.
func WriteError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{HTTPStatus: http.StatusInternalServerError, Reason: ReasonInternalError, Message: err.Error()}
	}
	code := e.Code
	if code == 0 {
		code = e.HTTPStatus
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(e.HTTPStatus)
	body := errorBody{Error: errorDetail{
		Code: code, Message: e.Message, Status: canonicalStatus(e.HTTPStatus),
		Errors: []errorEntry{{Message: e.Message, Domain: "global", Reason: e.Reason, Location: e.Location, LocationType: e.LocationType}},
	}}
	// The client is gone if this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}

func canonicalStatus(code int) string {
	switch code {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ALREADY_EXISTS"
	case http.StatusPreconditionFailed:
		return "FAILED_PRECONDITION"
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	}
	return "INTERNAL"
}
