package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// load is a crowd of runs, posted at once.
type load struct {
	orgs, each  int    // organisations, and runs of each
	concurrent  int    // runs of an organisation at once
	global      int    // of all
	services    int    // processes on the same warehouse
	others      string // program of all services but the first; "" = the same
	impartially float64
}

func (l load) names() []string {
	var out []string
	for i := range l.orgs {
		out = append(out, fmt.Sprintf("org%02d", i))
	}
	return out
}

// lifetimes of a run, as its events tell.
type lifetime struct {
	org, id, state        string
	submitted, began, end time.Time
}

// lifetimes reads the runs of all organisations.
func (w *world) lifetimes() []lifetime {
	w.T.Helper()
	var out []lifetime
	for _, row := range w.Ask(w.T, "SELECT org_slug, run_id, MIN(IF(state = 'PENDING', created_at, NULL)), MIN(IF(state = 'RUNNING', created_at, NULL)),"+
		" MAX(IF(state IN ('COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'), created_at, NULL)),"+
		" STRING_AGG(DISTINCT IF(state IN ('COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'), state, NULL))"+
		" FROM organizations.org_meta_run_events WHERE kind = 'run' GROUP BY org_slug, run_id") {
		at := func(v bigquery.Value) time.Time {
			t, _ := v.(time.Time) // NULL is never
			return t
		}
		state, _ := row[5].(string)
		out = append(out, lifetime{row[0].(string), row[1].(string), state, at(row[2]), at(row[3]), at(row[4])})
	}
	return out
}

// most is how many of the lifetimes overlap at some moment.
func most(runs []lifetime) int {
	var moments []time.Time
	change := map[time.Time]int{}
	for _, r := range runs {
		if r.began.IsZero() {
			continue
		}
		change[r.began]++
		change[r.end]--
		moments = append(moments, r.began, r.end)
	}
	slices.SortFunc(moments, time.Time.Compare)
	now, peak := 0, 0
	for _, at := range slices.CompactFunc(moments, time.Time.Equal) {
		now += change[at]
		peak = max(peak, now)
	}
	return peak
}

// jain is 1 when everybody has the same, 1/n when one has all.
func jain(counts []int) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range counts {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	return sum * sum / (float64(len(counts)) * squares)
}

// startsWhileAllWait counts the runs of each organisation that began at moments when every
// organisation had a run in the queue: an organisation that asks for nothing has no share.
func startsWhileAllWait(runs []lifetime) map[string]int {
	waits, starts := map[string][]lifetime{}, map[string]int{}
	for _, r := range runs {
		waits[r.org] = append(waits[r.org], r)
		starts[r.org] = 0
	}
	for _, r := range runs {
		all := true
		for _, own := range waits {
			all = all && slices.ContainsFunc(own, func(o lifetime) bool { return o.submitted.Before(r.began) && !o.began.Before(r.began) })
		}
		if all {
			starts[r.org]++
		}
	}
	return starts
}

// unfair says whether an organisation got more than its share. One start more than another
// is the grain of the measure: few starts cannot be shared more evenly.
func unfair(starts []int, least float64) bool {
	return slices.Max(starts)-slices.Min(starts) > 1 && jain(starts) < least
}

// durations are how long answers took.
type durations struct {
	mu  sync.Mutex
	all []time.Duration
}

func (d *durations) add(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, took)
}

// String names the median, the 95th percentile, and the longest.
func (d *durations) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.all)
	last := len(d.all) - 1
	return fmt.Sprintf("%d answers within %s, %s, %s", len(d.all),
		d.all[last/2].Round(time.Millisecond), d.all[last*95/100].Round(time.Millisecond), d.all[last].Round(time.Millisecond))
}

// post starts a run as a patient client does: while the organisation has as many as it
// may, it asks again.
func (s *service) post(ctx context.Context, org string, o client.RunOptions, took *durations) (client.Started, int, error) {
	for refused := 0; ; refused++ {
		asked := time.Now()
		started, err := s.as(org).Run(ctx, org, rows, o)
		took.add(time.Since(asked))
		var problem *client.Error
		if !errors.As(err, &problem) || problem.Status != http.StatusTooManyRequests {
			return started, refused, err
		}
		if problem.Code != "CONCURRENT_LIMIT_EXCEEDED" || problem.RetryAfter <= 0 {
			return started, refused, fmt.Errorf("refused with %s, again after %s: %w", problem.Code, problem.RetryAfter, err)
		}
		time.Sleep(time.Second)
	}
}

func (l load) test(t *testing.T) {
	w := newWorld(t)
	w.seed(l.concurrent, l.names()...)
	var services []*service
	for i := range l.services {
		program := lab.Binary
		if i > 0 && l.others != "" {
			program = l.others
		}
		services = append(services, w.serveAs(program, w.fresh(), fmt.Sprintf("PIPELINE_GLOBAL_CONCURRENT_LIMIT=%d", l.global)))
	}
	w.provider.Hold(0)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids, refusals := map[string]string{}, 0
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience*time.Duration(1+l.orgs*l.each/20)) // the last ones wait for all others
	defer cancel()
	posted, took := make(chan struct{}, l.orgs*l.each), &durations{}
	for n := range l.each {
		for i, org := range l.names() {
			s := services[(i+n)%len(services)]
			wg.Go(func() {
				started, refused, err := s.post(ctx, org, day(n), took)
				if err != nil {
					t.Errorf("run %d of %s: %v", n, org, err)
					cancel()
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[started.ID] = org
				refusals += refused
				posted <- struct{}{}
			})
		}
	}
	for range l.orgs * min(l.each, l.concurrent) { // as many as may be admitted while none ends
		select {
		case <-posted:
		case <-ctx.Done():
			t.Fatal("the runs that may be admitted were not")
		}
	}
	w.provider.Release()
	wg.Wait()
	t.Logf("%s; calls of the warehouse by then: %v", took, w.plan.Calls())
	if len(ids) != l.orgs*l.each {
		t.Fatalf("%d different runs were made of %d", len(ids), l.orgs*l.each)
	}
	if l.each > l.concurrent && refusals == 0 {
		t.Error("nothing was refused above the limit")
	}
	for id, org := range ids {
		if run := services[0].wait(org, id); run.Status != client.Completed {
			t.Errorf("run %s of %s ended %s: %s: %s", id, org, run.Status, run.Code, run.Error)
		}
	}
	l.check(w, ids)
}

// check judges the whole by its events, its tables and its admission logs.
func (l load) check(w *world, ids map[string]string) {
	t, runs := w.T, w.lifetimes()
	own := map[string][]lifetime{}
	for _, r := range runs {
		own[r.org] = append(own[r.org], r)
		if ids[r.id] != r.org || r.state != "COMPLETED" || r.began.IsZero() || r.end.Before(r.began) {
			t.Errorf("the events of a run say %+v", r)
		}
	}
	if len(runs) != len(ids) {
		t.Errorf("%d runs are recorded of %d", len(runs), len(ids))
	}
	if got := most(runs); got > l.global {
		t.Errorf("%d runs at once, more than %d", got, l.global)
	}
	for org, runs := range own {
		if got := most(runs); got > l.concurrent {
			t.Errorf("%s had %d runs at once, more than %d", org, got, l.concurrent)
		}
	}
	starts := startsWhileAllWait(runs)
	counts := slices.Collect(maps.Values(starts))
	t.Logf("at most %d at once; started while all had runs waiting: %v, jain %.3f", most(runs), starts, jain(counts))
	if slices.Max(counts) == 0 {
		t.Error("no run began while all organisations had runs waiting: fairness was not seen")
	} else if unfair(counts, l.impartially) {
		t.Errorf("fairness is %.3f, less than %.2f: %v", jain(counts), l.impartially, starts)
	}
	for _, org := range l.names() {
		want := fmt.Sprintf("%d %d", l.each*pageRows, l.each*pageRows)
		if diff := cmp.Diff([]string{want}, w.Lines(t, "SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, service)) FROM "+org+"_local.usage")); diff != "" {
			t.Errorf("rows of %s: %s", org, diff)
		}
		w.balanced(org, l.each)
	}
}

// balanced wants an organisation to have been charged for so many runs, and to hold
// nothing.
func (w *world) balanced(org string, runs int) {
	w.T.Helper()
	lab.Eventually(w.T, org+" holds nothing", func() bool { return len(w.tally(org).Holds) == 0 })
	got := w.tally(org)
	counted := got.Today == runs && got.Succeeded == runs
	if turned := got.Day != w.day; turned { // the runs of yesterday are in the month, if that is the same
		counted = got.Month == runs || got.Day.Month != w.day.Month
	}
	if !counted || got.Slots != 0 {
		w.T.Errorf("%s has used %+v for %d runs", org, got, runs)
	}
}

func TestACrowdOfRuns(t *testing.T) {
	t.Parallel()
	crowd.test(t)
}

func TestACrowdOfRunsOnTwoServices(t *testing.T) {
	t.Parallel()
	l := crowd
	l.services = 2
	l.test(t)
}

// TestOneKeyMakesOneRun posts one request with one Idempotency-Key many times at once.
func TestOneKeyMakesOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	services := []*service{w.serve(w.fresh()), w.serve(w.fresh())}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]int{}
	for i := range 50 {
		wg.Go(func() {
			o := day(0)
			o.Once = "the same key"
			started, err := services[i%2].as("acme").Run(t.Context(), "acme", rows, o)
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[started.ID]++
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Fatalf("one key made %v", ids)
	}
	for id := range ids {
		if run := services[1].wait("acme", id); run.Status != client.Completed {
			t.Errorf("it ended %s: %s", run.Status, run.Error)
		}
	}
	o := day(1)
	o.Once = "the same key"
	var problem *client.Error
	if _, err := services[0].as("acme").Run(t.Context(), "acme", rows, o); !errors.As(err, &problem) || problem.Status != http.StatusConflict {
		t.Errorf("the key with another body: %v", err)
	}
	if diff := cmp.Diff([]string{"1 5"}, w.Lines(t, "SELECT (SELECT COUNT(DISTINCT run_id) FROM organizations.org_meta_run_events WHERE kind = 'run'), (SELECT COUNT(*) FROM acme_local.usage)")); diff != "" {
		t.Errorf("runs and rows: %s", diff)
	}
	w.balanced("acme", 1)
}
