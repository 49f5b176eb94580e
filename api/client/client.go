// Package client speaks to the service over HTTP as one organisation, or with the root key:
// it starts runs and looks at them, sets integrations up, edits prices and schedules, and
// works the queue. It stands alone, so that other programs can use it: it must not know the
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
	base           = "/api/v1"
	prefix         = base + "/pipelines"
	headerKey      = "X-API-Key"
	headerRootKey  = "X-CA-Root-Key"
	headerOnce     = "Idempotency-Key"
	defaultTimeout = 60 * time.Second
	defaultPoll    = 250 * time.Millisecond
	slowest        = 2 * time.Second // pause of Wait in the end
	maxAnswer      = 16 << 20
)

// Config says which service to speak to, and as whom.
type Config struct {
	// BaseURL is the origin of the service, such as http://127.0.0.1:8001.
	BaseURL string
	// Key is an organisation's API key; empty only for Health, Live and Ready, and where
	// RootKey is needed.
	Key string
	// RootKey is the platform's root key, which the scheduler's calls take.
	RootKey string
	// HTTP makes the requests; nil is a client with a timeout of a minute.
	HTTP *http.Client
	// Poll is the first pause between the questions of Wait; 0 is a quarter of a second.
	// Pauses grow, to at most two seconds or Poll.
	Poll time.Duration
}

// Client speaks to one service. It is safe for concurrent use and needs no closing.
type Client struct {
	base string
	key  string
	root string
	http *http.Client
	poll time.Duration
}

// New returns a client. Nothing is dialled before the first call.
func New(cfg Config) *Client {
	c := &Client{base: strings.TrimSuffix(cfg.BaseURL, "/"), key: cfg.Key, root: cfg.RootKey, http: cfg.HTTP, poll: cfg.Poll}
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
	path := parts(prefix+"/run", org, p.Provider, p.Domain, p.Name)
	var header http.Header
	if o.Once != "" {
		header = http.Header{headerOnce: {o.Once}}
	}
	var started Started
	_, err := c.send(ctx, request{http.MethodPost, path, o, header}, &started)
	return started, err
}

// Get returns a run of the client's organisation with its steps.
func (c *Client) Get(ctx context.Context, id string) (Run, error) {
	return fetch[Run](ctx, c, http.MethodGet, prefix+"/runs/"+url.PathEscape(id), nil)
}

// List returns a page of runs of the client's organisation, newest first, without their
// steps.
func (c *Client) List(ctx context.Context, f Filter) ([]Run, error) {
	runs, _, err := c.Runs(ctx, f)
	return runs, err
}

// Runs is List with the cursor of the page after, "" after the last one.
func (c *Client) Runs(ctx context.Context, f Filter) (runs []Run, next string, err error) {
	query := page(f.Limit, f.Cursor)
	set(query, "pipeline_id", f.PipelineID)
	set(query, "status", string(f.Status))
	next, err = c.list(ctx, prefix+"/runs", query, &runs)
	return runs, next, err
}

// Wait polls a run until it has ended or ctx is done, and as often as the service permits.
// seen, unless nil, is given every answer. That the run failed is in the run, not in the
// error.
func (c *Client) Wait(ctx context.Context, id string, seen func(Run)) (Run, error) {
	var last Run
	for pause := c.poll; ; pause = min(pause*5/4, max(slowest, c.poll)) {
		run, err := c.Get(ctx, id)
		var refused *Error
		wait := pause
		switch {
		case errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests:
			wait = max(refused.RetryAfter, pause)
		case err != nil:
			return run, err
		default:
			last = run
			if seen != nil {
				seen(run)
			}
			if run.Status.Ended() {
				return run, nil
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return last, fmt.Errorf("wait for run %s, which is %s: %w", id, last.Status, ctx.Err())
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
	_, err := c.send(ctx, request{method: http.MethodGet, path: path}, &health)
	var problem *Error
	if errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable && json.Unmarshal(problem.body, &health) == nil && health.Status != "" {
		return health, nil
	}
	return health, err
}

// fetch makes one request and returns its answer.
func fetch[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out T
	err := c.call(ctx, method, path, body, &out)
	return out, err
}

func (c *Client) get(ctx context.Context, path string, answer any) error {
	return c.call(ctx, http.MethodGet, path, nil, answer)
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	_, err := c.send(ctx, request{method: method, path: path, body: body}, answer)
	return err
}

// list gets a page and returns the cursor of the next one.
func (c *Client) list(ctx context.Context, path string, query url.Values, answer any) (next string, err error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	header, err := c.send(ctx, request{method: http.MethodGet, path: path}, answer)
	if err != nil {
		return "", err
	}
	return cursor(header.Get("Link")), nil
}

// cursor is the one that a Link header names.
func cursor(link string) string {
	target, rel, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(rel, `rel="next"`) {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Query().Get("cursor")
}

// page is the query of a page.
func page(limit int, cursor string) url.Values {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	set(query, "cursor", cursor)
	return query
}

// set sets what is not empty.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// parts joins path parts, each escaped; empty ones are left out.
func parts(path string, names ...string) string {
	for _, name := range names {
		if name != "" {
			path += "/" + url.PathEscape(name)
		}
	}
	return path
}

// request is one call.
type request struct {
	method, path string
	body         any // nil for none
	header       http.Header
}

// send makes one request and returns the header of the answer. answer may be nil.
func (c *Client) send(ctx context.Context, r request, answer any) (http.Header, error) {
	response, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	what := r.method + " " + r.path
	b, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", what, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, refusal(what, response, b)
	}
	if answer == nil || len(b) == 0 {
		return response.Header, nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", what, err)
	}
	return response.Header, nil
}

// open makes one request; the caller closes the answer's body.
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	var reader io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode the body of %s %s: %w", r.method, r.path, err)
		}
		reader = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, reader)
	if err != nil {
		return nil, fmt.Errorf("make request %s %s: %w", r.method, r.path, err)
	}
	request.Header.Set("Accept", "application/json")
	if r.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range map[string]string{headerKey: c.key, headerRootKey: c.root} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	for name, values := range r.header {
		request.Header[name] = values
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the service: %w", err)
	}
	return response, nil
}
