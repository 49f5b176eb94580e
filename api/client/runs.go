package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Event is something that happened to a run.
type Event struct {
	ID      string          `json:"id"`
	RunID   string          `json:"run_id"`
	Attempt int             `json:"attempt"`
	Kind    string          `json:"kind"` // run, step, progress, wait, cancel
	Step    string          `json:"step"`
	State   Status          `json:"state"`
	Payload json.RawMessage `json:"payload"`
	Time    time.Time       `json:"time"`
}

// CancelAnswer is the answer to Cancel: the run was asked to end.
type CancelAnswer struct {
	ID      string `json:"pipeline_logging_id"`
	Status  Status `json:"status"` // when it was asked
	Message string `json:"message"`
}

// Cancel asks for the end of a run. With discard what it has staged is dropped.
func (c *Client) Cancel(ctx context.Context, id string, discard bool) (CancelAnswer, error) {
	path := parts(prefix+"/runs", id)
	if discard {
		path += "?discard=true"
	}
	return fetch[CancelAnswer](ctx, c, http.MethodDelete, path, nil)
}

// Retry repeats a run that has not completed.
func (c *Client) Retry(ctx context.Context, id string) (Started, error) {
	return fetch[Started](ctx, c, http.MethodPost, parts(prefix+"/runs", id, "retry"), nil)
}

// Steps returns the steps of a run.
func (c *Client) Steps(ctx context.Context, id string) ([]Step, error) {
	var all []Step
	for at := ""; ; {
		var some []Step
		next, err := c.list(ctx, parts(prefix+"/runs", id, "steps"), page(100, at), &some)
		all = append(all, some...)
		if err != nil || next == "" {
			return all, err
		}
		at = next
	}
}

// Follow calls seen with the events of a run, those that have happened first, until its
// last one, ctx ends, or seen answers false. after is the id of an event to go on behind,
// "" for all. A stream that breaks is an error: follow again behind the last event. The
// timeout of Config.HTTP bounds the whole stream.
func (c *Client) Follow(ctx context.Context, id, after string, seen func(Event) bool) error {
	r := request{method: http.MethodGet, path: parts(prefix+"/runs", id, "events"), header: http.Header{"Accept": {"text/event-stream"}}}
	if after != "" {
		r.header.Set("Last-Event-ID", after)
	}
	response, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		return refusal(r.method+" "+r.path, response, b)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("read an event of run %s: %w", id, err)
		}
		if !seen(e) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("follow run %s: %w", id, err)
	}
	return nil
}

// Log opens the log of a run's job, or its last lines; tail 0 is all of it. Close it.
func (c *Client) Log(ctx context.Context, id string, tail int) (io.ReadCloser, error) {
	r := request{method: http.MethodGet, path: parts(prefix+"/runs", id, "logs"), header: http.Header{"Accept": {"text/plain"}}}
	if tail > 0 {
		r.path += "?tail=" + strconv.Itoa(tail)
	}
	response, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return nil, refusal(r.method+" "+r.path, response, b)
}

// RunByID starts a pipeline by its tracking id. The service calls this deprecated.
func (c *Client) RunByID(ctx context.Context, pipelineID string, o RunOptions) (Started, error) {
	return fetch[Started](ctx, c, http.MethodPost, parts(prefix+"/run", pipelineID), o)
}
