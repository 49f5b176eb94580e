package registry

import (
	"maps"
	"slices"
)

// Kinds that only planned processors have so far.
const (
	Rows   Kind = "rows"   // changes the rows of another step on their way; a table of its own is optional
	Action Kind = "action" // checks or stores something and has no rows
)

// Planned is a processor that the language has and this version has not: its documents
// are checked as those of any other, and a run that needs it is refused by name. The
// registration of a processor that is built takes its place.
type Planned struct {
	Spec
	Kind      Kind
	NewConfig func() any // pointer to a fresh config with defaults
}

var planned = map[string]*Planned{}

// RegisterPlanned adds a processor by its name and config only. It panics on a second
// use of a name.
func RegisterPlanned[C any](spec Spec, kind Kind, defaults C) {
	if _, dup := planned[spec.Name]; dup || spec.Name == "" {
		panic("registry: name of planned processor " + spec.Name + " is empty or taken")
	}
	planned[spec.Name] = &Planned{Spec: spec, Kind: kind, NewConfig: func() any { c := clone(defaults); return &c }}
}

// LookupPlanned finds a processor that is planned and not built.
func LookupPlanned(name string) (*Planned, bool) {
	if _, built := processors[name]; built {
		return nil, false
	}
	p, ok := planned[name]
	return p, ok
}

// PlannedNames returns the names of the processors that are planned and not built, sorted.
func PlannedNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(planned)), func(name string) bool {
		_, built := processors[name]
		return built
	})
}

// days are the keys of a config that once chose the days; the run's interval does now.
type days struct {
	Date      string `json:"date,omitempty" jsonschema:"description=Day; the run's interval decides"`
	StartDate string `json:"start_date,omitempty" jsonschema:"description=First day; the run's interval decides"`
	EndDate   string `json:"end_date,omitempty" jsonschema:"description=Last day; the run's interval decides"`
	BatchSize int    `json:"batch_size,omitempty" jsonschema:"minimum=1,description=Accepted; batches are sized by the engine"`
}

type pace struct {
	Timeout   int  `json:"timeout,omitempty" jsonschema:"minimum=1,description=Seconds that one request may take; default 60"`
	RateLimit rate `json:"rate_limit,omitempty" jsonschema:"description=Pace and retries"`
}

type rate struct {
	PerSecond  float64 `json:"requests_per_second,omitempty" jsonschema:"minimum=0,description=Requests per second; 0 for no pace; default 10"`
	RetryOn429 *bool   `json:"retry_on_429,omitempty" jsonschema:"description=Whether an answer 429 is asked for again; default true"`
	MaxRetries int     `json:"max_retries,omitempty" jsonschema:"minimum=0,description=Repetitions of a failed request; default 3"`
}

type reshape struct {
	Flatten   bool           `json:"flatten,omitempty" jsonschema:"description=Typed columns from the members of a record instead of its exact text"`
	AddFields map[string]any `json:"add_fields,omitempty" jsonschema:"description=Columns with a constant value"`
}

type googleAPI struct {
	URL        string            `json:"url,omitempty" jsonschema:"description=Address of the endpoint; or api and endpoint"`
	API        string            `json:"api,omitempty" jsonschema:"description=Short name or host of the API: billing or compute or storage or monitoring or iam or cloudresourcemanager or bigquery"`
	Endpoint   string            `json:"endpoint,omitempty" jsonschema:"description=Path below the host of the API"`
	Method     string            `json:"method,omitempty" jsonschema:"enum=GET,enum=POST,description=HTTP method; default GET"`
	Params     map[string]any    `json:"params,omitempty" jsonschema:"description=Query parameters; a list repeats the parameter"`
	Headers    map[string]string `json:"headers,omitempty" jsonschema:"description=Request headers; credentials are those of the integration"`
	Body       any               `json:"body,omitempty" jsonschema:"description=JSON body of a POST"`
	Scopes     []string          `json:"scopes,omitempty" jsonschema:"description=OAuth scopes; default cloud-platform.read-only"`
	Pagination googlePaging      `json:"pagination,omitempty" jsonschema:"description=How to get the following pages"`
	DataPath   string            `json:"data_path,omitempty" jsonschema:"description=Dotted path of the records; default items. Lists by zone are joined"`
	Transform  reshape           `json:"transform,omitempty" jsonschema:"description=Form of the rows"`
	pace
}

type googlePaging struct {
	Type          string `json:"type,omitempty" jsonschema:"enum=none,enum=cursor,description=Default cursor"`
	PageSize      int    `json:"page_size,omitempty" jsonschema:"minimum=1,description=Records per page; default 100"`
	PageSizeParam string `json:"page_size_param,omitempty" jsonschema:"description=Parameter of the page size; default pageSize"`
	TokenParam    string `json:"token_param,omitempty" jsonschema:"description=Parameter of the position; default pageToken"`
	ResponsePath  string `json:"response_path,omitempty" jsonschema:"description=Dotted path of the next position; default nextPageToken"`
}

// Validate refuses a config without an address, or with two.
func (c *googleAPI) Validate() error {
	switch {
	case c.URL == "" && (c.API == "" || c.Endpoint == ""):
		return &FieldError{Path: "url", Message: "is needed, or api and endpoint"}
	case c.URL != "" && c.API != "":
		return &FieldError{Path: "api", Message: "stands beside url: keep one"}
	}
	return nil
}

type bigQueryETL struct {
	Source   bigQuerySource `json:"source" jsonschema:"required,description=What is read"`
	MaxBytes int64          `json:"max_bytes_billed,omitempty" jsonschema:"minimum=1,description=Most bytes that a query may read; default 10 GiB"`
}

type bigQuerySource struct {
	Query             string `json:"query,omitempty" jsonschema:"description=GoogleSQL template; or dataset and table"`
	BQProjectID       string `json:"bq_project_id,omitempty" jsonschema:"description=Project that the query job runs in"`
	ProjectID         string `json:"project_id,omitempty" jsonschema:"description=Project of the table"`
	Dataset           string `json:"dataset,omitempty" jsonschema:"description=Dataset of the table"`
	DatasetType       string `json:"dataset_type,omitempty" jsonschema:"description=Kind of dataset; accepted"`
	Table             string `json:"table,omitempty" jsonschema:"description=Table that is read whole"`
	UseOrgCredentials bool   `json:"use_org_credentials,omitempty" jsonschema:"description=Read as the organization's service account instead of the platform's; default false"`
}

// Validate demands a query or a table.
func (c *bigQueryETL) Validate() error {
	if c.Source.Query == "" && c.Source.Table == "" {
		return &FieldError{Path: "source.query", Message: "is needed, or dataset and table"}
	}
	return nil
}

type fileExtractor struct {
	Path      string            `json:"path" jsonschema:"required,minLength=1,description=File or gs:// address; * matches within a folder"`
	Format    string            `json:"format,omitempty" jsonschema:"enum=csv,enum=jsonl,enum=parquet,description=Default: by the file's ending"`
	Delimiter string            `json:"delimiter,omitempty" jsonschema:"minLength=1,maxLength=1,description=Of CSV; default comma"`
	Header    *bool             `json:"header,omitempty" jsonschema:"description=Whether the first line of CSV names the columns; default true"`
	Columns   map[string]string `json:"columns,omitempty" jsonschema:"description=Column of the table by name in the file; default the same"`
	Transform reshape           `json:"transform,omitempty" jsonschema:"description=Form of the rows"`
}

type reconcile struct {
	CalculatedTable string   `json:"calculated_table" jsonschema:"required,description=Table of calculated cost"`
	ReportedTable   string   `json:"reported_table" jsonschema:"required,description=Table of what the provider reports"`
	By              []string `json:"by,omitempty" jsonschema:"description=Columns that both are compared by; default usage_date"`
	Tolerance       string   `json:"tolerance,omitempty" jsonschema:"pattern=^[0-9]+(\\.[0-9]+)?\\s*%?$,description=Difference that is no finding: an amount or a percentage"`
	ShiftDays       int      `json:"shift_days,omitempty" jsonschema:"minimum=0,maximum=7,description=Days by which the provider may book later or earlier; default 1"`
}

type organizationAPI struct {
	Endpoints []string `json:"endpoints,omitempty" jsonschema:"description=Kinds of data; default all"`
	GroupBy   any      `json:"group_by,omitempty" jsonschema:"description=Dimensions of a row; text or list"`
	Limit     int      `json:"limit,omitempty" jsonschema:"minimum=1,description=Buckets per page"`
	StoreToBQ *bool    `json:"store_to_bq,omitempty" jsonschema:"description=Accepted; rows are always stored"`
	days
	pace
}

type llmCost struct {
	SourceTable  string `json:"source_table,omitempty" jsonschema:"description=Usage table; rows of a step that this one depends on are taken from that step"`
	PricingTable string `json:"pricing_table,omitempty" jsonschema:"description=The organization's own price table; its rows win over the shipped prices"`
	days
}

type subscriptions struct {
	IncludeLimits      bool `json:"include_limits,omitempty" jsonschema:"description=Also the provider's spend limits"`
	IncludeUsageLimits bool `json:"include_usage_limits,omitempty" jsonschema:"description=Other spelling of include_limits"`
	days
	pace
}

type seedCSV struct {
	CSVFile       string `json:"csv_file" jsonschema:"required,minLength=1,description=CSV with a header"`
	SchemaFile    string `json:"schema_file" jsonschema:"required,minLength=1,description=Schema that types the columns"`
	WriteMode     string `json:"write_mode,omitempty" jsonschema:"enum=truncate,enum=append,enum=error_if_exists,description=Default truncate"`
	AddTimestamps *bool  `json:"add_timestamps,omitempty" jsonschema:"description=Also created_at and updated_at; default true"`
}

type kmsDecrypt struct {
	Provider     string `json:"provider" jsonschema:"required,minLength=1,description=Provider whose credential is checked"`
	RequireValid *bool  `json:"require_valid,omitempty" jsonschema:"description=Whether the last live check must have passed; default true"`
	ContextKey   string `json:"context_key,omitempty" jsonschema:"description=Name by which later steps mean it; default that of the provider"`
}

type kmsStore struct {
	Provider       string `json:"provider" jsonschema:"required,minLength=1,description=Provider of the credential"`
	SkipValidation bool   `json:"skip_validation,omitempty" jsonschema:"description=Store without a live check"`
	CredentialName string `json:"credential_name,omitempty" jsonschema:"description=Name shown to people"`
}

type liveCheck struct {
	CheckBigQuery *bool `json:"check_bigquery,omitempty" jsonschema:"description=Google: whether BigQuery can be reached; default true"`
	CheckBilling  bool  `json:"check_billing,omitempty" jsonschema:"description=Google: whether billing accounts can be listed"`
}

type dataQuality struct {
	DQConfig     string        `json:"dq_config,omitempty" jsonschema:"description=File of expectations; or expectations here"`
	TargetTable  string        `json:"target_table,omitempty" jsonschema:"description=Table that is checked"`
	SampleSize   int           `json:"sample_size,omitempty" jsonschema:"minimum=0,description=Accepted; every row is checked"`
	FailOnError  *bool         `json:"fail_on_error,omitempty" jsonschema:"description=Whether a critical finding fails the step; default true"`
	Expectations []expectation `json:"expectations,omitempty" jsonschema:"description=What must hold"`
}

type expectation struct {
	Name     string         `json:"name,omitempty" jsonschema:"description=Name shown to people"`
	Type     string         `json:"type" jsonschema:"required,minLength=1,description=not_null or unique or range or set or regex or row_count or freshness or sum; or a name of the expect_ family"`
	Column   string         `json:"column,omitempty" jsonschema:"description=Column it is about"`
	Min      any            `json:"min_value,omitempty" jsonschema:"description=Least value"`
	Max      any            `json:"max_value,omitempty" jsonschema:"description=Greatest value"`
	ValueSet []any          `json:"value_set,omitempty" jsonschema:"description=Accepted values"`
	Filter   string         `json:"filter,omitempty" jsonschema:"description=Condition on the rows that count"`
	Severity string         `json:"severity,omitempty" jsonschema:"enum=critical,enum=warning,enum=info,description=Default warning"`
	Kwargs   map[string]any `json:"kwargs,omitempty" jsonschema:"description=Further arguments"`
}

// Validate demands something to check.
func (c *dataQuality) Validate() error {
	if c.DQConfig == "" && len(c.Expectations) == 0 {
		return &FieldError{Path: "expectations", Message: "is needed, or dq_config"}
	}
	return nil
}

func init() {
	raw := Output{WriteMode: "replace_partition", ByDay: true}
	table := func(name string) Output { o := raw; o.Table = name; return o }
	RegisterPlanned(Spec{Name: "generic.file_extractor", Summary: "Rows of CSV, JSON lines or Parquet files from a path or a bucket."}, Source, fileExtractor{})
	RegisterPlanned(Spec{Name: "generic.reconcile", Summary: "Compares calculated with provider-reported cost and gives a reason per difference.", Output: Output{WriteMode: "overwrite", Table: "cost_reconciliation"}}, Query, reconcile{})
	RegisterPlanned(Spec{Name: "gcp.api_extractor", Summary: "Records of a Google API as the organization's service account.", Provider: "GCP_SA", Output: Output{WriteMode: "append", Envelope: true}}, Source, googleAPI{})
	RegisterPlanned(Spec{Name: "gcp.bq_etl", Summary: "Copies the result of a query in another project into the organization's dataset.", Output: Output{WriteMode: "overwrite"}}, Source, bigQueryETL{})
	for _, name := range []string{"openai", "anthropic"} {
		upper := map[string]string{"openai": "OPENAI", "anthropic": "ANTHROPIC"}[name]
		spec := func(kind, summary string, o Output) Spec {
			return Spec{Name: name + "." + kind, Summary: summary, Provider: upper, Output: o}
		}
		RegisterPlanned(spec("usage", "Tokens and requests per day and dimension, as the provider reports them.", table(name+"_usage_daily_raw")), Source, organizationAPI{})
		RegisterPlanned(spec("costs", "Cost as the provider reports it.", table(name+"_costs_daily_raw")), Source, organizationAPI{})
		RegisterPlanned(spec("dimensions", "Names of projects, keys, users and workspaces.", Output{WriteMode: "overwrite", Table: name + "_dimensions"}), Source, organizationAPI{})
		RegisterPlanned(spec("cost", "Prices usage rows exactly.", Output{WriteMode: "replace_partition", ByDay: true, MoneyTable: true, Table: name + "_cost_daily"}), Process, llmCost{})
		RegisterPlanned(spec("subscriptions", "One row per plan and day: price times quantity by days of the month.", table(name+"_subscriptions_daily")), Source, subscriptions{})
		RegisterPlanned(spec("validation", "Checks the credential against the provider.", Output{}), Action, liveCheck{})
	}
	for _, name := range []string{"openai", "anthropic", "gemini"} {
		RegisterPlanned(Spec{Name: name + ".seed_csv", Summary: "Loads prices or plans from CSV, typed by a schema.", Output: Output{WriteMode: "overwrite"}}, Source, seedCSV{})
	}
	RegisterPlanned(Spec{Name: "gcp.validation", Summary: "Checks the service account against Google.", Provider: "GCP_SA"}, Action, liveCheck{})
	RegisterPlanned(Spec{Name: "gcp.data_quality", Summary: "Checks expectations on a table and keeps the findings."}, Action, dataQuality{})
	RegisterPlanned(Spec{Name: "integrations.kms_decrypt", Summary: "Checks that a stored credential opens and names it for later steps."}, Action, kmsDecrypt{})
	RegisterPlanned(Spec{Name: "integrations.kms_store", Summary: "Encrypts and stores a credential."}, Action, kmsStore{})
	RegisterPlanned(Spec{Name: "integrations.validate_openai", Summary: "Checks the OpenAI credential.", Provider: "OPENAI"}, Action, liveCheck{})
	RegisterPlanned(Spec{Name: "integrations.validate_claude", Summary: "Checks the Anthropic credential.", Provider: "ANTHROPIC"}, Action, liveCheck{})
	RegisterPlanned(Spec{Name: "integrations.validate_gcp", Summary: "Checks the Google service account.", Provider: "GCP_SA"}, Action, liveCheck{})
	planTransforms()
}

// The configs of row steps. Expressions are CEL over the columns of a row.
type (
	selectRows struct {
		Columns []string `json:"columns" jsonschema:"required,minItems=1,description=Columns that stay, in this order"`
	}
	renameRows struct {
		Columns map[string]string `json:"columns" jsonschema:"required,description=New name by old name"`
	}
	castRows struct {
		Columns map[string]string `json:"columns" jsonschema:"required,description=Type by column"`
	}
	filterRows struct {
		Where string `json:"where" jsonschema:"required,minLength=1,description=Condition in CEL; rows for which it is false are left out"`

		Variables `json:"-" jsonschema:"-"`
	}
	deriveRows struct {
		Columns map[string]string `json:"columns" jsonschema:"required,description=CEL expression by new column"`
		Types   map[string]string `json:"types,omitempty" jsonschema:"description=Type by new column; default that of the expression"`

		Variables `json:"-" jsonschema:"-"`
	}
	explodeRows struct {
		Column string `json:"column" jsonschema:"required,description=Column that holds a list; each element becomes a row"`
		As     string `json:"as,omitempty" jsonschema:"description=Column of the element; default the same"`
	}
	flattenRows struct {
		Column string `json:"column" jsonschema:"required,description=Column that holds an object; its members become columns"`
		Prefix string `json:"prefix,omitempty" jsonschema:"description=What names of the new columns start with"`
	}
	dedupeRows struct {
		Keys    []string `json:"keys" jsonschema:"required,minItems=1,description=Columns that make a row the same as another"`
		OrderBy string   `json:"order_by,omitempty" jsonschema:"description=Column whose greatest value wins"`
	}
	aggregateRows struct {
		GroupBy  []string          `json:"group_by,omitempty" jsonschema:"description=Columns of a group; none for one row"`
		Measures map[string]string `json:"measures" jsonschema:"required,description=Aggregate such as sum(cost) or count() by new column"`
	}
	joinRows struct {
		With string   `json:"with" jsonschema:"required,description=Step whose rows are joined"`
		On   []string `json:"on" jsonschema:"required,minItems=1,description=Columns that are equal on both sides"`
		Type string   `json:"type,omitempty" jsonschema:"enum=inner,enum=left,description=Default inner"`
	}
	windowRows struct {
		PartitionBy []string          `json:"partition_by,omitempty" jsonschema:"description=Columns of a window"`
		OrderBy     []string          `json:"order_by" jsonschema:"required,minItems=1,description=Columns that order a window"`
		Columns     map[string]string `json:"columns" jsonschema:"required,description=Window function by new column"`
	}
)

func planTransforms() {
	spec := func(name, summary string) Spec { return Spec{Name: "transform." + name, Summary: summary} }
	RegisterPlanned(spec("select", "Keeps some columns."), Rows, selectRows{})
	RegisterPlanned(spec("rename", "Gives columns other names."), Rows, renameRows{})
	RegisterPlanned(spec("cast", "Gives columns other types; what does not convert is a rejected row."), Rows, castRows{})
	RegisterPlanned(spec("filter", "Keeps the rows for which a condition holds."), Rows, filterRows{})
	RegisterPlanned(spec("derive", "Adds columns computed from others."), Rows, deriveRows{})
	RegisterPlanned(spec("explode", "Makes a row of each element of a list."), Rows, explodeRows{})
	RegisterPlanned(spec("flatten", "Makes columns of the members of an object."), Rows, flattenRows{})
	RegisterPlanned(spec("dedupe", "Keeps one row per key."), Rows, dedupeRows{})
	RegisterPlanned(spec("aggregate", "Makes one row per group."), Rows, aggregateRows{})
	RegisterPlanned(spec("join", "Adds the columns of another step's rows."), Rows, joinRows{})
	RegisterPlanned(spec("window", "Adds columns computed over neighbouring rows."), Rows, windowRows{})
}
