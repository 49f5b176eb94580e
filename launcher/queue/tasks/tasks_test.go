package tasks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/uuid"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue/tasks"
)

// service records runs as the launcher does: one for each id.
type service struct {
	mu     sync.Mutex
	runs   map[string]launcher.Request
	asked  int
	refuse []error // answers to the next requests
	change chan struct{}
}

func (s *service) Submit(_ context.Context, r launcher.Request) (launcher.Run, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	defer func() {
		select {
		case s.change <- struct{}{}:
		default:
		}
	}()
	if len(s.refuse) > 0 {
		err := s.refuse[0]
		s.refuse = s.refuse[1:]
		return launcher.Run{}, false, err
	}
	_, known := s.runs[r.RunID]
	s.runs[r.RunID] = r
	return launcher.Run{ID: r.RunID, Org: r.Org}, known, nil
}

type bench struct {
	*pstest.Server
	client *pubsub.Client
	*service
	log bytes.Buffer
}

func newBench(t *testing.T) *bench {
	b := &bench{Server: pstest.NewServer(), service: &service{runs: map[string]launcher.Request{}, change: make(chan struct{}, 1)}}
	t.Cleanup(func() { _ = b.Close() })
	conn, err := grpc.NewClient(b.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	b.client, err = pubsub.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	for range 2 { // by two processes that start at the same time
		if err := tasks.Setup(t.Context(), b.client, tasks.Topic, tasks.Subscription); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// work runs a worker until what is waited for has happened.
func (b *bench) work(t *testing.T, until func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error)
	w := tasks.NewWorker(b.client, tasks.Subscription, b.service, nil, slog.New(slog.NewTextHandler(&b.log, nil)))
	go func() { done <- w.Run(ctx) }()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !until() {
		select {
		case <-b.change:
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("it does not happen; the log says %s", b.log.String())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// acked reports whether every message has been acknowledged.
func (b *bench) acked() bool {
	for _, m := range b.Messages() {
		if m.Acks == 0 {
			return false
		}
	}
	return true
}

func TestBatchMakesOneRunForEachOrganisation(t *testing.T) {
	b := newBench(t)
	p := tasks.NewPublisher(b.client, tasks.Topic, slog.New(slog.DiscardHandler))
	defer p.Stop()
	batch := tasks.Batch{Orgs: []string{"acme", "globex", "acme"}, Pipeline: "openai/cost/usage_cost", Parameters: map[string]any{"start_date": "2026-06-01", "days": 3.0}, Key: "k"}
	for range 2 { // an answer was lost, so it is asked for again
		out, err := p.Publish(t.Context(), batch)
		if err != nil || out.Count != 2 || out.Orgs != 2 || out.Failed != 0 || len(out.IDs) != 2 || out.Status != "published" {
			t.Fatalf("published %+v, %v", out, err)
		}
	}
	b.work(t, func() bool { return len(b.Messages()) == 4 && b.acked() })
	var orgs []string
	for id, r := range b.runs {
		orgs = append(orgs, r.Org)
		if r.Provider != "openai" || r.Domain != "cost" || r.Template != "usage_cost" || r.Params["start_date"] != "2026-06-01" || r.Params["days"] != "3" ||
			r.Trigger != "pubsub" || r.Start != (civil.Date{}) || uuid.Validate(id) != nil {
			t.Errorf("run %s is asked for as %+v", id, r)
		}
	}
	if slices.Sort(orgs); !slices.Equal(orgs, []string{"acme", "globex"}) {
		t.Errorf("runs of %v", orgs)
	}
	batch.Key = "another"
	if _, err := p.Publish(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	b.work(t, func() bool { return len(b.Messages()) == 6 && b.acked() })
	if len(b.runs) != 4 {
		t.Errorf("another batch: %d runs", len(b.runs))
	}
}

// A message of somebody else has no run id: the service's id of the message stands in.
func TestMessageThatIsDeliveredTwiceMakesOneRun(t *testing.T) {
	b := newBench(t)
	b.refuse = []error{errors.New("no answer"), &launcher.Error{Code: launcher.CodeDailyQuota}}
	b.Publish("projects/p/topics/"+tasks.Topic, []byte(`{"org_slug": "acme", "pipeline_id": "openai/usage", "parameters": {}}`), nil)
	b.work(t, b.acked)
	if b.asked != 3 || len(b.runs) != 1 {
		t.Errorf("asked %d times for %d runs", b.asked, len(b.runs))
	}
}

func TestMessagesThatCanNeverRunAreDropped(t *testing.T) {
	b := newBench(t)
	b.refuse = []error{&launcher.Error{Code: launcher.CodePipelineNotFound, Message: "there is no pipeline x/y"}}
	for _, data := range []string{
		"", "no JSON", "[]", `{"org_slug": "", "pipeline_id": "a/b"}`, `{"org_slug": "acme", "pipeline_id": "a-b"}`,
		`{"org_slug": "acme", "pipeline_id": "a//b"}`, `{"org_slug": "acme", "pipeline_id": "a/b", "parameters": {"list": [1]}}`, `{"org_slug": "acme", "pipeline_id": "x/y"}`,
	} {
		b.Publish("projects/p/topics/"+tasks.Topic, []byte(data), map[string]string{"run_id": "no uuid"})
	}
	b.work(t, func() bool { return len(b.Messages()) == 8 && b.acked() })
	if len(b.runs) != 0 || b.asked != 1 {
		t.Errorf("%d runs of %d requests", len(b.runs), b.asked)
	}
	if n := bytes.Count(b.log.Bytes(), []byte("dropped")); n != 8 {
		t.Errorf("%d of 8 messages are reported: %s", n, b.log.String())
	}
}

func TestDelayCountsFromWhenAMessageWasPublished(t *testing.T) {
	b := newBench(t)
	b.SetTimeNowFunc(func() time.Time { return time.Now().Add(-time.Minute) })
	for _, seconds := range []string{"61", "30", "-5", "soon"} {
		b.Publish("projects/p/topics/"+tasks.Topic, []byte(`{"org_slug": "acme", "pipeline_id": "a/b"}`), map[string]string{"delay_seconds": seconds})
	}
	start := time.Now()
	b.work(t, func() bool { return len(b.Messages()) == 4 && b.acked() })
	if took := time.Since(start); len(b.runs) != 4 || took < 500*time.Millisecond || took > 20*time.Second {
		t.Errorf("%d runs after %s", len(b.runs), took)
	}
}

func TestBatchThatCanNeverRunIsRefused(t *testing.T) {
	b := newBench(t)
	p := tasks.NewPublisher(b.client, tasks.Topic, slog.New(slog.DiscardHandler))
	defer p.Stop()
	for _, batch := range []tasks.Batch{{Orgs: []string{"acme"}, Pipeline: "usage"}, {Orgs: []string{"acme"}, Pipeline: "a/b", Parameters: map[string]any{"x": map[string]any{}}}} {
		_, err := p.Publish(t.Context(), batch)
		var refused *launcher.Error
		if !errors.As(err, &refused) || refused.Code != launcher.CodeInvalidParameter {
			t.Errorf("%+v: %v", batch, err)
		}
	}
	out, err := p.Publish(t.Context(), tasks.Batch{Pipeline: "a/b", Jitter: time.Minute})
	if err != nil || out.Count != 0 || len(b.Messages()) != 0 {
		t.Errorf("for nobody: %+v, %v", out, err)
	}
	var orgs []string
	for i := range 120 {
		orgs = append(orgs, fmt.Sprint("org", i))
	}
	out, err = p.Publish(t.Context(), tasks.Batch{Orgs: orgs, Pipeline: "a/b", Jitter: time.Hour})
	if err != nil || out.Count != 120 || len(out.IDs) != 100 {
		t.Errorf("for 120: %+v, %v", out, err)
	}
	for _, m := range b.Messages() {
		if m.Attributes["delay_seconds"] == "" || m.Attributes["org_slug"] == "" || m.Attributes["pipeline_id"] != "a/b" || uuid.Validate(m.Attributes["run_id"]) != nil {
			t.Fatalf("attributes are %v", m.Attributes)
		}
	}
}
