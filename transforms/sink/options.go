package sink

import (
	"time"

	"github.com/cloudact/convergence/transforms/row"
)

// Write modes.
const (
	ModeAppend           = "append"            // a unit's rows land once; with key fields, each key of a unit
	ModeInsertNew        = "insert_new"        // a key that the table has is not added
	ModeMerge            = "merge"             // a key that the table has is updated
	ModeReplacePartition = "replace_partition" // the slice holds exactly this generation's rows
	ModeOverwrite        = "overwrite"         // the table holds exactly this generation's rows
)

// Partitioning is BigQuery's time partitioning of a table. Type is DAY, HOUR, MONTH or
// YEAR; Field a DATE or TIMESTAMP column.
type Partitioning struct {
	Type  string `json:"type"`
	Field string `json:"field"`
}

// Table is a destination as it is declared. A missing table is created from it; an
// existing one gains nullable columns and nothing else.
type Table struct {
	Project          string        `json:"project"`
	Dataset          string        `json:"dataset"`
	Name             string        `json:"name"`
	Location         string        `json:"location"` // of the dataset; pinned in every job id and look-up
	Schema           row.Schema    `json:"schema"`   // of the rows that come in, in their order
	TimePartitioning *Partitioning `json:"time_partitioning,omitempty"`
	Clustering       []string      `json:"clustering,omitempty"`
	Description      string        `json:"description,omitempty"`
}

// Options say what a step writes, where and how.
type Options struct {
	Step     string `json:"step"` // step id
	StepType string `json:"step_type"`
	Index    int    `json:"index"` // 0-based order in the document
	Org      string `json:"org"`
	Pipeline string `json:"pipeline"`
	RunID    string `json:"run_id"`

	Table        Table             `json:"table"`
	WriteMode    string            `json:"write_mode"`
	KeyFields    []string          `json:"key_fields,omitempty"`    // what a row is known by and _row_id is made from; empty: its position
	ReplaceField string            `json:"replace_field,omitempty"` // "": the partitioning field
	ReplaceScope map[string]string `json:"replace_scope,omitempty"` // column -> its only value, as Cell.Text spells it
	MaxRejected  float64           `json:"max_rejected"`            // share of a unit's rows; 0: as many as MaxRejectedRows

	Delivery  string `json:"delivery,omitempty"`   // "": ExactlyOnce
	BatchSize int    `json:"batch_size,omitempty"` // rows that smart delivery writes at once; 0: it chooses
	Recreate  bool   `json:"recreate,omitempty"`   // overwrite makes the table anew, as it is declared
	File      File   `json:"file,omitzero"`        // set: the rows go there and Table is only their schema

	// MaxRejectedRows is how many rows of a unit may be rejected when MaxRejected is 0.
	MaxRejectedRows int64 `json:"max_rejected_rows,omitempty"`

	// JobTimeout is how long one job of the warehouse may run before it is cancelled and
	// tried again under another id; 0 is an hour.
	JobTimeout time.Duration `json:"job_timeout,omitempty"`

	// DeadLetters is the table that rejected rows land in; its schema is that of
	// configs/system/schemas/pipeline_dlq.json. Project and location are Table's.
	DeadLetters Table `json:"dead_letters"`

	Units    []row.Unit `json:"units"`    // ascending by slice; at least one
	Deadline time.Time  `json:"deadline"` // zero: none

	// ContinueOnFailure marks the result so that steps that depend on this one go on
	// although it failed.
	ContinueOnFailure bool `json:"continue_on_failure,omitempty"`
}

// Param is a named query parameter of one scalar type. Value is spelled as
// row.Cell.Text spells it.
type Param struct {
	Name  string   `json:"name"`
	Type  row.Type `json:"type"`
	Value string   `json:"value"`
	Null  bool     `json:"null,omitempty"`
}

// Query is one SELECT whose columns include those of the destination's schema, by name.
type Query struct {
	SQL    string  `json:"sql"`
	Params []Param `json:"params,omitempty"`
	Limit  int64   `json:"limit,omitempty"` // of the outermost LIMIT; 0: none is known
}
