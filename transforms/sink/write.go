package sink

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	register.Function2x0(ungated)
}

// Input is what is written.
type Input struct {
	Pages   beam.PCollection   // of row.Page
	Adopted beam.PCollection   // of ChunkRef, as Adopt makes it; not valid: every page is in Pages
	Gates   []beam.PCollection // of StepResult: what the publish waits for; rows never wait
}

// Write stages the rows of pages while they arrive and publishes each unit once. A
// source must end every partition with a page that is Last, also one without rows: a
// unit that no such page speaks for is never published. Pages that follow an adopted
// chunk go on at its end. The output holds exactly one StepResult. An error names what
// in the options is not supported.
func Write(s beam.Scope, in Input, o Options) (beam.PCollection, error) {
	if o.File.Path != "" {
		return writeFile(s, in, o)
	}
	if err := o.validate(); err != nil {
		return beam.PCollection{}, err
	}
	if o.Delivery == Smart {
		return writeSmart(s, in, o), nil
	}
	stage := s.Scope("Stage")
	chunks := beam.ParDo(stage, &stageFn{Options: o}, in.Pages)
	if in.Adopted.IsValid() {
		chunks = beam.Flatten(stage, chunks, in.Adopted)
	}
	return publish(s, chunks, gateOf(s, in.Gates), o), nil
}

// WriteQuery fills the stage of each unit by a query job once every gate has completed,
// and publishes it like Write. queries holds one Query per unit id.
func WriteQuery(s beam.Scope, gates []beam.PCollection, queries map[string]Query, o Options) (beam.PCollection, error) {
	if err := o.validate(); err != nil {
		return beam.PCollection{}, err
	}
	if err := validateQueries(o, queries); err != nil {
		return beam.PCollection{}, err
	}
	gate := gateOf(s, gates)
	stage := s.Scope("Stage")
	chunks := beam.ParDo(stage, &fillFn{Options: o, Queries: queries}, gathered(stage, gate))
	return publish(s, chunks, gate, o), nil
}

func publish(s beam.Scope, chunks, gate beam.PCollection, o Options) beam.PCollection {
	s = s.Scope("Publish")
	return told(s, beam.ParDo(s, &publishFn{Options: o}, gathered(s, chunks, gate)))
}

// told parts whoever hears of an outcome from what makes it: prism never rests while a
// stage is under way from which nothing goes to another.
func told(s beam.Scope, results beam.PCollection) beam.PCollection {
	return beam.Reshuffle(s, results)
}

// gathered is one element, whose key says nothing: an iterator over a mark, so that the
// element is there also when nothing else is, and one over each collection. Whoever takes
// it runs once, when all of them are complete, and sees the same again if it is repeated.
// They are not side inputs, because prism never rests while a stage that reads one is
// under way, which costs a core for as long as the warehouse takes.
func gathered(s beam.Scope, collections ...beam.PCollection) beam.PCollection {
	s = s.Scope("Gather")
	keyed := []beam.PCollection{beam.AddFixedKey(s, beam.Impulse(s))}
	for _, c := range collections {
		keyed = append(keyed, beam.AddFixedKey(s, c))
	}
	return beam.CoGroupByKey(s, keyed...)
}

// gateOf is all gates in one PCollection, which there is also when no step gates this one.
func gateOf(s beam.Scope, gates []beam.PCollection) beam.PCollection {
	s = s.Scope("Gate")
	if len(gates) == 0 {
		return beam.ParDo(s, ungated, beam.Impulse(s))
	}
	return beam.Flatten(s, gates...)
}

func ungated(_ []byte, _ func(StepResult)) {}
