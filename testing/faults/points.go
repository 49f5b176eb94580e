package faults

import "slices"

// When is the side of a call that a fault is on.
type When string

// The sides. What fails before had no effect; what fails after had its whole effect, and
// only the caller does not know.
const (
	Before When = "before"
	After  When = "after"
)

// Point is a place where a program meets the outside.
type Point struct {
	Op   string
	When When
}

// String is how tests name a point.
func (p Point) String() string { return p.Op + "." + string(p.When) }

// The operations. A mutating call that is none of them has no name, which Plan.Unnamed
// tells.
const (
	Register      = "reg"            // a name is acquired
	StageCreate   = "stage.create"   // the staging table of a generation is made
	StageRenew    = "stage.renew"    // its expiry is put off
	StageDrop     = "stage.drop"     // it is deleted
	Load          = "load"           // chunks go into a stage
	SQL           = "sql"            // a stage is filled by a statement
	DeadLetters   = "dlq"            // rejected rows of a generation are written
	LettersMark   = "dlq.mark"       // dead letters are marked as tried again
	Prices        = "prices"         // an organisation gets its table of prices or plans
	Fence         = "fence"          // an earlier generation is kept from publishing
	Publish       = "publish"        // a generation takes effect
	RowsStream    = "rows.stream"    // rows of an at-least-once destination, by insertAll
	CancelJob     = "job.cancel"     // a job that runs is asked to end
	DatasetCreate = "dataset.create" // a dataset is made
	TableCreate   = "table.create"   // a table that is no stage is made
	GuardCreate   = "guard.create"   // the table that orders publishes into another one is made
	TableAlter    = "table.alter"    // its columns are added to
	EventsAppend  = "events.append"  // events of runs become durable, by INSERT
	EventsStream  = "events.stream"  // the same, by insertAll
	Project       = "project"        // runs and steps are projected from events
	Credential    = "credential"     // a provider's credential is stored

	Page = "page" // a provider is asked; it mutates nothing
	Read = "read" // any other call that mutates nothing

	Mutating = "*" // in a rule: any call that mutates
)

// operations are those of the warehouse that mutate, in the order of a run's life.
var operations = []string{
	DatasetCreate, TableCreate, GuardCreate, Credential, Prices, EventsAppend, EventsStream, Register,
	StageCreate, StageRenew, Load, SQL, Fence, CancelJob, DeadLetters, LettersMark, TableAlter, Publish, RowsStream, Project, StageDrop,
}

// Points returns the catalogue: both sides of every mutating operation, and of a page.
func Points() []Point {
	var out []Point
	for _, op := range append(slices.Clone(operations), Page) {
		out = append(out, Point{op, Before}, Point{op, After})
	}
	return out
}
