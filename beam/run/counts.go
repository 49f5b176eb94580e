package run

import (
	"bytes"
	"iter"
	"maps"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/coder"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"

	"github.com/cloudact/convergence/launcher/runfolder"
)

const userSum = "beam:metric:user:sum_int64:v1"

// Counter is the key of a user counter: our namespaces are step ids. Runners name the
// transform differently, so it is summed over; no two transforms of a step count the
// same thing under one name.
type Counter struct{ Step, Name string }

// Counts are counters summed over transforms.
type Counts map[Counter]int64

func (c Counts) steps() iter.Seq[string] {
	seen := map[string]bool{}
	for k := range c {
		seen[k.Step] = true
	}
	return maps.Keys(seen)
}

func (c Counts) step(id string) runfolder.StepCounts {
	return runfolder.StepCounts{
		Rows: c[Counter{id, "rows"}], Pages: c[Counter{id, "fetched_pages"}], Requests: c[Counter{id, "requests"}],
		Retries: c[Counter{id, "retries"}], Rejected: c[Counter{id, "rejected"}],
		Adopted: c[Counter{id, "adopted"}], Refetched: c[Counter{id, "refetched"}],
	}
}

// countsOf sums the monitoring infos of a portable runner.
func countsOf(infos []*pipepb.MonitoringInfo) Counts {
	out := Counts{}
	for _, info := range infos {
		if info.GetUrn() != userSum {
			continue
		}
		n, err := coder.DecodeVarInt(bytes.NewReader(info.GetPayload()))
		if err != nil {
			continue // not a counter that this SDK wrote
		}
		labels := info.GetLabels()
		out[Counter{labels["NAMESPACE"], labels["NAME"]}] += n
	}
	return out
}

// finalCounts reads the counters of a finished pipeline.
func finalCounts(r beam.PipelineResult) Counts {
	out := Counts{}
	if r == nil {
		return out
	}
	for _, c := range r.Metrics().Query(func(metrics.SingleResult) bool { return true }).Counters() {
		out[Counter{c.Namespace(), c.Name()}] += c.Result()
	}
	return out
}
