package store_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// refusal is how a warehouse refuses a call.
type refusal struct {
	status         int
	reason, detail string
}

func (f refusal) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(f.status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"errors":[{"reason":%q,"message":%q}]}}`, f.status, f.detail, f.reason, f.detail)
}

// refuse lets the first calls whose path ends so fail, and counts all of them.
func (b *bench) refuse(method, suffix string, first int, f refusal) *atomic.Int64 {
	calls := &atomic.Int64{}
	b.spoilWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasSuffix(r.URL.Path, suffix) || calls.Add(1) > int64(first) {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		f.write(w)
		return true
	})
	return calls
}

// only wants a run to be there with one event of a state, however often it was sent.
func (b *bench) only(id string, state launcher.State) {
	b.t.Helper()
	events, err := b.Events(b.t.Context(), "acme", id)
	if err != nil {
		b.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range events {
		seen[e.ID] = true
	}
	run, found, err := launcher.Reduce(events)
	if err != nil || !found || run.State != state || len(seen) != 1 {
		b.t.Errorf("run %s has %d different events and is %s: %v", id, len(seen), run.State, err)
	}
}

// TestRow33StreamedEventsGetOverAnUnavailableWarehouse is row 33 of the fault matrix.
func TestRow33StreamedEventsGetOverAnUnavailableWarehouse(t *testing.T) {
	b := newBench(t)
	b.advance(11 * time.Minute)
	calls := b.refuse(http.MethodPost, "/insertAll", 3, refusal{http.StatusServiceUnavailable, "backendError", "try again"})
	b.append(b.event("acme", "r1", launcher.Pending))
	if calls.Load() < 4 {
		t.Errorf("streamed with %d calls", calls.Load())
	}
	b.only("r1", launcher.Pending)
}

// TestRow34AStreamedEventWhoseAnswerWasLostIsOne is row 34 of the fault matrix.
func TestRow34AStreamedEventWhoseAnswerWasLostIsOne(t *testing.T) {
	b := newBench(t)
	b.advance(11 * time.Minute)
	lost := b.loseAnswers(http.MethodPost, "/insertAll", 2)
	b.append(b.event("acme", "r1", launcher.Pending))
	if lost.Load() < 3 {
		t.Errorf("streamed with %d calls", lost.Load())
	}
	b.only("r1", launcher.Pending)
}

// TestRow40AQuotaOfTheDayIsAskedOnce is row 40 of the fault matrix for what the service
// itself writes: there is no hot loop.
func TestRow40AQuotaOfTheDayIsAskedOnce(t *testing.T) {
	b := newBench(t)
	calls := b.refuse(http.MethodPost, "", 1<<30, refusal{http.StatusForbidden, "quotaExceeded", "Quota exceeded: your table exceeded quota for imports or query appends per table"})
	if err := b.Append(t.Context(), b.event("acme", "r1", launcher.Pending)); err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("an event is refused with %v", err)
	}
	if _, err := b.Acquire(t.Context(), "a/1", "o", "v"); err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("a name is refused with %v", err)
	}
	if calls.Load() > 2 {
		t.Errorf("%d calls were made", calls.Load())
	}
}

// TestRow41ALimitOfTheMomentIsWaitedFor is row 41 of the fault matrix for events and the
// register.
func TestRow41ALimitOfTheMomentIsWaitedFor(t *testing.T) {
	limited := refusal{http.StatusForbidden, "rateLimitExceeded", "Exceeded rate limits: too many api requests per user per method for this user_method"}
	b := newBench(t)
	b.refuse(http.MethodPost, "/queries", 2, limited)
	b.append(b.event("acme", "r1", launcher.Pending))
	b.refuse(http.MethodPost, "/jobs", 2, limited)
	if c, err := b.Acquire(t.Context(), "a/1", "o", "v"); err != nil || !c.Won {
		t.Errorf("acquired %+v: %v", c, err)
	}
	b.spoilWith(nil)
	b.only("r1", launcher.Pending)
}

// TestRow43AStatementForACrowdedTableIsSentAgain is row 43 of the fault matrix for events
// and projections.
func TestRow43AStatementForACrowdedTableIsSentAgain(t *testing.T) {
	crowded := refusal{http.StatusBadRequest, "invalidQuery", "Resources exceeded during query execution: Too many DML statements outstanding against table t, limit is 20"}
	b := newBench(t)
	calls := b.refuse(http.MethodPost, "/queries", 2, crowded)
	b.append(b.event("acme", "r1", launcher.Pending))
	if calls.Load() < 3 {
		t.Errorf("an event took %d statements", calls.Load())
	}
	calls = b.refuse(http.MethodPost, "/jobs", 2, crowded)
	if err := b.Project(t.Context(), launcher.Run{ID: "r1", Org: "acme", PipelineID: "p", State: launcher.Pending, Start: b.clock()}); err != nil || calls.Load() < 3 {
		t.Errorf("a projection took %d statements: %v", calls.Load(), err)
	}
	b.spoilWith(nil)
	b.only("r1", launcher.Pending)
	if got := b.lines("SELECT COUNT(*) FROM `" + central + ".org_meta_pipeline_runs`"); len(got) != 1 || got[0] != "1" {
		t.Errorf("projected are %v", got)
	}
}

// TestEventsAppendedTogetherAreEachWhole appends at once from many callers, of which one
// has an event that no table takes.
func TestEventsAppendedTogetherAreEachWhole(t *testing.T) {
	b := newBench(t)
	b.sent("")
	const callers = 40
	errs := make(chan error, callers)
	for i := range callers {
		e := b.event("acme", fmt.Sprintf("r%02d", i), launcher.Pending)
		if i == 7 {
			e.Payload = []byte("no JSON")
		}
		go func() {
			err := b.Append(t.Context(), e)
			if (err != nil) != (i == 7) {
				err = fmt.Errorf("caller %d: %w", i, err)
			} else {
				err = nil
			}
			errs <- err
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := b.lines("SELECT COUNT(DISTINCT run_id) FROM `" + central + ".org_meta_run_events`"); got[0] != fmt.Sprint(callers-1) {
		t.Errorf("%s runs are recorded", got[0])
	}
}
