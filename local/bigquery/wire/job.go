package wire

import "encoding/json"

// JobReference names a job; Location is filled in by the server.
type JobReference struct {
	ProjectID string `json:"projectId"`
	JobID     string `json:"jobId"`
	Location  string `json:"location,omitempty"`
}

// Job is a job resource. Configuration is kept as the client sent it, with
// what the server fills in, so that nothing it knows not is lost.
type Job struct {
	Kind          string         `json:"kind"`
	Etag          string         `json:"etag,omitempty"`
	ID            string         `json:"id"`
	SelfLink      string         `json:"selfLink,omitempty"`
	UserEmail     string         `json:"user_email,omitempty"`
	Configuration map[string]any `json:"configuration"`
	JobReference  JobReference   `json:"jobReference"`
	Statistics    *JobStatistics `json:"statistics,omitempty"`
	Status        JobStatus      `json:"status"`
	// Local is what the server remembers of the result; it is cleared before
	// a job is answered.
	Local *LocalResult `json:"local,omitempty"`
}

// LocalResult says where the rows of a query job are: in Table, or stored
// with the job.
type LocalResult struct {
	Schema    *Schema         `json:"schema,omitempty"`
	TotalRows int64           `json:"totalRows"`
	Table     *TableReference `json:"table,omitempty"`
}

// JobStatus is the state of a job; ErrorResult is set when it failed.
type JobStatus struct {
	State       string       `json:"state"`
	ErrorResult *ErrorProto  `json:"errorResult,omitempty"`
	Errors      []ErrorProto `json:"errors,omitempty"`
}

// JobStatistics are the figures of a job; counts and times are decimal text.
type JobStatistics struct {
	CreationTime        string            `json:"creationTime,omitempty"`
	StartTime           string            `json:"startTime,omitempty"`
	EndTime             string            `json:"endTime,omitempty"`
	TotalBytesProcessed string            `json:"totalBytesProcessed,omitempty"`
	TotalSlotMs         string            `json:"totalSlotMs,omitempty"`
	NumChildJobs        string            `json:"numChildJobs,omitempty"`
	ParentJobID         string            `json:"parentJobId,omitempty"`
	ScriptStatistics    *ScriptStatistics `json:"scriptStatistics,omitempty"`
	Query               *QueryStatistics  `json:"query,omitempty"`
	Load                *LoadStatistics   `json:"load,omitempty"`
	Copy                *CopyStatistics   `json:"copy,omitempty"`
}

// ScriptStatistics says what part of a script a child job evaluated.
type ScriptStatistics struct {
	EvaluationKind string `json:"evaluationKind"`
}

// LoadStatistics are the figures of a load job.
type LoadStatistics struct {
	InputFiles     string `json:"inputFiles"`
	InputFileBytes string `json:"inputFileBytes"`
	OutputRows     string `json:"outputRows"`
	OutputBytes    string `json:"outputBytes"`
	BadRecords     string `json:"badRecords"`
}

// CopyStatistics are the figures of a copy job.
type CopyStatistics struct {
	CopiedRows         string `json:"copiedRows"`
	CopiedLogicalBytes string `json:"copiedLogicalBytes"`
}

// QueryStatistics are the figures of a query job.
type QueryStatistics struct {
	StatementType               string           `json:"statementType,omitempty"`
	TotalBytesProcessed         string           `json:"totalBytesProcessed,omitempty"`
	TotalBytesBilled            string           `json:"totalBytesBilled,omitempty"`
	BillingTier                 int              `json:"billingTier,omitempty"`
	CacheHit                    bool             `json:"cacheHit"`
	TotalSlotMs                 string           `json:"totalSlotMs,omitempty"`
	ReferencedTables            []TableReference `json:"referencedTables,omitempty"`
	Schema                      *Schema          `json:"schema,omitempty"`
	NumDMLAffectedRows          string           `json:"numDmlAffectedRows,omitempty"`
	DMLStats                    *DMLStats        `json:"dmlStats,omitempty"`
	DDLOperationPerformed       string           `json:"ddlOperationPerformed,omitempty"`
	DDLTargetTable              *TableReference  `json:"ddlTargetTable,omitempty"`
	UndeclaredQueryParameters   json.RawMessage  `json:"undeclaredQueryParameters,omitempty"`
	TotalBytesProcessedAccuracy string           `json:"totalBytesProcessedAccuracy,omitempty"`
}

// DMLStats are the rows that a DML statement changed, by kind.
type DMLStats struct {
	InsertedRowCount string `json:"insertedRowCount,omitempty"`
	DeletedRowCount  string `json:"deletedRowCount,omitempty"`
	UpdatedRowCount  string `json:"updatedRowCount,omitempty"`
}

// JobConfiguration is the part of a job's configuration the server acts on.
type JobConfiguration struct {
	JobType      string            `json:"jobType"`
	Query        *QueryConfig      `json:"query"`
	Load         *LoadConfig       `json:"load"`
	Copy         *CopyConfig       `json:"copy"`
	Extract      json.RawMessage   `json:"extract"`
	DryRun       bool              `json:"dryRun"`
	JobTimeoutMs string            `json:"jobTimeoutMs"`
	Labels       map[string]string `json:"labels"`
}

// QueryConfig asks for a query job.
type QueryConfig struct {
	Query               string               `json:"query"`
	UseLegacySQL        *bool                `json:"useLegacySql"`
	DefaultDataset      *DatasetReference    `json:"defaultDataset"`
	DestinationTable    *TableReference      `json:"destinationTable"`
	CreateDisposition   string               `json:"createDisposition"`
	WriteDisposition    string               `json:"writeDisposition"`
	QueryParameters     []QueryParameter     `json:"queryParameters"`
	ParameterMode       string               `json:"parameterMode"`
	MaximumBytesBilled  string               `json:"maximumBytesBilled"`
	TimePartitioning    *TimePartitioning    `json:"timePartitioning"`
	Clustering          *Clustering          `json:"clustering"`
	SchemaUpdateOptions []string             `json:"schemaUpdateOptions"`
	ConnectionProps     []ConnectionProperty `json:"connectionProperties"`
	CreateSession       bool                 `json:"createSession"`
}

// ConnectionProperty is a key and value of a query's session.
type ConnectionProperty struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// LoadConfig asks for a load job.
type LoadConfig struct {
	DestinationTable    *TableReference   `json:"destinationTable"`
	Schema              *Schema           `json:"schema"`
	SourceFormat        string            `json:"sourceFormat"`
	SourceURIs          []string          `json:"sourceUris"`
	CreateDisposition   string            `json:"createDisposition"`
	WriteDisposition    string            `json:"writeDisposition"`
	TimePartitioning    *TimePartitioning `json:"timePartitioning"`
	Clustering          *Clustering       `json:"clustering"`
	SchemaUpdateOptions []string          `json:"schemaUpdateOptions"`
	MaxBadRecords       int               `json:"maxBadRecords"`
	IgnoreUnknownValues bool              `json:"ignoreUnknownValues"`
	Autodetect          bool              `json:"autodetect"`
	Encoding            string            `json:"encoding"`
	SkipLeadingRows     json.Number       `json:"skipLeadingRows"`
	FieldDelimiter      string            `json:"fieldDelimiter"`
	Quote               *string           `json:"quote"`
	AllowQuotedNewlines bool              `json:"allowQuotedNewlines"`
	AllowJaggedRows     bool              `json:"allowJaggedRows"`
	NullMarker          string            `json:"nullMarker"`
}

// CopyConfig asks for a copy job.
type CopyConfig struct {
	SourceTable       *TableReference  `json:"sourceTable"`
	SourceTables      []TableReference `json:"sourceTables"`
	DestinationTable  *TableReference  `json:"destinationTable"`
	CreateDisposition string           `json:"createDisposition"`
	WriteDisposition  string           `json:"writeDisposition"`
	OperationType     string           `json:"operationType"`
}

// QueryParameter is one query parameter; Name is empty for a positional one.
type QueryParameter struct {
	Name  string         `json:"name"`
	Type  ParameterType  `json:"parameterType"`
	Value ParameterValue `json:"parameterValue"`
}

// ParameterType is the declared type of a parameter.
type ParameterType struct {
	Type        string          `json:"type"`
	ArrayType   *ParameterType  `json:"arrayType"`
	StructTypes []ParameterPart `json:"structTypes"`
}

// ParameterPart is one field of a STRUCT parameter.
type ParameterPart struct {
	Name string        `json:"name"`
	Type ParameterType `json:"type"`
}

// ParameterValue holds a parameter's value; a nil Value of a scalar is NULL.
type ParameterValue struct {
	Value        *string                   `json:"value"`
	ArrayValues  []ParameterValue          `json:"arrayValues"`
	StructValues map[string]ParameterValue `json:"structValues"`
}
