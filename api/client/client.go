// Package client speaks to the service over HTTP as one organisation: it starts runs and
// looks at them. It stands alone, so that other programs can use it: it must not know the
// launcher, the API's own types or where a key comes from.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	prefix         = "/api/v1/pipelines"
	headerKey      = "X-API-Key"
	defaultTimeout = 60 * time.Second
	defaultPoll    = 250 * time.Millisecond
	maxAnswer      = 16 << 20
)

// Config says which service to speak to, and as whom.
type Config struct {
	// BaseURL is the origin of the service, such as http://127.0.0.1:8001.
	BaseURL string
	// Key is an organisation's API key; empty only for Health, Live and Ready.
	Key string
	// HTTP makes the requests; nil is a client with a timeout of a minute.
	HTTP *http.Client
	// Poll is the pause between the questions of Wait; 0 is a quarter of a second.
	Poll time.Duration
}

// Client speaks to one service. It is safe for concurrent use and needs no closing.
type Client struct {
	base string
	key  string
	http *http.Client
	poll time.Duration
}

// New returns a client. Nothing is dialled before the first call.
func New(cfg Config) *Client {
	c := &Client{base: strings.TrimSuffix(cfg.BaseURL, "/"), key: cfg.Key, http: cfg.HTTP, poll: cfg.Poll}
	if c.http == nil {
		c.http = &http.Client{Timeout: defaultTimeout}
	}
	if c.poll <= 0 {
		c.poll = defaultPoll
	}
	return c
}

// Run asks for a run of a pipeline of an organisation. The answer is the run that was
// recorded, or the active one that is equal to it. Errors of the service are *Error.
func (c *Client) Run(ctx context.Context, org string, p Pipeline, o RunOptions) (Started, error) {
	path := prefix + "/run"
	for _, part := range []string{org, p.Provider, p.Domain, p.Name} {
		if part != "" {
			path += "/" + url.PathEscape(part)
		}
	}
	var started Started
	return started, c.call(ctx, http.MethodPost, path, o, &started)
}

// Get returns a run of the client's organisation with its steps.
func (c *Client) Get(ctx context.Context, id string) (Run, error) {
	var run Run
	return run, c.call(ctx, http.MethodGet, prefix+"/runs/"+url.PathEscape(id), nil, &run)
}

// List returns runs of the client's organisation, newest first, without their steps.
func (c *Client) List(ctx context.Context, f Filter) ([]Run, error) {
	query := url.Values{}
	if f.PipelineID != "" {
		query.Set("pipeline_id", f.PipelineID)
	}
	if f.Status != "" {
		query.Set("status", string(f.Status))
	}
	if f.Limit > 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	path := prefix + "/runs"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var runs []Run
	return runs, c.call(ctx, http.MethodGet, path, nil, &runs)
}

// Wait polls a run until it has ended or ctx is done. seen, unless nil, is given every
// answer. That the run failed is in the run, not in the error.
func (c *Client) Wait(ctx context.Context, id string, seen func(Run)) (Run, error) {
	ticker := time.NewTicker(c.poll)
	defer ticker.Stop()
	for {
		run, err := c.Get(ctx, id)
		if err != nil {
			return run, err
		}
		if seen != nil {
			seen(run)
		}
		if run.Status.Ended() {
			return run, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return run, fmt.Errorf("wait for run %s, which is %s: %w", id, run.Status, ctx.Err())
		}
	}
}

// Health returns what the service says of itself; it needs no key.
func (c *Client) Health(ctx context.Context) (Health, error) { return c.health(ctx, "/health") }

// Live reports whether the process should go on running. Not being so is an answer, not
// an error.
func (c *Client) Live(ctx context.Context) (Health, error) { return c.health(ctx, "/health/live") }

// Ready reports whether the service can take requests: its checks say what is amiss. Not
// being so is an answer, not an error.
func (c *Client) Ready(ctx context.Context) (Health, error) { return c.health(ctx, "/health/ready") }

func (c *Client) health(ctx context.Context, path string) (Health, error) {
	var health Health
	status, err := c.send(ctx, http.MethodGet, path, nil, &health)
	if err != nil && status == http.StatusServiceUnavailable {
		var problem *Error
		if errors.As(err, &problem) && json.Unmarshal(problem.body, &health) == nil && health.Status != "" {
			return health, nil
		}
	}
	return health, err
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	_, err := c.send(ctx, method, path, body, answer)
	return err
}

// send makes one request and returns the status of the answer, 0 if there was none.
func (c *Client) send(ctx context.Context, method, path string, body, answer any) (int, error) {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return 0, fmt.Errorf("make request %s %s: %w", method, path, err)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		request.Header.Set(headerKey, c.key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the service: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return response.StatusCode, fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, refusal(method+" "+path, response, b)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return response.StatusCode, fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return response.StatusCode, nil
}
