package plan

import (
	"context"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/configs"
)

// Deps are what a Planner plans with. SQL may be nil: then SQL is not analysed.
type Deps struct {
	Catalog    *configs.Catalog
	Processors configs.Processors
	SQL        configs.SQLChecker
	// Unreachable says why nobody would hear of a notification of that type, "" when
	// somebody would; the org is "" when it is not known. It may be nil.
	Unreachable func(org, hook string) string
}

// Request asks for a plan of one document for one run.
type Request struct {
	Source         configs.File
	Org            string
	Env            string
	Project        string
	Dataset        string
	Location       string
	RunID          string
	Params         map[string]string // run parameters; date, start_date and end_date may be among them
	Start, End     civil.Date        // inclusive; both zero: from Params or the document, else yesterday UTC
	Now            time.Time         // start of the run
	AdminEmail     string            // "" when unknown
	ProjectID      string            // of the integration, for {project_id}; "" when unknown
	DefaultRetries int               // of steps that do not say
	Preview        bool              // rows are looked at and land nowhere: columns need not be known
	RawStep        string            // a step that is planned as if its records stayed as they were sent; "" = none
}

// Plan is what a run will do: plain data, the same for the same request.
type Plan struct {
	Pipeline   string // identity: provider/domain/name, or the name of a loose file
	PipelineID string // pipeline_id of the document
	Name       string
	Provider   string // of the path, e.g. openai
	Domain     string
	Org        string
	RunID      string
	Project    string
	Dataset    string
	Location   string
	Mode       string     // batch or streaming
	Start, End civil.Date // inclusive
	Timeout    time.Duration
	Retries    *int          // attempts of the run after the first; nil: the document does not say
	Backoff    time.Duration // before the second attempt; 0: the document does not say
	Scope      string        // label: runs of other scopes have no unit in common; "" = nothing is known to part them
	RatePerMin int           // requests per minute of the whole run; 0 = no cap
	Lookback   int           // days that a schedule adds
	Schedule   *configs.Schedule
	Execution  configs.Execution
	Steps      []*Step          // dependencies before dependents, else in document order
	Hooks      []Hook           // notifications, in document order; without values they are as they would be
	Warnings   configs.Problems // what the author should know, sorted; never an error
}

// Step is one step of a plan.
type Step struct {
	ID          string
	Type        string // name of the processor
	Kind        string // source, process or query
	Index       int    // 0-based order in the document
	DependsOn   []string
	Inputs      []string // steps whose rows come in on a Beam edge; all of them are in DependsOn
	Skip        bool     // not enabled: SKIPPED, and its dependents run
	OnFailure   string   // stop, continue or alert
	Timeout     time.Duration
	Retries     int
	Backoff     time.Duration
	Config      any                 // pointer as the processor makes it; that of the first unit
	Schema      configs.TableSchema // of the destination; no fields for a query without a declared schema
	Destination Destination
	Units       []Unit // ascending by slice; at least one
	Reads       []string
	Writes      []string
	Provider    string // of the credential, e.g. OPENAI; "" when the step needs none
	ConfigHash  string // over config (dates, now and run ids unresolved), parameters used, schema and destination
	MoneyTable  bool

	inferred bool // columns are known during the run only
}

// Inferred reports whether the columns of the rows are known during a run only, because
// records are flattened without a schema.
func (s *Step) Inferred() bool { return s.inferred && s.Kind != configs.KindQuery }

// Unit is one slice of a step: the thing that is stated whole. End is exclusive.
type Unit struct {
	ID         string // 24 hex digits: see unitID
	Start, End civil.Date
	Config     any                // pointer as the processor makes it
	Statement  *configs.Statement // of a query step, else nil
	Limit      int64              // of the outermost LIMIT of the statement; 0: there is none, or it is no constant
}

// Destination says where and how the rows of a step land: in a table of the run's
// dataset, or in a file when Path is set.
type Destination struct {
	Table            string
	WriteMode        string // append, insert_new, merge, replace_partition, overwrite
	Delivery         string // exactly_once or smart
	ReplaceField     string // of replace_partition
	ReplaceScope     map[string]string
	KeyFields        []string
	MaxRejected      Limit
	BatchSize        int
	Recreate         bool
	TimePartitioning *configs.TimePartitioning
	Clustering       []string
	Path, Format     string
}

// replaces reports whether publishing may remove rows that another step wrote.
func (d Destination) replaces() bool {
	return d.Path != "" || d.WriteMode == modeOverwrite || d.WriteMode == modeReplace && len(d.ReplaceScope) == 0
}

// LandsOnce reports whether a unit that was published may never be stated again: its
// rows have no identity by which a second statement could find them.
func (d Destination) LandsOnce() bool {
	return d.Path == "" && d.WriteMode == modeAppend && (len(d.KeyFields) == 0 || d.Delivery == deliverySmart)
}

// Limit bounds rejected rows: by number, or by share of all rows when Share is not zero.
type Limit struct {
	Rows  int64
	Share float64 // 0.01 = 1 %
}

// Planner plans documents. It is safe for concurrent use.
type Planner struct {
	deps      Deps
	validator *configs.Validator
}

// New returns a planner.
func New(deps Deps) *Planner {
	return &Planner{deps: deps, validator: configs.NewValidator(deps.Processors)}
}

// With returns a planner over another catalogue, such as that of an org.
func (p *Planner) With(catalog *configs.Catalog) *Planner {
	deps := p.deps
	deps.Catalog = catalog
	return &Planner{deps: deps, validator: p.validator}
}

// Plan plans a document for a run. The error is configs.Problems: all errors.
func (p *Planner) Plan(ctx context.Context, r Request) (*Plan, error) {
	out, problems := p.plan(ctx, r, false)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	out.Warnings = problems.Warnings()
	return out, nil
}

// Validate checks a document as far as that is possible without an org or values. It
// returns warnings and notes too: Err of the result tells whether the document is refused.
func (p *Planner) Validate(ctx context.Context, f configs.File) configs.Problems {
	_, problems := p.plan(ctx, Request{Source: f}, true)
	return problems.Sorted()
}
