package compile

import (
	"errors"
	"fmt"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

func init() { register.DoFn1x1[row.Page, error](&previewFn{}) }

// ErrEnough ends a preview: it has the rows that were asked for.
var ErrEnough = errors.New("the preview has its rows")

// Preview makes a pipeline of one step and the steps whose rows it takes, which hands its
// pages to the function of UsePreview and writes nothing.
func Preview(p *plan.Plan, id string, o Options) (*beam.Pipeline, error) {
	pipeline, root := beam.NewPipelineWithRoot()
	c := &compiler{plan: p, options: o, root: root, pages: map[string]beam.PCollection{}, steps: map[string]*plan.Step{}}
	c.options.Shards = 1
	for _, step := range p.Steps {
		c.steps[step.ID] = step
	}
	pages, err := c.rowsOf(id)
	if err != nil {
		return nil, err
	}
	beam.ParDo0(root.Scope("Preview"), &previewFn{Step: id}, pages)
	return pipeline, nil
}

// rowsOf builds the pages of a step without anything that writes.
func (c *compiler) rowsOf(id string) (beam.PCollection, error) {
	step, ok := c.steps[id]
	if !ok {
		return beam.PCollection{}, fmt.Errorf("there is no step %q", id)
	}
	processor, ok := registry.Lookup(step.Type)
	if !ok {
		return beam.PCollection{}, fmt.Errorf("step %s: processor %s is not part of this binary", id, step.Type)
	}
	s := c.root.Scope(id)
	switch processor.Kind {
	case registry.Source:
		return processor.Build(s, beam.PCollection{}, c.build(step, nil))
	case registry.Process:
		if len(step.Inputs) != 1 {
			return beam.PCollection{}, fmt.Errorf("step %s: a %s step takes the rows of one step, not of %d", id, step.Type, len(step.Inputs))
		}
		in, err := c.rowsOf(step.Inputs[0])
		if err != nil {
			return beam.PCollection{}, err
		}
		return processor.Build(s, in, c.build(step, c.steps[step.Inputs[0]].Schema.Fields))
	default:
		return beam.PCollection{}, fmt.Errorf("step %s: %s has no rows on an edge", id, step.Type)
	}
}

var previewer struct {
	sync.Mutex
	take func(row.Page) error
}

// UsePreview sets who is handed the pages of a preview in this process, one at a time.
// ErrEnough ends the preview.
func UsePreview(take func(row.Page) error) {
	previewer.Lock()
	defer previewer.Unlock()
	previewer.take = take
}

// previewFn hands pages to whoever looks at them.
type previewFn struct {
	Step string `json:"step"`
}

// ProcessElement hands one page over.
func (f *previewFn) ProcessElement(p row.Page) error {
	previewer.Lock()
	defer previewer.Unlock()
	if previewer.take == nil {
		return fmt.Errorf("step %s: nobody looks at its preview", f.Step)
	}
	return previewer.take(p)
}
