package sink

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

// Write stages the rows of pages while they arrive and publishes each unit once. pages
// holds row.Page, every gate StepResult. A source must end every partition with a page
// that is Last, also one without rows: a unit that no such page speaks for is never
// published. The output holds exactly one StepResult. An error names what in the
// options is not supported.
func Write(s beam.Scope, pages beam.PCollection, gates []beam.PCollection, o Options) (beam.PCollection, error) {
	panic("not built yet")
}

// WriteQuery fills the stage of each unit by a query job once every gate has completed,
// and publishes it like Write. queries holds one Query per unit id.
func WriteQuery(s beam.Scope, gates []beam.PCollection, queries map[string]Query, o Options) (beam.PCollection, error) {
	panic("not built yet")
}
