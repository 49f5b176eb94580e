package run

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"

	// Runners register themselves.
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
)

const cancelGrace = 5 * time.Second

// execute runs a pipeline to its end. progress is called about every second, from
// another goroutine, on runners that tell.
func execute(ctx context.Context, p *beam.Pipeline, runner string, progress func(Counts)) (Counts, error) {
	switch runner {
	case Prism, "":
		return executePrism(ctx, p, progress)
	case Direct, Dataflow:
		result, err := beam.Run(ctx, runner, p)
		if err != nil || result == nil { // dry runs and templates have no result
			return Counts{}, err
		}
		return finalCounts(result), nil
	default:
		return nil, fmt.Errorf("runner %q is not part of this binary; use %s, %s or %s", runner, Prism, Direct, Dataflow)
	}
}

func executePrism(ctx context.Context, p *beam.Pipeline, progress func(Counts)) (Counts, error) {
	server, err := startPrism(ctx)
	if err != nil {
		return nil, err
	}
	*jobopts.Endpoint = server.endpoint
	*jobopts.EnvironmentType = "LOOPBACK"
	type outcome struct {
		result beam.PipelineResult
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		// The job is cancelled through its service, which keeps its state true; a
		// cancelled context would only look like a lost worker.
		result, err := beam.Run(context.WithoutCancel(ctx), "universal", p)
		ended <- outcome{result, err}
	}()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	done := ctx.Done()
	var giveUp <-chan time.Time
	for {
		select {
		case o := <-ended:
			if o.err != nil {
				return Counts{}, o.err
			}
			return finalCounts(o.result), nil
		case <-ticker.C:
			if counts, err := server.counts(ctx); err == nil {
				progress(counts)
			}
		case <-done:
			done = nil
			server.cancel(context.WithoutCancel(ctx))
			giveUp = time.After(cancelGrace)
		case <-giveUp:
			return Counts{}, ctx.Err()
		}
	}
}

// jobID is the id that prism gives its first job; a process runs one.
const jobID = "job-001"

func (s *prismServer) counts(ctx context.Context) (Counts, error) {
	r, err := s.jobs.GetJobMetrics(ctx, &jobpb.GetJobMetricsRequest{JobId: jobID})
	if err != nil {
		return nil, err
	}
	return countsOf(r.GetMetrics().GetAttempted()), nil
}

func (s *prismServer) cancel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cancelGrace)
	defer cancel()
	_, _ = s.jobs.Cancel(ctx, &jobpb.CancelJobRequest{JobId: jobID})
}

type prismServer struct {
	jobs     jobpb.JobServiceClient
	endpoint string
}
