package row

import "cloud.google.com/go/civil"

// Unit is one slice of one step: the thing that is stated whole, by one generation at
// a time. Start and End are civil dates in UTC, End exclusive.
type Unit struct {
	ID         string     `json:"id"` // 24 hex digits
	Generation int        `json:"generation"`
	Start      civil.Date `json:"start"`
	End        civil.Date `json:"end"`
}

// Position says where in its unit a page stands. Pages of one partition form a chain:
// the Next of one is the First of the following.
type Position struct {
	Unit      string // Unit.ID
	Partition string // independently paged sequence, e.g. "usage/completions"
	Pass      string // random id when the source cannot resume; empty otherwise
	Index     int64  // number of the page within its partition, from 0
	First     string // cursor that fetched this page; "" for the first page
	Next      string // cursor of the following page; "" when Last
	Last      bool   // the partition ends with this page
}

// Reject is a record that could not become a row.
type Reject struct {
	Code    string // e.g. INVALID_VALUE, MISSING_REQUIRED, OUT_OF_RANGE
	Step    string
	Reason  string // one sentence, names the field
	Payload string // the provider's exact text
	Index   int64  // of the record in its page
}

// Failure ends the partition that it appears in. It travels with the data so that one
// failed step does not stop the job.
type Failure struct {
	Code    string // e.g. HTTP_STATUS, TRUNCATED_EXTRACTION, CREDENTIAL
	Message string // one sentence, never a secret
}

// Page is what travels on an edge: the rows of one page of the source with their
// position, so that data and position reach the sink together.
type Page struct {
	Position
	FetchedAt int64  // microseconds since the epoch, UTC
	Body      []byte // raw bytes between Fetch and Decode; nil afterwards
	Rows      []Row
	Rejects   []Reject
	Failure   *Failure
	Requests  int64 // HTTP requests spent on this page, retries included
}
