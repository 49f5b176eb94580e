package dataflow

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// counter is the key of a counter: namespaces are step ids. The service has one per
// transform, which is summed over.
type counter struct{ step, name string }

// counts are a job's own counters: those of bundles that count, and what the service has
// seen so far, also of bundles that still run or failed.
type counts struct{ committed, tentative map[counter]int64 }

// metrics reads the counters of a job.
func (r *Runner) metrics(ctx context.Context, job string) (counts, error) {
	answer, err := r.cfg.Dataflow.Projects.Locations.Jobs.GetMetrics(r.cfg.Project, r.cfg.Region, job).Context(ctx).Do()
	out := counts{map[counter]int64{}, map[counter]int64{}}
	if err != nil {
		return out, err
	}
	for _, m := range answer.Metrics {
		if m.Name == nil || m.Name.Context["namespace"] == "" {
			continue // one of the service's own
		}
		n, ok := number(m.Scalar)
		if !ok {
			continue
		}
		to := out.committed
		if m.Name.Context["tentative"] != "" {
			to = out.tentative
		}
		to[counter{m.Name.Context["namespace"], m.Name.Name}] += n
	}
	return out, nil
}

// number reads a scalar, which JSON brings as a number or as the text of one.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		return int64(v), true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	default:
		return 0, false
	}
}

func (c counts) steps() []string {
	seen := map[string]bool{}
	for _, m := range []map[counter]int64{c.committed, c.tentative} {
		for k := range m {
			seen[k.step] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// seen are the running totals of a step, of whatever is the further.
func (c counts) seen(step string) runfolder.StepCounts {
	return totals(step, func(k counter) int64 { return max(c.committed[k], c.tentative[k]) })
}

// final are the totals of a step of a job that has ended.
func (c counts) final(step string) runfolder.StepCounts {
	return totals(step, func(k counter) int64 { return c.committed[k] })
}

func totals(step string, of func(counter) int64) runfolder.StepCounts {
	return runfolder.StepCounts{
		Rows: of(counter{step, "rows"}), Pages: of(counter{step, "fetched_pages"}), Requests: of(counter{step, "requests"}),
		Retries: of(counter{step, "retries"}), Rejected: of(counter{step, "rejected"}),
		Adopted: of(counter{step, "adopted"}), Refetched: of(counter{step, "refetched"}),
	}
}
