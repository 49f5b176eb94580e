package configs

import (
	"encoding/json"
	"fmt"
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

func parseTableSchema(ref string, text []byte) (TableSchema, error) {
	t := TableSchema{Ref: strings.TrimSuffix(ref, ".json")}
	if err := strictJSON(text, &t); err != nil {
		return TableSchema{}, fmt.Errorf("read schema %s: %w", ref, err)
	}
	if len(t.Fields) == 0 {
		return TableSchema{}, fmt.Errorf("read schema %s: it declares no fields", ref)
	}
	seen := map[string]bool{}
	for _, f := range t.Fields {
		if key := strings.ToLower(f.Name); seen[key] {
			return TableSchema{}, fmt.Errorf("read schema %s: column %q is declared twice", ref, f.Name)
		} else {
			seen[key] = true
		}
	}
	if t.TimePartitioning != nil && t.Fields.Index(t.TimePartitioning.Field) < 0 {
		return TableSchema{}, fmt.Errorf("read schema %s: it is partitioned by %q, which is no column", ref, t.TimePartitioning.Field)
	}
	return t, nil
}
