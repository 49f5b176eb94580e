package service

import (
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

// stopGrace is how long a service manager waits between SIGTERM and SIGKILL.
const stopGrace = 30 * time.Second

// TestATerminatedServiceAnswersAndLetsGo sends SIGTERM while requests are under way and
// jobs work: every request is answered, the process leaves in time, and a service on
// another host goes on with the runs at once.
func TestATerminatedServiceAnswersAndLetsGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	s := w.serve(w.fresh())
	w.provider.Hold(0)
	var ids []string
	for n := range drainedRuns {
		started, err := s.as("acme").Run(t.Context(), "acme", rows, day(n))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, started.ID)
	}
	lab.Eventually(t, "all jobs work", func() bool {
		for n := range drainedRuns {
			if w.provider.times(firstDay.AddDays(n).String()) == 0 {
				return false
			}
		}
		return true
	})
	requests := s.slowRequests(t)
	terminated := time.Now()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	requests.Wait()
	w.plan.Set()
	<-s.Ended
	if took := time.Since(terminated); s.Code != 0 || took > stopGrace {
		t.Errorf("the service ended with %d after %s", s.Code, took)
	}
	if _, err := http.Get(s.URL + "/health"); err == nil {
		t.Error("something still answers at the service's address")
	}
	w.provider.Release()
	again := w.serve(w.fresh())
	for n, id := range ids {
		if run := again.wait("acme", id); run.Status != client.Completed {
			t.Errorf("run %d ended %s: %s: %s", n, run.Status, run.Code, run.Error)
		}
	}
	got := w.Lines(t, "SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, service)) FROM acme_local.usage")
	if want := fmt.Sprintf("%d %[1]d", drainedRuns*pageRows); len(got) != 1 || got[0] != want {
		t.Errorf("rows are %v, not %s", got, want)
	}
	w.balanced("acme", drainedRuns)
}

// slowRequests are requests that are under way and take some seconds.
func (s *service) slowRequests(t *testing.T) *sync.WaitGroup {
	t.Helper()
	s.w.plan.Set(faults.Rule{Op: faults.Read, When: faults.Before, Do: faults.Slow(3 * time.Second)})
	before := s.w.plan.Calls()[faults.Read]
	var wg, sent sync.WaitGroup
	sent.Add(drainedRequests)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent.Done() }})
	for range drainedRequests {
		wg.Go(func() {
			if _, err := s.as("acme").List(ctx, client.Filter{}); err != nil {
				t.Errorf("a request that was under way: %v", err)
			}
		})
	}
	sent.Wait()
	time.Sleep(10 * lab.Glance) // until the service has read the last one, which nothing tells
	lab.Eventually(t, "the requests are under way", func() bool { return s.w.plan.Calls()[faults.Read] >= before+drainedRequests })
	return &wg
}

// TestATerminatedServiceWithoutRunsAnswers is the case in which nothing else keeps the
// process from leaving.
func TestATerminatedServiceWithoutRunsAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	s := w.serve(w.fresh())
	if _, err := s.as("acme").List(t.Context(), client.Filter{}); err != nil { // and its key is known
		t.Fatal(err)
	}
	requests := s.slowRequests(t)
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	requests.Wait()
	if <-s.Ended; s.Code != 0 {
		t.Errorf("the service ended with %d", s.Code)
	}
}
