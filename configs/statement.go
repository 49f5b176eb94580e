package configs

import (
	"slices"
	"strings"

	"github.com/cloudact/convergence/transforms/row"
)

// Statement is a SQL template with its variables resolved: values are parameters, never
// text.
type Statement struct {
	SQL    string
	Params []Param // by first use; each name once

	segments []segment
}

// Param is a named query parameter. Value is its text as BigQuery's REST API spells it.
type Param struct {
	Name  string
	Type  row.Type
	Value string
}

// segment says where in the template the SQL from an offset on came from.
type segment struct{ out, in int }

// IsQuery reports whether a statement begins as a query does.
func (s *Statement) IsQuery() bool {
	for _, t := range lexSQL(s.SQL) {
		if t.kind != sqlSpace && t.kind != sqlComment {
			return t.text == "(" || slices.Contains([]string{"SELECT", "WITH", "FROM"}, strings.ToUpper(t.text))
		}
	}
	return false
}
