// Package tasks asks for runs through Pub/Sub: a publisher that sends one message for
// each organisation, and a worker that records the run which a message asks for. Delivery
// is at least once; a message's run has an id of its own, so that however often it is
// delivered there is one run.
//
// It must not know how runs are admitted or started: it hands requests to a Submitter.
package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

// Topic and Subscription are the names that are used unless others are configured.
const (
	Topic        = "pipeline-tasks"
	Subscription = "pipeline-tasks-sub"
)

const (
	ackDeadline   = 10 * time.Minute
	firstBackoff  = 10 * time.Second // before a message is delivered again
	lastBackoff   = 10 * time.Minute
	longestDelay  = time.Hour
	heldMessages  = 1000 // most messages that a worker has at once, those that are not due yet included
	heldBytes     = 10 << 20
	submitTimeout = 2 * time.Minute

	attributeOrg      = "org_slug"
	attributePipeline = "pipeline_id"
	attributeDelay    = "delay_seconds"
	attributeRun      = "run_id"
)

// message is what a task says. Others may publish it too.
type message struct {
	Org        string         `json:"org_slug"`
	Pipeline   string         `json:"pipeline_id"` // provider/domain/name
	Parameters map[string]any `json:"parameters"`
}

// Setup creates the topic and the subscription if they are missing.
func Setup(ctx context.Context, client *pubsub.Client, topic, subscription string) error {
	topicName := fmt.Sprintf("projects/%s/topics/%s", client.Project(), topic)
	_, err := client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topicName})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	if subscription == "" {
		return nil
	}
	_, err = client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: fmt.Sprintf("projects/%s/subscriptions/%s", client.Project(), subscription), Topic: topicName,
		AckDeadlineSeconds: int32(ackDeadline.Seconds()),
		RetryPolicy:        &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(firstBackoff), MaximumBackoff: durationpb.New(lastBackoff)},
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create subscription %s: %w", subscription, err)
	}
	return nil
}

// Batch asks for one run of a pipeline for each of several organisations.
type Batch struct {
	Orgs       []string
	Pipeline   string // provider/domain/name
	Parameters map[string]any
	Key        string        // the same key makes the same runs; "" = a new one
	Jitter     time.Duration // each run is recorded after a random delay up to this; 0 = at once
}

// Published is the answer of Publish.
type Published struct {
	Status   string   `json:"status"`
	Pipeline string   `json:"pipeline_id"`
	Count    int      `json:"published_count"`
	Failed   int      `json:"failed_count"`
	Orgs     int      `json:"total_orgs"`
	IDs      []string `json:"message_ids"` // of the first hundred
}

const mostIDs = 100

// Publisher publishes tasks to a topic. Make one with NewPublisher, end it with Stop.
type Publisher struct {
	publisher *pubsub.Publisher
	log       *slog.Logger
}

// NewPublisher returns a publisher of a topic.
func NewPublisher(client *pubsub.Client, topic string, log *slog.Logger) *Publisher {
	return &Publisher{publisher: client.Publisher(topic), log: log}
}

// Stop sends what waits and ends the publisher.
func (p *Publisher) Stop() { p.publisher.Stop() }

// Publish sends one message for each organisation and waits until the service has them.
// Those that it does not take are counted, not an error.
func (p *Publisher) Publish(ctx context.Context, b Batch) (Published, error) {
	if _, err := request(message{Org: "org", Pipeline: b.Pipeline, Parameters: b.Parameters}); err != nil {
		return Published{}, err
	}
	key := cmp.Or(b.Key, uuid.NewString())
	orgs := slices.Compact(slices.Sorted(slices.Values(b.Orgs)))
	out := Published{Status: "published", Pipeline: b.Pipeline, Orgs: len(orgs), IDs: []string{}}
	results := make([]*pubsub.PublishResult, len(orgs))
	for i, org := range orgs {
		m := message{Org: org, Pipeline: b.Pipeline, Parameters: b.Parameters}
		data, err := json.Marshal(m)
		if err != nil {
			return Published{}, fmt.Errorf("encode the task of %s: %w", org, err)
		}
		attributes := map[string]string{attributeOrg: org, attributePipeline: b.Pipeline, attributeRun: runID(m, key)}
		if jitter := min(b.Jitter, longestDelay); jitter > 0 {
			attributes[attributeDelay] = strconv.Itoa(rand.IntN(int(jitter.Seconds()) + 1))
		}
		results[i] = p.publisher.Publish(ctx, &pubsub.Message{Data: data, Attributes: attributes})
	}
	for i, r := range results {
		id, err := r.Get(ctx)
		if err != nil {
			p.log.Warn("publish a task", "org", orgs[i], "pipeline", b.Pipeline, "error", err)
			out.Failed++
			continue
		}
		out.Count++
		if len(out.IDs) < mostIDs {
			out.IDs = append(out.IDs, id)
		}
	}
	return out, nil
}

var taskSpace = uuid.MustParse("5d8f8a60-94c1-5f35-b0ce-2f0a7bd0c9e5")

// runID names the run that a task of a batch, or a message of somebody else, asks for.
func runID(m message, key string) string {
	params, _ := json.Marshal(m.Parameters) // it was decoded from JSON; keys come out sorted
	return uuid.NewSHA1(taskSpace, fmt.Appendf(nil, "%q %q %q %q", m.Org, m.Pipeline, params, key)).String()
}

// request is what a message asks for. The error is a *launcher.Error.
func request(m message) (launcher.Request, error) {
	refuse := func(format string, args ...any) (launcher.Request, error) {
		return launcher.Request{}, &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf(format, args...)}
	}
	parts := strings.Split(m.Pipeline, "/")
	if m.Org == "" || len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return refuse("pipeline_id %q is not of the form provider/domain/name, or org_slug is missing", m.Pipeline)
	}
	params, err := queue.TextParams(m.Parameters)
	if err != nil {
		return launcher.Request{}, err
	}
	r := launcher.Request{
		Org: m.Org, Provider: parts[0], Template: parts[len(parts)-1], Params: params, Trigger: queue.TriggerPubSub, TriggerBy: "pubsub_worker",
	}
	if len(parts) == 3 {
		r.Domain = parts[1]
	}
	return r, nil
}

// Submitter records the run of a request. See launcher.Launcher.
type Submitter interface {
	Submit(ctx context.Context, r launcher.Request) (run launcher.Run, existing bool, err error)
}

// Worker records the runs that messages of a subscription ask for.
type Worker struct {
	subscriber *pubsub.Subscriber
	submitter  Submitter
	submitted  func(launcher.Run)
	log        *slog.Logger
}

// NewWorker returns a worker. submitted, if not nil, is told of each run that was
// recorded; it must not block.
func NewWorker(client *pubsub.Client, subscription string, s Submitter, submitted func(launcher.Run), log *slog.Logger) *Worker {
	w := &Worker{subscriber: client.Subscriber(subscription), submitter: s, submitted: submitted, log: log}
	w.subscriber.ReceiveSettings.MaxOutstandingMessages = heldMessages
	w.subscriber.ReceiveSettings.MaxOutstandingBytes = heldBytes
	w.subscriber.ReceiveSettings.MaxExtension = longestDelay + submitTimeout
	return w
}

// Run takes messages until ctx ends. A message is acknowledged once its run is durable,
// or when it asks for something that can never be; else it is delivered again.
func (w *Worker) Run(ctx context.Context) error {
	var submitting sync.Mutex // one at a time: a thousand messages may fall due at once
	err := w.subscriber.Receive(ctx, func(ctx context.Context, m *pubsub.Message) {
		if !w.due(ctx, m) {
			m.Nack()
			return
		}
		submitting.Lock()
		defer submitting.Unlock()
		if w.handle(ctx, m) {
			m.Ack()
		} else {
			m.Nack()
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("receive tasks: %w", err)
	}
	return nil
}

// due waits until the delay of a message is over, counted from when it was published, so
// that a second delivery does not wait again.
func (w *Worker) due(ctx context.Context, m *pubsub.Message) bool {
	seconds, err := strconv.Atoi(m.Attributes[attributeDelay])
	if err != nil || seconds <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Until(m.PublishTime.Add(min(time.Duration(seconds)*time.Second, longestDelay))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handle reports whether the message need not be delivered again.
func (w *Worker) handle(ctx context.Context, m *pubsub.Message) bool {
	log := w.log.With("message", m.ID)
	var task message
	if err := json.Unmarshal(m.Data, &task); err != nil {
		log.Error("a task is no JSON object of org_slug, pipeline_id and parameters; it is dropped", "error", err)
		return true
	}
	r, err := request(task)
	if err != nil {
		log.Error("a task cannot be run; it is dropped", "org", task.Org, "pipeline", task.Pipeline, "error", err)
		return true
	}
	r.RunID = m.Attributes[attributeRun]
	if uuid.Validate(r.RunID) != nil {
		r.RunID = runID(task, m.ID) // the service gives a message one id, however often it is delivered
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	run, existing, err := w.submitter.Submit(ctx, r)
	switch {
	case err == nil:
		log.Info("task recorded", "org", run.Org, "run", run.ID, "pipeline", run.PipelineID, "existing", existing)
		if w.submitted != nil && !existing {
			w.submitted(run)
		}
		return true
	case queue.Transient(err):
		log.Warn("a task cannot be recorded now; it is delivered again", "org", task.Org, "pipeline", task.Pipeline, "error", err)
		return false
	default:
		log.Error("a task is refused; it is dropped", "org", task.Org, "pipeline", task.Pipeline, "parameters", slices.Sorted(maps.Keys(task.Parameters)), "error", err)
		return true
	}
}
