package compile

import (
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

func init() {
	register.DoFn2x0[row.Page, func(row.Page)](&rebaseFn{})
	register.DoFn2x0[[]byte, func(sink.StepResult)](&skipFn{})
	register.DoFn1x1[sink.StepResult, error](&reportFn{})
	register.Emitter1[row.Page]()
	register.Emitter1[sink.StepResult]()
}

// rebase moves pages from the units of the step that wrote them to those of the step
// that reads them, slice by slice.
func rebase(s beam.Scope, pages beam.PCollection, from, to []plan.Unit) (beam.PCollection, error) {
	bySlice := make(map[string]string, len(to))
	for _, u := range to {
		bySlice[slice(u)] = u.ID
	}
	fn := &rebaseFn{Units: make(map[string]string, len(from)), Pass: rand.Text()}
	for _, u := range from {
		id, ok := bySlice[slice(u)]
		if !ok {
			return beam.PCollection{}, fmt.Errorf("it has no slice %s, which its input has", slice(u))
		}
		fn.Units[u.ID] = id
	}
	return beam.ParDo(s.Scope("Rebase"), fn, pages), nil
}

func slice(u plan.Unit) string { return u.Start.String() + "/" + u.End.String() }

// rebaseFn gives pages the reader's unit and a pass of the graph's own: a reader that is
// fed by an edge cannot resume, so chunks of two attempts must never be mixed. Within an
// attempt all bundles share it, as the pages of a partition may come both from the
// provider and from what its writer staged before.
type rebaseFn struct {
	Units map[string]string `json:"units"`
	Pass  string            `json:"pass"`
}

// ProcessElement emits the page under its new position.
func (f *rebaseFn) ProcessElement(p row.Page, emit func(row.Page)) {
	p.Unit, p.Pass = f.Units[p.Unit], f.Pass
	emit(p)
}

func skip(s beam.Scope, r sink.StepResult) beam.PCollection {
	return beam.ParDo(s.Scope("Skip"), &skipFn{Result: r}, beam.Impulse(s))
}

// skipFn yields the outcome of a step that is not enabled.
type skipFn struct {
	Result sink.StepResult `json:"result"`
}

// ProcessElement emits the outcome.
func (f *skipFn) ProcessElement(_ []byte, emit func(sink.StepResult)) { emit(f.Result) }

var reporter struct {
	sync.RWMutex
	report func(sink.StepResult) error
}

// UseReporter sets who is told how steps end, in the process that runs their graph: on a
// remote worker, somebody who leaves it where the launcher finds it. It may be called by
// several goroutines at once, and twice for one step. An error fails the bundle, so that
// a runner that tries bundles again tells it again.
func UseReporter(report func(sink.StepResult) error) {
	reporter.Lock()
	defer reporter.Unlock()
	reporter.report = report
}

// reportFn tells the reporter of this process.
type reportFn struct{}

// ProcessElement reports one outcome.
func (*reportFn) ProcessElement(r sink.StepResult) error {
	reporter.RLock()
	report := reporter.report
	reporter.RUnlock()
	if report == nil {
		return nil
	}
	if err := report(r); err != nil {
		return fmt.Errorf("report how step %s ended: %w", r.Step, err)
	}
	return nil
}
