package source

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
)

// limits bound what a provider's answers can cost.
type limits struct {
	bodyBytes  int64
	depth      int
	pages      int64
	retryAfter time.Duration // the longest wait that a server may ask for
	firstWait  time.Duration // of the exponential back-off
	longest    time.Duration
}

var defaultLimits = limits{
	bodyBytes: 64 << 20, depth: 64, pages: 10_000,
	retryAfter: time.Minute, firstWait: 500 * time.Millisecond, longest: 30 * time.Second,
}

// client sends the requests of one DoFn. It is safe for concurrent use.
type client struct {
	http       *http.Client
	wiring     wiring
	credential credential
	limiter    *rate.Limiter
	limits     limits
	timeout    time.Duration
	retries    int
	retryOn429 bool
}

// answer is one successful exchange.
type answer struct {
	body     []byte
	standing standing
}

func newHTTPClient(g Guard, connections int) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: g.control}
	return &http.Client{
		CheckRedirect: g.redirect,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 1 << 20,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		},
	}
}

// page requests one page and retries what is worth it. It returns how many requests
// were sent, also with an error.
func (c *client) page(ctx context.Context, p partition, cursor string) (answer, int64, error) {
	var requests int64
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = c.limits.firstWait, c.limits.longest
	out, err := backoff.Retry(ctx, func() (answer, error) {
		if err := c.limiter.Wait(ctx); err != nil {
			return answer{}, backoff.Permanent(failf(codeTimeout, "the deadline of the run leaves no time for another request"))
		}
		requests++
		got, err := c.once(ctx, p, cursor)
		var f *failure
		if errors.As(err, &f) && f.retry {
			return got, err
		}
		if err != nil {
			return got, backoff.Permanent(err)
		}
		return got, nil
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(uint(c.retries)+1), backoff.WithMaxElapsedTime(0))
	return out, requests, err
}

func (c *client) once(ctx context.Context, p partition, cursor string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := p.build(ctx, c.wiring, cursor)
	if err != nil {
		return answer{}, err
	}
	name := c.credential.redact(label(req))
	c.credential.apply(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, c.exchangeError(name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.limits.bodyBytes+1))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answer{}, c.statusError(name, resp, body)
	}
	if err != nil {
		return answer{}, c.bodyError(name, err)
	}
	return c.accept(name, resp, body, p.Paging)
}

// accept checks a whole body against the limits and reads its position.
func (c *client) accept(name string, resp *http.Response, body []byte, p paging) (answer, error) {
	switch {
	case int64(len(body)) > c.limits.bodyBytes:
		return answer{}, failf(codeTooLarge, "%s answered more than %d bytes: ask for smaller pages", name, c.limits.bodyBytes)
	case resp.StatusCode == http.StatusNoContent:
		return answer{}, nil
	case tooDeep(body, c.limits.depth):
		return answer{}, failf(codePayload, "%s answered JSON that is nested deeper than %d levels", name, c.limits.depth)
	}
	standing, err := readStanding(body, p)
	var f *failure
	if errors.As(err, &f) {
		f.message = name + ": " + c.credential.redact(f.message) + contentType(resp)
		return answer{}, f
	}
	if c.credential.secret != "" && strings.Contains(standing.next, c.credential.secret) {
		return answer{}, failf(codeCredential, "%s answered a cursor that holds the credential", name)
	}
	return answer{body: body, standing: standing}, err
}

func contentType(resp *http.Response) string {
	kind := resp.Header.Get("Content-Type")
	if kind == "" || strings.Contains(kind, "json") {
		return ""
	}
	return " (content type " + clip(kind, 60) + ")"
}

// exchangeError classifies an error of the transport; its text holds no URL, which may
// carry a credential.
func (c *client) exchangeError(name string, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return failf(f.code, "%s: %s", name, c.credential.redact(f.message))
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return failf(codeConnection, "%s: its certificate cannot be verified: %s", name, clip(err.Error(), excerptBytes))
	case isTimeout(err):
		return retryable(codeTimeout, "%s gave no answer within %s", name, c.timeout)
	default:
		return retryable(codeConnection, "%s: %s", name, clip(c.credential.redact(err.Error()), excerptBytes))
	}
}

func (c *client) bodyError(name string, err error) error {
	if isTimeout(err) {
		return retryable(codeTimeout, "%s did not finish its answer within %s", name, c.timeout)
	}
	return retryable(codeTruncated, "%s: the answer broke off: %s", name, clip(c.credential.redact(err.Error()), excerptBytes))
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// statusError classifies an answer that is no success. The excerpt is bounded and free
// of the credential.
func (c *client) statusError(name string, resp *http.Response, body []byte) error {
	f := failf(codeStatus, "%s answered %d", name, resp.StatusCode)
	if excerpt := clip(c.credential.redact(string(body)), excerptBytes); excerpt != "" {
		f.message += ": " + excerpt
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		f.code, f.retry = codeRateLimit, c.retryOn429
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.retry = true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired: // about the caller
		f.message += "; the credential is refused there: set up the provider's integration again"
	default:
		f.refused = resp.StatusCode >= 400 && resp.StatusCode < 500
	}
	if !f.retry {
		return f
	}
	f.message += "; when it lasts, run the pipeline again later"
	wait, asked := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if asked && wait > c.limits.retryAfter {
		return failf(f.code, "%s answered %d and asks to wait %s, more than the %s that a request waits: run the pipeline again later",
			name, resp.StatusCode, wait, c.limits.retryAfter)
	}
	if asked {
		f.after = &backoff.RetryAfterError{Duration: wait + rand.N(c.limits.firstWait/2+1)}
	}
	return f
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. Negative, past and
// unreadable values count as absent.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	const longest = 1 << 32 // seconds; keeps the product within a Duration
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, longest)) * time.Second, true
	}
	date, err := http.ParseTime(header)
	if err != nil || !date.After(now) {
		return 0, false
	}
	return date.Sub(now), true
}
