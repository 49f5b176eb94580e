package sink

import "github.com/cloudact/convergence/transforms/row"

// ChunkRef says that a chunk, consecutive pages of one partition, is durably staged, or
// that a partition ended in a failure.
type ChunkRef struct {
	Unit      string       `json:"unit"`
	Partition string       `json:"partition"`
	Pass      string       `json:"pass,omitempty"`
	ID        string       `json:"id"`              // 32 hex digits of SHA-256
	First     string       `json:"first,omitempty"` // cursor of its first page; "" at the start of the partition
	Next      string       `json:"next,omitempty"`  // cursor of the page after it; "" when Last
	Index     int64        `json:"index"`           // of its first page within the partition
	Pages     int64        `json:"pages"`
	Last      bool         `json:"last,omitempty"`
	RowsIn    int64        `json:"rows_in"`  // rows that reached the sink
	RowsOut   int64        `json:"rows_out"` // rows staged to be published
	Rejected  int64        `json:"rejected"`
	Requests  int64        `json:"requests,omitempty"`
	Billed    int64        `json:"bytes_billed,omitempty"`
	JobID     string       `json:"job_id,omitempty"`
	Start     int64        `json:"start,omitempty"`     // when its first page arrived, microseconds since the epoch
	Adopted   bool         `json:"adopted,omitempty"`   // an earlier attempt staged it, in a chain that this one goes on with
	Spare     bool         `json:"spare,omitempty"`     // an earlier attempt staged it, but nothing leads to it: never published
	Truncated bool         `json:"truncated,omitempty"` // a query returned as many rows as its LIMIT allows
	Landed    string       `json:"landed,omitempty"`    // set: no chunk, but what had published the unit before
	File      *fileRange   `json:"file,omitempty"`      // where a file destination keeps it meanwhile
	Failure   *row.Failure `json:"failure,omitempty"`
}
