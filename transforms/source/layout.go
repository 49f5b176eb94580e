package source

import (
	"fmt"

	"github.com/cloudact/convergence/transforms/row"
)

// Origins of a column's value.
const (
	fromRecord   = "record"   // member of the record
	fromParent   = "parent"   // member of the object that holds the list of records
	fromConstant = "constant" // known before the request
	fromText     = "text"     // the record's exact text
	fromFetched  = "fetched"  // when the page arrived
)

// column says where the value of one column of the schema comes from.
type column struct {
	From   string `json:"from"`
	Member string `json:"member,omitempty"` // of record or parent
	// Otherwise is true if a missing member falls back to the constant of that name.
	Otherwise bool `json:"otherwise,omitempty"`
}

// layout is how records of an answer become rows. It travels in the graph; columns
// stand in the order of the schema.
type layout struct {
	Records      string   `json:"records"` // dotted path; lists on the way are walked
	Columns      []column `json:"columns"`
	MissingEmpty bool     `json:"missing_empty,omitempty"` // no value at Records means no records
	// Constants are values by column name, per "unit/partition".
	Constants map[string]map[string]Scalar `json:"constants"`
}

func constantsKey(unit, partition string) string { return unit + "/" + partition }

// compiledConstants types the constants of every partition once per worker.
func (l layout) compiledConstants(schema row.Schema) (map[string][]row.Cell, error) {
	out := make(map[string][]row.Cell, len(l.Constants))
	for key, values := range l.Constants {
		cells := make([]row.Cell, len(schema))
		for i, field := range schema {
			value, ok := values[field.Name]
			if !ok || l.Columns[i].From != fromConstant && !l.Columns[i].Otherwise {
				continue
			}
			cell, err := cellOf([]byte(orElse(value.json, "null")), field.Type)
			if err != nil {
				return nil, fmt.Errorf("column %s: constant %s: %w", field.Name, clip(value.json, 60), err)
			}
			cells[i] = cell
		}
		out[key] = cells
	}
	return out, nil
}

// targets maps member names to the columns that they fill.
func (l layout) targets(from string) map[string][]int {
	out := map[string][]int{}
	for i, c := range l.Columns {
		if c.From == from {
			out[c.Member] = append(out[c.Member], i)
		}
	}
	return out
}
