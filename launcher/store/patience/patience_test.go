package patience_test

import (
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/launcher/store/patience"
)

func reason(r string) error {
	return &googleapi.Error{Code: 403, Errors: []googleapi.ErrorItem{{Reason: r}}}
}

func TestSend(t *testing.T) {
	cut := fmt.Errorf("mark: %w", &url.Error{Op: "Post", URL: "http://127.0.0.1", Err: syscall.ECONNRESET})
	for name, c := range map[string]struct {
		fails error
		times int // that it fails
		sent  int
		err   bool
	}{
		"answered":                      {sent: 1},
		"lost twice":                    {fails: cut, times: 2, sent: 3},
		"overloaded once":               {fails: &googleapi.Error{Code: 503}, times: 1, sent: 2},
		"rate limited once":             {fails: &googleapi.Error{Code: 429}, times: 1, sent: 2},
		"too fast once":                 {fails: reason("rateLimitExceeded"), times: 1, sent: 2},
		"too many jobs once":            {fails: &bigquery.Error{Reason: "jobRateLimitExceeded"}, times: 1, sent: 2},
		"a crowded table once":          {fails: errors.New("Resources exceeded: Too many DML statements outstanding against table t, limit is 20"), times: 1, sent: 2},
		"a conflict once":               {fails: fmt.Errorf("a: %w", &googleapi.Error{Code: 400, Message: "Transaction is aborted due to concurrent update"}), times: 1, sent: 2},
		"the day's quota":               {fails: reason("quotaExceeded"), times: 9, sent: 1, err: true},
		"refused":                       {fails: &googleapi.Error{Code: 403}, times: 9, sent: 1, err: true},
		"a statement that fails":        {fails: errors.New("division by zero"), times: 9, sent: 1, err: true},
		"a warehouse that is not there": {fails: &url.Error{Err: syscall.ECONNREFUSED}, times: 9, sent: 1, err: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				err := patience.Send(t.Context(), func() error {
					if sent++; sent <= c.times {
						return c.fails
					}
					return nil
				})
				if sent != c.sent || (err != nil) != c.err {
					t.Errorf("sent %d times, want %d; %v", sent, c.sent, err)
				}
			})
		})
	}
}

func TestSendGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := patience.Send(t.Context(), func() error { return &googleapi.Error{Code: 500} }); err == nil || time.Since(begun) > 30*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}
