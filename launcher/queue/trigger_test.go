package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

// desk is a queue over things in memory: the tables of schedules, a launcher that records
// runs and starts them at once, and a board.
type desk struct {
	*queue.Queue
	*office
	mu        sync.Mutex // of what workers change
	pipelines map[string]queue.Pipeline
	firings   map[string]queue.Firing
	lost      bool // the record of fired slots is lost once
	refuse    map[string]error
	asked     []launcher.Request
	started   []string
	answer    func(id string) error // of Start
	templates []queue.Template
	rows      map[string]string
	usages    map[string]queue.Usage
	cancelled []string
	orphans   []launcher.Run
}

func newDesk(t *testing.T, now time.Time) *desk {
	d := &desk{
		office: newOffice(t), pipelines: map[string]queue.Pipeline{}, firings: map[string]queue.Firing{}, refuse: map[string]error{},
		answer: func(string) error { return nil }, rows: map[string]string{}, usages: map[string]queue.Usage{},
		templates: []queue.Template{
			{Provider: "openai", Domain: "cost", Name: "usage", Cron: "0 2 * * *", LookbackDays: 3, Requires: []string{"openai"}},
			{Provider: "openai", Name: "plans", Cron: "0 3 1 * *", Timezone: "Europe/Berlin", Requires: []string{"openai"}},
			{Provider: "gcp", Domain: "cost", Name: "billing", Cron: "0 4 * * *", Requires: []string{"gcp_sa"}},
			{Provider: "example", Domain: "a", Name: "manual"},
		},
	}
	d.now = now
	d.Queue = queue.New(queue.Config{
		Launcher: d, Active: d, Runs: d, Admission: d.Admission, Schedules: d, Catalog: d, Board: d, Owner: "p1", Scheduler: true,
		Now: func() time.Time { return d.now }, Log: slog.New(slog.DiscardHandler),
	})
	return d
}

func (d *desk) Templates(string) []queue.Template { return d.templates }

func (d *desk) Pipelines(_ context.Context, org string) ([]queue.Pipeline, error) {
	var out []queue.Pipeline
	for _, id := range slices.Sorted(maps.Keys(d.pipelines)) {
		if p := d.pipelines[id]; p.Org == org {
			out = append(out, p)
		}
	}
	return out, nil
}

func (d *desk) Due(_ context.Context, org string, now time.Time, limit int) ([]queue.Pipeline, error) {
	var out []queue.Pipeline
	for _, id := range slices.Sorted(maps.Keys(d.pipelines)) {
		if p := d.pipelines[id]; p.Active && (org == "" || org == p.Org) && !p.NextRun.After(now) && len(out) < limit {
			out = append(out, p)
		}
	}
	return out, nil
}

func (d *desk) Put(_ context.Context, pipelines ...queue.Pipeline) error {
	for _, p := range pipelines {
		d.pipelines[p.ConfigID] = p
	}
	return nil
}

func (d *desk) Fired(_ context.Context, next []queue.Pipeline, firings []queue.Firing) error {
	if d.lost {
		d.lost = false
		return errors.New("no answer")
	}
	for _, f := range firings {
		d.firings[f.RunID] = f
	}
	return d.Put(context.Background(), next...)
}

func (d *desk) Submit(ctx context.Context, r launcher.Request) (launcher.Run, bool, error) {
	d.asked = append(d.asked, r)
	if err := d.refuse[r.Start.String()]; err != nil {
		return launcher.Run{}, false, err
	}
	if run, known := d.w.runs[r.RunID]; known {
		return run, true, nil
	}
	run := launcher.Run{ID: r.RunID, Org: r.Org, PipelineID: r.Template, Trigger: r.Trigger, State: launcher.Pending, Attempt: 1, Start: d.now, Priority: r.Priority, Submitter: "p1"}
	if err := d.Admit(ctx, run, nil); err != nil {
		return run, false, err
	}
	d.w.runs[run.ID] = run
	return run, false, nil
}

func (d *desk) Start(ctx context.Context, _, id string) error {
	d.mu.Lock()
	d.started = append(d.started, id)
	answer := d.answer
	d.mu.Unlock()
	if err := answer(id); err != nil {
		return err
	}
	run := d.change(id, func(run *launcher.Run) {
		run.State, run.Began, run.End = launcher.Completed, d.now, d.now
	})
	return d.Release(ctx, run)
}

// change changes a run.
func (d *desk) change(id string, how func(run *launcher.Run)) launcher.Run {
	d.mu.Lock()
	defer d.mu.Unlock()
	run := d.w.runs[id]
	how(&run)
	d.w.runs[id] = run
	return run
}

// starts returns how often something was started.
func (d *desk) starts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.started)
}

func (d *desk) Cancel(_ context.Context, _, id string, _ bool) (launcher.Run, error) {
	d.cancelled = append(d.cancelled, id)
	return d.w.runs[id], nil
}

func (d *desk) Recover(context.Context) error {
	for _, run := range d.orphans {
		d.Enqueue(run)
	}
	return nil
}

func (d *desk) Active(_ context.Context, org string, _ time.Time) (out []launcher.Run, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(d.w.runs)) {
		if run := d.w.runs[id]; (org == "" || org == run.Org) && !run.State.Terminal() {
			out = append(out, run)
		}
	}
	return out, nil
}

func (d *desk) Runs(_ context.Context, _ string, ids []string) (map[string]launcher.Run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]launcher.Run{}
	for _, id := range ids {
		if run, known := d.w.runs[id]; known {
			out[id] = run
		}
	}
	return out, nil
}

func (d *desk) ShowQueue(_ context.Context, rows ...queue.Row) error {
	for _, r := range rows {
		d.rows[r.Run.ID] = r.State
		if r.State == "" {
			delete(d.rows, r.Run.ID)
		}
	}
	return nil
}

func (d *desk) Clear(context.Context, []string, time.Time) error { return nil }

func (d *desk) Counts(context.Context, string, time.Time) (queue.Counts, error) {
	return queue.Counts{CompletedToday: 7}, nil
}

func (d *desk) ShowUsage(_ context.Context, _ time.Time, usages ...queue.Usage) error {
	for _, u := range usages {
		d.usages[u.Org] = u
	}
	return nil
}

func (d *desk) DropUsage(context.Context, time.Time) (int64, error) { return 3, nil }

func (d *desk) schedule(p queue.Pipeline) queue.Pipeline {
	d.t.Helper()
	p.Org = "acme"
	out, err := d.Schedule(context.Background(), p)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *desk) trigger() queue.Triggered {
	d.t.Helper()
	out, err := d.Trigger(context.Background(), "", 100)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

var usage = queue.Pipeline{Provider: "openai", Domain: "cost", Template: "usage", Cron: "0 2 * * *", Active: true}

func TestEachMissedSlotBecomesOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, at("2026-06-01 12:00"))
		p := d.schedule(usage)
		if !p.NextRun.Equal(at("2026-06-02 02:00")) || p.Priority != queue.DefaultPriority || p.Timezone != "UTC" {
			t.Errorf("scheduled as %+v", p)
		}
		if out := d.trigger(); out.Triggered != 0 || out.Details.Due != 0 {
			t.Errorf("before its time: %+v", out)
		}
		d.now, d.lost = at("2026-06-04 03:00"), true // the service was down for two days
		if _, err := d.Trigger(context.Background(), "", 100); err == nil {
			t.Error("a lost record is not reported")
		}
		out := d.trigger() // by another process, or again
		if out.Triggered != 3 || out.Queued != 0 || out.Skipped != 0 || out.Next == nil || !out.Next.Equal(at("2026-06-05 02:00")) {
			t.Errorf("after two days: %+v", out)
		}
		if len(d.w.runs) != 3 || len(d.firings) != 3 {
			t.Errorf("%d runs, %d slots", len(d.w.runs), len(d.firings))
		}
		for i, want := range []string{"2026-05-29 2026-06-01", "2026-05-30 2026-06-02", "2026-05-31 2026-06-03"} {
			if r := d.asked[i]; r.Start.String()+" "+r.End.String() != want || r.Trigger != "scheduler" || r.Priority != queue.DefaultPriority {
				t.Errorf("slot %d asks for %s to %s by %s", i, r.Start, r.End, r.Trigger)
			}
		}
		if out := d.trigger(); out.Triggered != 0 {
			t.Errorf("again: %+v", out)
		}
		d.now = at("2026-08-01 12:00") // down for longer than missed slots are made up for
		if out := d.trigger(); out.Triggered != 7 {
			t.Errorf("after two months: %+v", out)
		}
	})
}

func TestSlotThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, at("2026-06-01 12:00"))
		d.accounts["acme"] = account(2, 100, 10)
		d.schedule(usage)
		d.now = at("2026-06-05 03:00")
		d.refuse["2026-05-29"] = &launcher.Error{Code: launcher.CodeInvalidPipeline, Message: "the document has errors"}
		out := d.trigger()
		if out.Triggered != 2 || out.Skipped != 2 || len(d.w.runs) != 2 || !out.Next.Equal(at("2026-06-05 02:00")) {
			t.Errorf("two a day: %+v, %d runs", out, len(d.w.runs))
		}
		failed := 0
		for _, f := range d.firings {
			if strings.Contains(f.Error, "has errors") && f.Slot.Equal(at("2026-06-02 02:00")) {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("a slot that cannot be run is not recorded: %+v", d.firings)
		}
		d.now = at("2026-06-06 03:00") // a new day
		if out := d.trigger(); out.Triggered != 2 || len(d.w.runs) != 4 {
			t.Errorf("the next day: %+v", out)
		}
	})
}

func TestSchedulingPipelines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, at("2026-06-01 12:00"))
		ctx := context.Background()
		for _, c := range []struct {
			change func(p *queue.Pipeline)
			code   launcher.Code
		}{
			{func(p *queue.Pipeline) { p.Cron = "every day" }, launcher.CodeInvalidParameter},
			{func(p *queue.Pipeline) { p.Timezone = "Mars" }, launcher.CodeInvalidParameter},
			{func(p *queue.Pipeline) { p.Priority = 11 }, launcher.CodeInvalidParameter},
			{func(p *queue.Pipeline) { p.Template = "none" }, launcher.CodePipelineNotFound},
		} {
			p := usage
			p.Org = "acme"
			c.change(&p)
			_, err := d.Schedule(ctx, p)
			var refused *launcher.Error
			if !errors.As(err, &refused) || refused.Code != c.code {
				t.Errorf("%+v: %v", p, err)
			}
		}
		first := d.schedule(usage)
		changed := usage
		changed.Cron, changed.Params = "0 5 * * *", nil
		second := d.schedule(changed)
		if second.ConfigID != first.ConfigID || !second.Created.Equal(first.Created) || second.Updated.IsZero() || len(d.pipelines) != 1 {
			t.Errorf("adding again made %+v", second)
		}
		changed.Params = map[string]string{"project": "x"}
		d.schedule(changed)
		if err := d.Unschedule(ctx, "acme", first.ConfigID); err != nil {
			t.Fatal(err)
		}
		var refused *launcher.Error
		for _, org := range []string{"globex", "acme"} {
			if err := d.Unschedule(ctx, org, map[string]string{"globex": first.ConfigID, "acme": "none"}[org]); !errors.As(err, &refused) || refused.Code != queue.CodeConfigNotFound {
				t.Errorf("of %s: %v", org, err)
			}
		}
		active, off := true, false
		on, _ := d.Queue.Pipelines(ctx, "acme", &active)
		stopped, _ := d.Queue.Pipelines(ctx, "acme", &off)
		if len(on) != 1 || len(stopped) != 1 || stopped[0].ConfigID != first.ConfigID {
			t.Errorf("active %+v, not %+v", on, stopped)
		}
		// Defaults come with an integration, once, and not what was taken out before.
		for i, want := range []int{1, 0} {
			added, err := d.AddDefaults(ctx, "acme", "openai")
			if err != nil || len(added) != want {
				t.Errorf("%d: added %+v, %v", i, added, err)
			}
		}
		if added, err := d.AddDefaults(ctx, "acme", "gcp_sa"); err != nil || len(added) != 1 || added[0].Template != "billing" || !added[0].Active {
			t.Errorf("added %+v, %v", added, err)
		}
	})
}

func TestParametersAreTexts(t *testing.T) {
	got, err := queue.TextParams(map[string]any{"a": "x", "b": true, "c": 3.0, "d": 0.5, "e": nil, "f": 1e300})
	if err != nil || fmt.Sprint(got) != "map[a:x b:true c:3 d:0.5 f:1e+300]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, v := range []any{[]any{1}, map[string]any{}} {
		if _, err := queue.TextParams(map[string]any{"a": v}); err == nil {
			t.Errorf("%v is taken", v)
		}
	}
}

func TestProcessStartsWhatMayStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, at("2026-06-01 12:00"))
		ctx := context.Background()
		out, err := d.Process(ctx, 50*time.Second)
		if err != nil || out.Processed || out.Status != "IDLE" || out.RunID != nil || len(out.Started) != 0 {
			t.Errorf("nothing to do: %+v, %v", out, err)
		}
		d.accounts["acme"] = account(100, 100, 2)
		hold := make(chan struct{})
		d.answer = func(string) error { <-hold; return nil }
		d.schedule(usage)
		d.now = at("2026-06-05 03:00")
		d.trigger()
		out, err = d.Process(ctx, 50*time.Second)
		if err != nil || out.Count != 2 || out.Status != "BATCH_COMPLETE" || out.Org == nil || *out.Org != "acme" || len(out.Started) != 2 {
			t.Errorf("two slots: %+v, %v", out, err)
		}
		rows, err := d.List(ctx, "acme", queue.Filter{State: queue.Queued})
		if err != nil || len(rows) != 4 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		if rows, err := d.List(ctx, "globex", queue.Filter{}); err != nil || len(rows) != 0 {
			t.Errorf("another org sees %+v, %v", rows, err)
		}
		if s, err := d.Status(ctx, ""); err != nil || s.Queued != 4 || s.QueueLength != 4 || s.CompletedToday != 7 {
			t.Errorf("status %+v, %v", s, err)
		}
		if err := d.Show(ctx); err != nil || len(d.rows) != 4 {
			t.Errorf("shown are %v, %v", d.rows, err)
		}
		close(hold)
		synctest.Wait()
		for range 3 {
			time.Sleep(time.Second)
			synctest.Wait()
			_, err := d.Process(ctx, 50*time.Second)
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := d.Show(ctx); err != nil || len(d.rows) != 0 || d.usages["acme"].Succeeded != 4 {
			t.Errorf("in the end %v, %+v, %v", d.rows, d.usages, err)
		}
		if r, err := d.ResetDailyQuotas(ctx); err != nil || r.Updated != 1 || r.Archived != 3 || r.Status != "success" {
			t.Errorf("reset %+v, %v", r, err)
		}
		d.Close()
	})
}

// A run that waits for another one has no slot, and is tried when that one has ended; one
// that could not be started is tried later and later.
func TestRunsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, at("2026-06-01 12:00"))
		start := time.Now()
		base := d.now
		tick := func(after time.Duration) {
			time.Sleep(time.Until(start.Add(after)))
			d.now = base.Add(time.Since(start))
			if _, err := d.Process(context.Background(), 50*time.Second); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		holder, waiter := newRun("scheduler"), newRun("scheduler")
		holder.State, holder.Start, waiter.Start = launcher.Running, d.now, d.now
		d.admits(waiter, "")
		d.w.runs[holder.ID], d.w.runs[waiter.ID] = holder, waiter
		d.answer = func(id string) error {
			d.change(id, func(run *launcher.Run) { run.WaitingFor = holder.ID })
			return &launcher.Waiting{Run: id, For: holder.ID}
		}
		tick(time.Second)
		tick(10 * time.Second)
		if u := d.usage(); d.starts() != 1 || u.Slots != 0 || u.Today != 1 {
			t.Errorf("started %d times, usage %+v", d.starts(), u)
		}
		tick(80 * time.Second) // now and then all the same
		if d.starts() != 2 {
			t.Errorf("started %d times in a minute", d.starts())
		}
		d.change(holder.ID, func(run *launcher.Run) { run.State = launcher.Completed })
		d.answer = func(string) error { return errors.New("the runner is away") }
		tick(90 * time.Second)
		if d.starts() != 3 {
			t.Errorf("started %d times after the other run had ended", d.starts())
		}
		for s := 92; s < 300; s += 2 {
			tick(time.Duration(s) * time.Second)
		}
		if n := d.starts(); n < 6 || n > 9 {
			t.Errorf("%d starts in 300 s although each fails", n)
		}
		// The subscription ends meanwhile.
		p := account(10, 10, 10)
		p.SubscriptionStatus = "CANCELLED"
		d.accounts["acme"] = p
		tick(700 * time.Second)
		if !slices.Equal(d.cancelled, []string{waiter.ID}) {
			t.Errorf("cancelled are %v", d.cancelled)
		}
		d.Close()
	})
}

func TestOnlyRunsThatNobodyWorksOnAreCleanedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, at("2026-06-01 12:00"))
		lively, dead, young, queued := newRun("api"), newRun("api"), newRun("api"), newRun("scheduler")
		for i, run := range []*launcher.Run{&lively, &dead, &young} {
			run.State, run.Start, run.Began = launcher.Running, d.now, d.now.Add(-[]time.Duration{3 * time.Hour, 2 * time.Hour, time.Minute}[i])
			d.w.runs[run.ID] = *run
		}
		queued.Start = d.now.Add(-5 * time.Hour)
		d.w.runs[queued.ID] = queued
		ended := newRun("api")
		d.admits(ended, "")
		ended.State, ended.Began = launcher.Completed, d.now
		d.w.runs[ended.ID] = ended
		d.orphans = []launcher.Run{dead, young}
		out, err := d.CleanupOrphaned(context.Background(), time.Hour)
		if err != nil || !slices.Equal(d.cancelled, []string{dead.ID}) || out.Cleaned != 2 || out.Orgs != 1 || out.OrgsWithSome != 1 || len(out.Details) != 1 {
			t.Errorf("cancelled %v, answer %+v, %v", d.cancelled, out, err)
		}
	})
}
