package configs

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cloudact/convergence/transforms/row"
)

// TimePartitioning says how a table is partitioned by time. ExpirationDays 0 means never.
type TimePartitioning struct {
	Type           string `json:"type"` // DAY, HOUR, MONTH or YEAR
	Field          string `json:"field"`
	ExpirationDays int    `json:"expiration_days,omitempty"`
}

// TableSchema is a declared table. TimePartitioning is nil for a table that is not
// partitioned.
type TableSchema struct {
	Ref              string            `json:"-"`
	Description      string            `json:"description,omitempty"`
	Aliases          []string          `json:"aliases,omitempty"` // further names in the same folder
	Fields           row.Schema        `json:"fields"`
	TimePartitioning *TimePartitioning `json:"time_partitioning,omitempty"`
	Clustering       []string          `json:"clustering_fields,omitempty"`
}

// CentralTable is a table of the organizations dataset. Its columns may be REPEATED,
// which rows cannot be, so they are kept as BigQuery's JSON array of fields.
type CentralTable struct {
	Name             string            `json:"-"`
	Description      string            `json:"description,omitempty"`
	Fields           json.RawMessage   `json:"fields"`
	TimePartitioning *TimePartitioning `json:"time_partitioning,omitempty"`
	Clustering       []string          `json:"clustering_fields,omitempty"`
}

// SQLColumns returns the columns as a SQL check wants them.
func (t TableSchema) SQLColumns() []SQLColumn {
	out := make([]SQLColumn, len(t.Fields))
	for i, f := range t.Fields {
		out[i] = SQLColumn{Name: f.Name, Type: f.Type.String()}
	}
	return out
}

// SQLColumns returns the columns as a SQL check wants them; nil when they cannot be read.
func (t CentralTable) SQLColumns() []SQLColumn {
	var fields []struct {
		Name string   `json:"name"`
		Type row.Type `json:"type"`
		Mode string   `json:"mode"`
	}
	if json.Unmarshal(t.Fields, &fields) != nil {
		return nil
	}
	out := make([]SQLColumn, len(fields))
	for i, f := range fields {
		out[i] = SQLColumn{Name: f.Name, Type: f.Type.String()}
		if strings.EqualFold(f.Mode, "REPEATED") {
			out[i].Type = "ARRAY<" + out[i].Type + ">"
		}
	}
	return out
}

// schemaPath turns "{provider}/{domain}/{name}" into the path of its file.
func schemaPath(ref string) (string, error) {
	ref = strings.TrimSuffix(ref, ".json")
	i := strings.LastIndexByte(ref, '/')
	if i <= 0 || i == len(ref)-1 {
		return "", fmt.Errorf("schema reference %q: write it as {provider}/{domain}/{name}", ref)
	}
	folder, name := ref[:i], ref[i+1:]
	if !strings.HasSuffix(folder, "/schemas") {
		folder += "/schemas"
	}
	return folder + "/" + name + ".json", nil
}

// olderSchemas are the other forms of a schema file: the columns of one table, or several
// tables by name.
type olderSchemas struct {
	Schema      row.Schema             `json:"schema"`
	Schemas     map[string]TableSchema `json:"schemas"`
	Description string                 `json:"description"`
}

// parseTableSchemas reads the tables that a file declares. Of several by name each has a
// reference of its own beside the file; one without columns declares nothing.
func parseTableSchemas(ref string, text []byte) ([]TableSchema, error) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(text, &keys) != nil || keys["schema"] == nil && keys["schemas"] == nil {
		t, err := parseTableSchema(ref, text)
		if err != nil {
			return nil, err
		}
		return []TableSchema{t}, nil
	}
	var older olderSchemas
	if err := strictJSON(text, &older); err != nil {
		return nil, fmt.Errorf("read schema %s: %w", ref, err)
	}
	var out []TableSchema
	if len(older.Schema) > 0 {
		out = append(out, TableSchema{Ref: ref, Description: older.Description, Fields: older.Schema})
	}
	for _, name := range slices.Sorted(maps.Keys(older.Schemas)) {
		if t := older.Schemas[name]; len(t.Fields) > 0 {
			t.Ref = path.Join(path.Dir(ref), name)
			out = append(out, t)
		}
	}
	for _, t := range out {
		if err := t.check(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseTableSchema(ref string, text []byte) (TableSchema, error) {
	t := TableSchema{Ref: strings.TrimSuffix(ref, ".json")}
	if err := strictJSON(text, &t); err != nil {
		return TableSchema{}, fmt.Errorf("read schema %s: %w", ref, err)
	}
	if err := t.check(); err != nil {
		return TableSchema{}, err
	}
	return t, nil
}

// check finds what a table cannot be made with.
func (t TableSchema) check() error {
	if len(t.Fields) == 0 {
		return fmt.Errorf("read schema %s: it declares no fields", t.Ref)
	}
	seen := map[string]bool{}
	for _, f := range t.Fields {
		key := strings.ToLower(f.Name)
		if seen[key] {
			return fmt.Errorf("read schema %s: column %q is declared twice", t.Ref, f.Name)
		}
		seen[key] = true
	}
	if t.TimePartitioning != nil && t.Fields.Index(t.TimePartitioning.Field) < 0 {
		return fmt.Errorf("read schema %s: it is partitioned by %q, which is no column", t.Ref, t.TimePartitioning.Field)
	}
	return nil
}
