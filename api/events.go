package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/cloudact/convergence/launcher"
)

// Feed is what the API needs of the launcher to show a run while it works.
type Feed interface {
	// Follow yields the events of a run, those that have happened first, until its
	// terminal event; after is the id of an event to go on behind.
	Follow(ctx context.Context, org, id, after string) iter.Seq2[launcher.Event, error]
	// Log opens the log of a run's job.
	Log(ctx context.Context, org, id string) (io.ReadCloser, error)
}

const (
	maxStream   = 30 * time.Minute // a client asks again, from where it was
	heartbeat   = time.Second      // between looks at whether the service stops
	keepAlive   = 15 * time.Second // between signs of life
	writeWithin = 30 * time.Second // a client that takes no bytes for this long is gone
	eventStream = "text/event-stream"
)

type eventsInput struct {
	ID   string `path:"id"`
	Last string `header:"Last-Event-ID" maxLength:"64" doc:"go on behind this event"`
}

type streamOutput struct {
	Body func(ctx huma.Context)
}

type logInput struct {
	ID   string `path:"id"`
	Tail int    `query:"tail" minimum:"0" maximum:"100000" default:"0" doc:"only the last lines; 0 = all"`
}

func (s *service) events() {
	read := route{
		method: http.MethodGet, path: runsPath + "/{id}/events", id: "follow-run", summary: "Watch a run: its events as they happen", tag: tagRuns,
		about: "Server-sent events; the data of each is a JSON object with kind, step, state, payload and time. The stream ends after the run's terminal event.",
		key:   keyOrg, scope: scopeRead, action: actionRead, resource: resourcePipeline, also: []int{http.StatusNotFound},
	}
	add(s, read, s.follow)
	logs := read
	logs.path, logs.id, logs.summary, logs.about = runsPath+"/{id}/logs", "get-run-log", "The log of a run's job", "It is on the host that ran the job."
	add(s, logs, s.logs)
	for path, kind := range map[string]string{read.path: eventStream, logs.path: "text/plain"} {
		s.huma.OpenAPI().Paths[path].Get.Responses["200"].Content = map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
}

// follow answers once the first event is there, so that a run that cannot be followed is
// a problem and not an empty stream.
func (s *service) follow(ctx context.Context, in *eventsInput) (*streamOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, maxStream)
	next, stop := iter.Pull2(s.cfg.Feed.Follow(ctx, principal(ctx).Org, in.ID, in.Last))
	first, err, ok := next()
	if ok && err != nil {
		stop()
		cancel()
		return nil, s.problem(ctx, "follow run", err)
	}
	return &streamOutput{Body: func(hctx huma.Context) {
		defer cancel()
		defer stop()
		_, w := humachi.Unwrap(hctx)
		h := w.Header()
		h.Set("Content-Type", eventStream)
		h.Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		if !ok {
			return
		}
		f := follower{w: w, next: next, stopping: s.cfg.Stopping}
		if err := f.stream(ctx, cancel, first); err != nil && ctx.Err() == nil {
			s.cfg.Log.Info("a stream of events ended early", "run", in.ID, "error", err, "request_id", requestIDOf(ctx))
		}
	}}, nil
}

// item is what a pull of an event brought.
type item struct {
	event launcher.Event
	err   error
	ok    bool
}

// follower writes the events of a run to one client.
type follower struct {
	w        http.ResponseWriter
	next     func() (launcher.Event, error, bool)
	stopping func() bool
}

// stream writes events, and signs of life while there are none. It cancels what follows
// the run before it returns.
func (f follower) stream(ctx context.Context, cancel context.CancelFunc, first launcher.Event) error { //nolint:gocognit // one loop over events, signs of life and the end; its parts share everything
	control, w, next := http.NewResponseController(f.w), f.w, f.next
	write := func(b []byte) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("move the deadline: %w", err)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		return control.Flush() //nolint:wrapcheck // it says flush
	}
	items, asked := make(chan item), make(chan struct{})
	done := make(chan struct{})
	go func() { // the only one that pulls
		defer close(done)
		for range asked {
			e, err, ok := next()
			select {
			case items <- item{e, err, ok}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); close(asked); <-done }()
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	quiet := time.Now()
	e := first
	for {
		if err := write(frame(e)); err != nil {
			return err
		}
		select {
		case asked <- struct{}{}:
		case <-done:
			return ctx.Err() //nolint:wrapcheck // the caller knows it
		}
		for got := false; !got; {
			select {
			case i := <-items:
				if !i.ok || i.err != nil {
					return i.err
				}
				e, got = i.event, true
			case now := <-ticker.C:
				if f.stopping() { // the client asks again, from where it was
					return nil
				}
				if now.Sub(quiet) < keepAlive {
					continue
				}
				quiet = now
				if err := write([]byte(": alive\n\n")); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err() //nolint:wrapcheck // the caller knows it
			}
		}
	}
}

// frame is an event as the stream holds it. JSON has no newline.
func frame(e launcher.Event) []byte {
	data, err := json.Marshal(e)
	if err != nil {
		data = []byte(`{}`) // a payload that is no JSON never reaches the store
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, data)
	return b.Bytes()
}

// logs answers with the log of a run's job.
func (s *service) logs(ctx context.Context, in *logInput) (*streamOutput, error) {
	log, err := s.cfg.Feed.Log(ctx, principal(ctx).Org, in.ID)
	if err != nil {
		return nil, s.problem(ctx, "read log", err)
	}
	return &streamOutput{Body: func(hctx huma.Context) {
		defer func() { _ = log.Close() }()
		_, w := humachi.Unwrap(hctx)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		if err := copyLines(w, log, in.Tail); err != nil {
			s.cfg.Log.Info("a log was not read to its end", "run", in.ID, "error", err, "request_id", requestIDOf(ctx))
		}
	}}, nil
}

// maxTailBytes bounds what the last lines of a log may hold together.
const maxTailBytes = 8 << 20

// copyLines copies a log, or its last lines.
func copyLines(w io.Writer, log io.Reader, tail int) error {
	if tail <= 0 {
		_, err := io.Copy(w, log)
		return err //nolint:wrapcheck // the caller says what it was doing
	}
	var lines [][]byte
	size := 0
	reader := bufio.NewReader(log)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			lines, size = append(lines, line), size+len(line)
		}
		for len(lines) > tail || size > maxTailBytes && len(lines) > 1 {
			size -= len(lines[0])
			lines = lines[1:]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err //nolint:wrapcheck // the caller says what it was doing
		}
	}
	_, err := w.Write(bytes.Join(lines, nil))
	return err //nolint:wrapcheck // the caller says what it was doing
}
