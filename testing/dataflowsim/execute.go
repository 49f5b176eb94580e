package dataflowsim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/coder"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/protobuf/proto"
)

const (
	externalEnvironment = "beam:env:external:v1"
	userSum             = "beam:metric:user:sum_int64:v1"
	metricsEvery        = 200 * time.Millisecond
)

// built is what the simulator needs of a job that a launcher built.
type built struct {
	options []byte // of the pipeline, as workers get them
	graph   *pipepb.Pipeline
	binary  string
}

// execute runs the graph of a job that was built, and says how it ended.
func (s *Sim) execute(j *job, in *df.Job) error {
	s.mu.Lock()
	j.view.Type, j.view.Environment = in.Type, in.Environment
	if in.Labels != nil {
		j.view.Labels = in.Labels
	}
	s.mu.Unlock()
	if err := s.enter(j, Pending); err != nil {
		return err
	}
	b, err := s.unpack(in)
	if err != nil {
		return fmt.Errorf("Workflow failed. Causes: %w", err) //nolint:staticcheck // the service's words
	}
	if err := s.enter(j, Running); err != nil {
		return err
	}
	if err := s.onPrism(j, b); err != nil {
		return fmt.Errorf("Workflow failed. Causes: %w", err) //nolint:staticcheck // the service's words
	}
	return nil
}

// unpack reads what a job refers to, and checks the hashes.
func (s *Sim) unpack(in *df.Job) (built, error) {
	if in.Environment == nil || len(in.Environment.WorkerPools) == 0 {
		return built{}, errors.New("the job has no worker pool")
	}
	var options struct {
		Options struct {
			PipelineURL       string `json:"pipelineUrl"`
			PipelineProtoHash string `json:"pipelineProtoHash"`
		} `json:"options"`
	}
	if err := json.Unmarshal(in.Environment.SdkPipelineOptions, &options); err != nil {
		return built{}, fmt.Errorf("read pipeline options: %w", err)
	}
	model, err := s.read(options.Options.PipelineURL)
	if err != nil {
		return built{}, err
	}
	if sum := sha256.Sum256(model); hex.EncodeToString(sum[:]) != options.Options.PipelineProtoHash {
		return built{}, errors.New("the graph is not the one whose hash the job names")
	}
	b := built{options: in.Environment.SdkPipelineOptions, graph: &pipepb.Pipeline{}}
	if err := proto.Unmarshal(model, b.graph); err != nil {
		return built{}, fmt.Errorf("read graph: %w", err)
	}
	for _, p := range in.Environment.WorkerPools[0].Packages {
		if p.Name == "worker" {
			b.binary, err = s.install(p)
			return b, err
		}
	}
	return built{}, errors.New("the job has no package named worker")
}

// install puts a staged binary into the simulator's folder, once for equal bytes.
func (s *Sim) install(p *df.Package) (string, error) {
	content, err := s.read(p.Location)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != p.Sha256 {
		return "", fmt.Errorf("%s is not the file whose hash the job names", p.Location)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(s.dir, "worker-"+p.Sha256)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, os.WriteFile(path, content, 0o700)
}

// onPrism runs a graph to its end, with workers of its own.
func (s *Sim) onPrism(j *job, b built) error {
	jobs, _, err := s.runner()
	if err != nil {
		return err
	}
	pool, err := s.newPool(j, b)
	if err != nil {
		return err
	}
	defer pool.close()
	s.mu.Lock()
	j.pool = pool
	s.mu.Unlock()
	payload, err := proto.Marshal(&pipepb.ExternalPayload{Endpoint: &pipepb.ApiServiceDescriptor{Url: pool.address}})
	if err != nil {
		return err
	}
	for _, e := range b.graph.GetComponents().GetEnvironments() {
		e.Urn, e.Payload, e.Dependencies = externalEnvironment, payload, nil
	}
	ctx := context.WithoutCancel(j.ctx)
	prepared, err := jobs.Prepare(ctx, &jobpb.PrepareJobRequest{Pipeline: b.graph, JobName: j.view.Name})
	if err != nil {
		return err
	}
	started, err := jobs.Run(ctx, &jobpb.RunJobRequest{PreparationId: prepared.GetPreparationId()})
	if err != nil {
		return err
	}
	return s.follow(ctx, j, jobs, started.GetJobId(), pool)
}

// follow waits for the end of a prism job, and cancels it when the job is to end.
func (s *Sim) follow(ctx context.Context, j *job, jobs jobpb.JobServiceClient, id string, pool *pool) error {
	s.mu.Lock()
	fails, text := s.faults.FailIn == Running, s.faults.FailText
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	states, err := jobs.GetStateStream(ctx, &jobpb.GetJobStateRequest{JobId: id})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- end(states, pool) }()
	ticker := time.NewTicker(metricsEvery)
	defer ticker.Stop()
	stopping := j.ctx.Done()
	for {
		s.measure(ctx, j, jobs, id)
		if fails && pool.working() {
			_, _ = jobs.Cancel(ctx, &jobpb.CancelJobRequest{JobId: id})
			return errors.New(text)
		}
		select {
		case err := <-ended:
			s.measure(ctx, j, jobs, id)
			return err
		case <-ticker.C:
		case err := <-pool.broken:
			_, _ = jobs.Cancel(ctx, &jobpb.CancelJobRequest{JobId: id})
			if j.ctx.Err() != nil {
				return context.Cause(j.ctx)
			}
			pool.report(err.Error())
			return err
		case <-stopping:
			_, _ = jobs.Cancel(ctx, &jobpb.CancelJobRequest{JobId: id})
			return context.Cause(j.ctx)
		}
	}
}

// end reads the states of a prism job up to its last one. It does not ask for the state
// again and again: that reads what prism writes at the same time.
func end(states jobpb.JobService_GetStateStreamClient, pool *pool) error {
	for {
		state, err := states.Recv()
		if err != nil {
			return err
		}
		switch state.GetState() {
		case jobpb.JobState_DONE:
			return nil
		case jobpb.JobState_FAILED:
			return errors.New(pool.failure())
		case jobpb.JobState_CANCELLED:
			return context.Canceled
		}
	}
}

// measure takes the counters of a job over, as the service words them.
func (s *Sim) measure(ctx context.Context, j *job, jobs jobpb.JobServiceClient, id string) {
	r, err := jobs.GetJobMetrics(ctx, &jobpb.GetJobMetricsRequest{JobId: id})
	if err != nil {
		return
	}
	var out []*df.MetricUpdate
	add := func(infos []*pipepb.MonitoringInfo, tentative bool) {
		for _, info := range infos {
			n, err := coder.DecodeVarInt(bytes.NewReader(info.GetPayload()))
			if info.GetUrn() != userSum || err != nil {
				continue
			}
			l := info.GetLabels()
			at := map[string]string{"step": l["PTRANSFORM"], "namespace": l["NAMESPACE"]}
			if tentative {
				at["tentative"] = "true"
			}
			out = append(out, &df.MetricUpdate{Kind: "SUM", Scalar: n, Name: &df.MetricStructuredName{Origin: "user", Name: l["NAME"], Context: at}})
		}
	}
	add(r.GetMetrics().GetCommitted(), false)
	add(r.GetMetrics().GetAttempted(), true)
	s.mu.Lock()
	defer s.mu.Unlock()
	j.metrics = out
}

// startWorker starts a process of a staged binary as a worker machine does.
func (s *Sim) startWorker(j *job, b built, id, address string, exited func()) (func(), error) {
	dir, err := os.MkdirTemp(s.dir, "machine-")
	if err != nil {
		return nil, err
	}
	options := filepath.Join(dir, "options.json")
	if err := os.WriteFile(options, b.options, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(b.binary, "--worker=true", "--id="+id, "--logging_endpoint="+address, "--control_endpoint="+address, "--semi_persist_dir="+dir)
	cmd.Env = append([]string{
		"PATH=/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir, "PIPELINE_OPTIONS_FILE=" + options,
		"STORAGE_EMULATOR_HOST=" + s.StorageHost(),
	}, s.options.Env...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	s.wg.Go(func() {
		err := cmd.Wait()
		close(gone)
		s.options.Log.Debug("worker ended", "job", j.view.Id, "worker", id, "error", err, "output", out.String())
		exited()
	})
	var once sync.Once
	return func() {
		once.Do(func() { _ = cmd.Process.Kill() })
		<-gone
	}, nil
}
