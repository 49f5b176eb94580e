package source

import (
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/invopop/jsonschema"

	"github.com/cloudact/convergence/transforms/row"
)

// RateLimit paces and repeats the requests of a step.
type RateLimit struct {
	RequestsPerSecond float64 `json:"requests_per_second,omitempty" jsonschema:"description=Requests per second of the step; 0 or less for no limit"`
	MaxRetries        int     `json:"max_retries" jsonschema:"minimum=0,maximum=20,description=How often a request is repeated after a passing failure"`
	RetryOn429        bool    `json:"retry_on_429" jsonschema:"description=Whether answer 429 is repeated"`
}

// JSONSchemaExtend says that defaults fill every key.
func (RateLimit) JSONSchemaExtend(s *jsonschema.Schema) { s.Required = nil }

var defaultRate = RateLimit{RequestsPerSecond: 10, MaxRetries: 3, RetryOn429: true}

// extraction is what a processor hands to the engine.
type extraction struct {
	stepID, org string
	schema      row.Schema
	auth        *Auth
	rate        RateLimit
	timeoutSecs int
	shards      int
	starts      beam.PCollection // of row.Position; not valid: none
	partitions  []partition      // in the order in which they are started
	layout      layout
}

// build adds Create, Fetch and Decode to the scope and returns the pages.
func (x extraction) build(s beam.Scope) (beam.PCollection, error) {
	reader, err := newReader(x.schema, x.layout)
	if err != nil {
		return beam.PCollection{}, fmt.Errorf("step %s: %w", x.stepID, err)
	}
	if _, err := x.layout.compiledConstants(reader.schema); err != nil {
		return beam.PCollection{}, fmt.Errorf("step %s: %w", x.stepID, err)
	}
	shards, err := x.split()
	if err != nil {
		return beam.PCollection{}, err
	}
	work := beam.CreateList(s, shards)
	fetch, starts := s.Scope("Fetch"), x.starts
	if !starts.IsValid() {
		starts = beam.ParDo(fetch, noStarts, beam.Impulse(fetch))
	}
	// The starts meet the work before the GroupByKey, not in Fetch: prism never rests while
	// a stage that reads a side input is under way, which costs a core for as long as a
	// provider takes. Grouping also spreads the shards over workers.
	jobs := beam.GroupByKey(fetch, beam.ParDo(fetch, &resume{StepID: x.stepID}, work, beam.SideInput{Input: starts}))
	pages := beam.ParDo(fetch, &Fetch{
		StepID: x.stepID, Org: x.org, Auth: x.auth, PerSecond: max(0, x.rate.RequestsPerSecond/float64(len(shards))),
		MaxRetries: x.rate.MaxRetries, RetryOn429: x.rate.RetryOn429,
		TimeoutMS: int64(x.timeoutSecs) * 1000, Parallel: defaultParallel,
	}, jobs)
	return beam.ParDo(s.Scope("Decode"), &Decode{
		StepID: x.stepID, Schema: x.schema, Fingerprint: x.schema.Fingerprint(), Layout: x.layout,
	}, pages), nil
}

// split deals the partitions out to shards in turn, so that each keeps their order.
func (x extraction) split() ([]string, error) {
	if len(x.partitions) == 0 {
		return nil, fmt.Errorf("step %s: nothing to fetch: it has no unit or endpoint", x.stepID)
	}
	dealt := make([][]partition, min(max(1, x.shards), len(x.partitions)))
	for i, p := range x.partitions {
		dealt[i%len(dealt)] = append(dealt[i%len(dealt)], p)
	}
	texts := make([]string, len(dealt))
	for i, partitions := range dealt {
		b, err := json.Marshal(partitions)
		if err != nil {
			return nil, fmt.Errorf("step %s: writing its partitions: %w", x.stepID, err)
		}
		texts[i] = string(b)
	}
	return texts, nil
}
