// Package wire holds what crosses the BigQuery REST v2 wire: the JSON shapes,
// the encoding of cells, and the service's own error texts.
// It knows nothing about storage or SQL.
package wire

import (
	"encoding/json"
	"strings"
)

// Field is one column or struct field of a schema. Type is the legacy name
// (INTEGER, FLOAT, BOOLEAN, RECORD, ...), Mode empty for NULLABLE in tables.
type Field struct {
	Name        string          `json:"name"`
	Type        string          `json:"type"`
	Mode        string          `json:"mode,omitempty"`
	Fields      []Field         `json:"fields,omitempty"`
	Description string          `json:"description,omitempty"`
	MaxLength   string          `json:"maxLength,omitempty"`
	Precision   string          `json:"precision,omitempty"`
	Scale       string          `json:"scale,omitempty"`
	Default     string          `json:"defaultValueExpression,omitempty"`
	PolicyTags  json.RawMessage `json:"policyTags,omitempty"`
	RoundingMod string          `json:"roundingMode,omitempty"`
	Collation   string          `json:"collation,omitempty"`
}

// Repeated reports whether the field is an array.
func (f Field) Repeated() bool { return f.Mode == "REPEATED" }

// Required reports whether the field refuses NULL.
func (f Field) Required() bool { return f.Mode == "REQUIRED" }

// Schema is a list of fields.
type Schema struct {
	Fields []Field `json:"fields"`
}

// Find returns the index of a field by name without regard to case, or -1.
func (s *Schema) Find(name string) int {
	if s == nil {
		return -1
	}
	for i := range s.Fields {
		if strings.EqualFold(s.Fields[i].Name, name) {
			return i
		}
	}
	return -1
}

var legacyTypes = map[string]string{
	"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD",
	"INTEGER": "INTEGER", "FLOAT": "FLOAT", "BOOLEAN": "BOOLEAN", "RECORD": "RECORD",
	"STRING": "STRING", "BYTES": "BYTES", "DATE": "DATE", "DATETIME": "DATETIME", "TIME": "TIME",
	"TIMESTAMP": "TIMESTAMP", "NUMERIC": "NUMERIC", "DECIMAL": "NUMERIC", "BIGNUMERIC": "BIGNUMERIC",
	"BIGDECIMAL": "BIGNUMERIC", "JSON": "JSON", "INTERVAL": "INTERVAL",
}

// Normalize checks a schema from a request and spells its types as the
// service answers them. The error is the service's.
func (s *Schema) Normalize() error { return normalizeFields(s.Fields, "") }

func normalizeFields(fields []Field, prefix string) error {
	seen := map[string]bool{}
	for i := range fields {
		f := &fields[i]
		if f.Name == "" {
			return Invalid("Field is missing a name")
		}
		lower := strings.ToLower(f.Name)
		if seen[lower] {
			return Invalid("Field %s already exists in schema", prefix+f.Name)
		}
		seen[lower] = true
		switch strings.ToUpper(f.Type) {
		case "GEOGRAPHY", "RANGE", "FOREIGN":
			return NotImplemented("type " + strings.ToUpper(f.Type) + " of field " + prefix + f.Name)
		}
		legacy, ok := legacyTypes[strings.ToUpper(f.Type)]
		if !ok {
			return Invalid("Invalid value for type: %s is not a valid value", f.Type)
		}
		f.Type = legacy
		f.Mode = strings.ToUpper(f.Mode)
		switch f.Mode {
		case "", "NULLABLE", "REQUIRED", "REPEATED":
		default:
			return Invalid("Invalid value for mode: %s is not a valid value", f.Mode)
		}
		if f.Type != "RECORD" {
			continue
		}
		if len(f.Fields) == 0 {
			return Invalid("Field %s is type RECORD but has no schema", prefix+f.Name)
		}
		if err := normalizeFields(f.Fields, prefix+f.Name+"."); err != nil {
			return err
		}
	}
	return nil
}

// DatasetReference names a dataset.
type DatasetReference struct {
	DatasetID string `json:"datasetId"`
	ProjectID string `json:"projectId,omitempty"`
}

// TableReference names a table; TableID may carry a partition decorator.
type TableReference struct {
	ProjectID string `json:"projectId"`
	DatasetID string `json:"datasetId"`
	TableID   string `json:"tableId"`
}

// String returns the form of error texts: project:dataset.table.
func (r TableReference) String() string {
	return r.ProjectID + ":" + r.DatasetID + "." + r.TableID
}

// SplitDecorator separates "t$20251125" into the table and "20251125".
func (r TableReference) SplitDecorator() (TableReference, string) {
	id, decorator, _ := strings.Cut(r.TableID, "$")
	r.TableID = id
	return r, decorator
}

// TimePartitioning of a table; an empty Field means by ingestion time.
type TimePartitioning struct {
	Type                   string `json:"type"`
	ExpirationMs           string `json:"expirationMs,omitempty"`
	Field                  string `json:"field,omitempty"`
	RequirePartitionFilter bool   `json:"requirePartitionFilter,omitempty"`
}

// RangePartitioning of a table by an INTEGER column.
type RangePartitioning struct {
	Field string         `json:"field"`
	Range PartitionRange `json:"range"`
}

// PartitionRange holds the bounds of a RangePartitioning as decimal text.
type PartitionRange struct {
	Start    string `json:"start"`
	End      string `json:"end"`
	Interval string `json:"interval"`
}

// Clustering columns of a table, in order.
type Clustering struct {
	Fields []string `json:"fields"`
}

// ViewDefinition is the query of a view.
type ViewDefinition struct {
	Query        string `json:"query"`
	UseLegacySQL bool   `json:"useLegacySql"`
}

// Table is a table or view resource. Counts and times are decimal text; times
// are milliseconds since the epoch.
type Table struct {
	Kind                   string             `json:"kind"`
	Etag                   string             `json:"etag,omitempty"`
	ID                     string             `json:"id"`
	SelfLink               string             `json:"selfLink,omitempty"`
	TableReference         TableReference     `json:"tableReference"`
	FriendlyName           string             `json:"friendlyName,omitempty"`
	Description            string             `json:"description,omitempty"`
	Labels                 map[string]string  `json:"labels,omitempty"`
	Schema                 *Schema            `json:"schema,omitempty"`
	TimePartitioning       *TimePartitioning  `json:"timePartitioning,omitempty"`
	RangePartitioning      *RangePartitioning `json:"rangePartitioning,omitempty"`
	RequirePartitionFilter bool               `json:"requirePartitionFilter,omitempty"`
	Clustering             *Clustering        `json:"clustering,omitempty"`
	View                   *ViewDefinition    `json:"view,omitempty"`
	TableConstraints       json.RawMessage    `json:"tableConstraints,omitempty"`
	NumBytes               string             `json:"numBytes,omitempty"`
	NumRows                string             `json:"numRows,omitempty"`
	CreationTime           string             `json:"creationTime"`
	ExpirationTime         string             `json:"expirationTime,omitempty"`
	LastModifiedTime       string             `json:"lastModifiedTime"`
	Type                   string             `json:"type"`
	Location               string             `json:"location"`
	StreamingBuffer        *StreamingBuffer   `json:"streamingBuffer,omitempty"`
	// Streamed says that the relation keeps when each row was streamed.
	Streamed bool `json:"localStreamed,omitempty"`
	// Dated says that the relation has a column _PARTITIONDATE.
	Dated bool `json:"localDated,omitempty"`
}

// StreamingBuffer counts the rows that were streamed lately.
type StreamingBuffer struct {
	EstimatedBytes  string `json:"estimatedBytes"`
	EstimatedRows   string `json:"estimatedRows"`
	OldestEntryTime string `json:"oldestEntryTime"`
}

// Dataset is a dataset resource.
type Dataset struct {
	Kind                         string            `json:"kind"`
	Etag                         string            `json:"etag,omitempty"`
	ID                           string            `json:"id"`
	SelfLink                     string            `json:"selfLink,omitempty"`
	DatasetReference             DatasetReference  `json:"datasetReference"`
	FriendlyName                 string            `json:"friendlyName,omitempty"`
	Description                  string            `json:"description,omitempty"`
	Labels                       map[string]string `json:"labels,omitempty"`
	DefaultTableExpirationMs     string            `json:"defaultTableExpirationMs,omitempty"`
	DefaultPartitionExpirationMs string            `json:"defaultPartitionExpirationMs,omitempty"`
	DefaultCollation             string            `json:"defaultCollation,omitempty"`
	MaxTimeTravelHours           string            `json:"maxTimeTravelHours,omitempty"`
	Access                       json.RawMessage   `json:"access,omitempty"`
	CreationTime                 string            `json:"creationTime"`
	LastModifiedTime             string            `json:"lastModifiedTime"`
	Location                     string            `json:"location"`
	Type                         string            `json:"type"`
}
