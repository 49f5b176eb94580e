// Package patience sends requests to the warehouse again that may have been lost. It knows
// how the warehouse's client fails, and nothing of what is sent.
package patience

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/api/googleapi"
)

const (
	limit      = 20 * time.Second
	firstPause = 100 * time.Millisecond
)

// Send sends a request until it is answered, for twenty seconds. It has to be harmless to
// send twice. A warehouse that nobody serves is an error at once.
func Send(ctx context.Context, send func() error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := send()
		if err != nil && !Unanswered(err) && !Passing(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(limit), backoff.WithBackOff(Pause()))
	return err
}

// Pause is how long to wait between two attempts.
func Pause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = firstPause
	return b
}

// Unanswered reports whether a request may have had its effect all the same, or would have
// at another time.
func Unanswered(err error) bool {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return !Refused(err)
	}
	var network *url.Error
	return errors.As(err, &network) && !errors.Is(err, syscall.ECONNREFUSED)
}

// Refused reports whether the warehouse has answered, and would answer the same again.
func Refused(err error) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code < http.StatusInternalServerError && api.Code != http.StatusTooManyRequests && !Passing(err)
}

var (
	passingReasons = []string{"rateLimitExceeded", "jobRateLimitExceeded"}
	passingTexts   = []string{
		"transaction is aborted", "aborted due to concurrent update", "could not serialize access", "too many dml statements outstanding",
	}
)

// Passing reports whether a request or a job had no effect because of others at the same
// time: it lost against another one, or met a rate limit. A quota of the day does not pass.
func Passing(err error) bool {
	var job *bigquery.Error
	if errors.As(err, &job) && slices.Contains(passingReasons, job.Reason) {
		return true
	}
	var api *googleapi.Error
	if errors.As(err, &api) && (api.Code == http.StatusTooManyRequests ||
		slices.ContainsFunc(api.Errors, func(e googleapi.ErrorItem) bool { return slices.Contains(passingReasons, e.Reason) })) {
		return true
	}
	text := strings.ToLower(err.Error())
	return slices.ContainsFunc(passingTexts, func(t string) bool { return strings.Contains(text, t) })
}
