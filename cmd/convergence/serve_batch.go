package main

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/launcher/queue/tasks"
)

// batches publishes runs to a topic and takes those of a subscription, as far as the
// environment names them. Close it once.
type batches struct {
	client    *pubsub.Client
	publisher *tasks.Publisher
	worker    *tasks.Worker
}

// openBatches connects to Pub/Sub; nil when the environment names nothing there.
func (p *parts) openBatches(ctx context.Context) (*batches, error) {
	s := p.w.env.Service
	if s.PubSubTopic == "" && s.PubSubWorker == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	client, err := pubsub.NewClient(ctx, p.w.env.Project)
	if err != nil {
		return nil, fmt.Errorf("connect to Pub/Sub: %w", err)
	}
	b := &batches{client: client}
	if s.PubSubTopic != "" {
		b.publisher = tasks.NewPublisher(client, s.PubSubTopic, p.log)
	}
	if s.PubSubWorker != "" {
		b.worker = tasks.NewWorker(client, s.PubSubWorker, p.launcher, p.queue.Enqueue, p.log)
	}
	return b, nil
}

// startBatches wires batches to the API and takes messages in the background.
func (p *parts) startBatches(ctx context.Context, cfg *api.Config) (stop func(), err error) {
	b, err := p.openBatches(ctx)
	if b == nil || err != nil {
		return func() {}, err
	}
	if b.publisher != nil {
		cfg.Batch = batchOf{b.publisher}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.work(ctx); err != nil {
			p.log.Error("take runs from Pub/Sub", "error", err)
		}
	}()
	return func() {
		<-done
		if err := b.close(); err != nil {
			p.log.Warn("close Pub/Sub", "error", err)
		}
	}, nil
}

// work takes messages until ctx ends.
func (b *batches) work(ctx context.Context) error {
	if b.worker == nil {
		return nil
	}
	return b.worker.Run(ctx)
}

func (b *batches) close() error {
	if b.publisher != nil {
		b.publisher.Stop()
	}
	return b.client.Close() //nolint:wrapcheck // the caller says what it closes
}

// batchOf shows the publisher to the API.
type batchOf struct{ to *tasks.Publisher }

// Publish implements api.Batch.
func (b batchOf) Publish(ctx context.Context, r api.BatchRequest) (api.BatchAnswer, error) {
	batch := tasks.Batch{Orgs: r.Orgs, Pipeline: r.PipelineID, Parameters: r.Parameters}
	if r.Randomize {
		batch.Jitter = time.Duration(r.MaxJitter) * time.Second
	}
	done, err := b.to.Publish(ctx, batch)
	return api.BatchAnswer{
		Status: done.Status, PipelineID: done.Pipeline, Published: done.Count, Failed: done.Failed, Orgs: done.Orgs, MessageIDs: append([]string{}, done.IDs...),
	}, err
}
