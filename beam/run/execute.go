package run

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"

	// Runners register themselves.
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
)

const (
	cancelGrace = 5 * time.Second
	cancelEvery = 200 * time.Millisecond
)

// execute runs a pipeline to its end. progress is called about every second, from
// another goroutine, on runners that tell.
func execute(ctx context.Context, p *beam.Pipeline, runner string, progress func(Counts)) (Counts, error) {
	switch runner {
	case Prism, "":
		return executePrism(ctx, p, progress)
	case Direct, Dataflow:
		result, err := beam.Run(ctx, runner, p)
		if err != nil || runner == Dataflow { // what it answers is no result to be asked for counts
			return Counts{}, err
		}
		return finalCounts(result), nil
	default:
		return nil, fmt.Errorf("runner %q is not part of this binary; use %s, %s or %s", runner, Prism, Direct, Dataflow)
	}
}

// outcome is what Beam answers at the end of a job.
type outcome struct {
	result beam.PipelineResult
	err    error
}

func executePrism(ctx context.Context, p *beam.Pipeline, progress func(Counts)) (counts Counts, err error) {
	server, err := startPrism(ctx)
	if err != nil {
		return nil, err
	}
	// A job is cancelled through its service, which keeps its state true; a cancelled
	// context would only look like a lost worker.
	uncancelled := context.WithoutCancel(ctx)
	pool, err := workersHere(uncancelled, server.endpoint)
	if err != nil {
		return nil, err
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := beam.Run(uncancelled, "universal", p)
		ended <- outcome{result, err}
	}()
	o, ok := server.watch(ctx, ended, progress)
	if !ok {
		return Counts{}, ctx.Err() // whoever runs this process ends it, and with it the job
	}
	if err := pool.Stop(uncancelled); o.err == nil && err != nil {
		o.err = fmt.Errorf("stop workers: %w", err)
	}
	return finalCounts(o.result), o.err
}

// workersHere makes this process the worker pool of its own job. It is what the
// environment type LOOPBACK does, without the temporary file that LOOPBACK leaves
// behind: the worker binary is never run, so that the null device will do for it.
func workersHere(ctx context.Context, endpoint string) (*extworker.Loopback, error) {
	pool, err := extworker.StartLoopback(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("start workers: %w", err)
	}
	*jobopts.Endpoint = endpoint
	*jobopts.EnvironmentType = "EXTERNAL"
	*jobopts.EnvironmentConfig = pool.EnvironmentConfig(ctx)
	*jobopts.WorkerBinary = os.DevNull
	return pool, nil
}

// watch tells progress until the job has ended. Once ctx is done it cancels the job,
// again and again, because one that is still being prepared cannot be cancelled yet; it
// returns false when the job does not end within the grace period.
func (s *prismServer) watch(ctx context.Context, ended <-chan outcome, progress func(Counts)) (outcome, bool) {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	done := ctx.Done()
	var again, giveUp <-chan time.Time
	for {
		select {
		case o := <-ended:
			return o, true
		case <-ticker.C:
			if counts, err := s.counts(ctx); err == nil {
				progress(counts)
			}
		case <-done:
			done, giveUp = nil, time.After(cancelGrace)
			again = time.Tick(cancelEvery)
			s.cancel(context.WithoutCancel(ctx))
		case <-again:
			s.cancel(context.WithoutCancel(ctx))
		case <-giveUp:
			return outcome{}, false
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
