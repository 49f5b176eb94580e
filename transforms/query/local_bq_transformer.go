// Package query holds the processors that the warehouse computes itself: a SQL template
// whose result becomes a table. A file registers one processor in init and does nothing
// else there; testdata holds its examples.
//
// The package must not know Beam, variables or the warehouse: the template leaves it as
// its author wrote it.
package query

import (
	"strings"

	"github.com/cloudact/convergence/transforms/registry"
)

// LocalBQTransformer is the config of generic.local_bq_transformer.
type LocalBQTransformer struct {
	// SQL is a GoogleSQL query whose variables are not resolved.
	SQL string `json:"sql" jsonschema:"required,minLength=1,description=GoogleSQL query whose result becomes the table. Variables become query parameters; in backticks or beside a dot they are names"`
}

// Validate refuses a template without a statement.
func (c *LocalBQTransformer) Validate() error {
	if strings.TrimSpace(c.SQL) == "" {
		return &registry.FieldError{Path: "sql", Message: "holds no statement"}
	}
	return nil
}

func init() {
	registry.RegisterQuery(registry.Spec{
		Name:     "generic.local_bq_transformer",
		Summary:  "Fills a table with the result of a SQL template over the organization's dataset.",
		Examples: examples,
		Output:   registry.Output{WriteMode: "overwrite"},
	}, LocalBQTransformer{}, func(c LocalBQTransformer) string { return c.SQL })
}
