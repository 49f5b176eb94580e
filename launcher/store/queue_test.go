package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
	"github.com/cloudact/convergence/launcher/store"
)

// The store is what the queue asks for.
var (
	_ queue.Register  = (*store.Store)(nil)
	_ queue.Runs      = (*store.Store)(nil)
	_ queue.Active    = (*store.Store)(nil)
	_ queue.Memory    = (*store.Store)(nil)
	_ queue.Schedules = (*store.Store)(nil)
	_ queue.Board     = (*store.Store)(nil)
	_ queue.Accounts  = (*store.Accounts)(nil)
	_ queue.Launcher  = (*launcher.Launcher)(nil)
)

func (b *bench) admission(owner string) *queue.Admission {
	return queue.NewAdmission(queue.AdmissionConfig{
		Register: b.Store, Accounts: store.NewAccounts(b.Store), Runs: b.Store, Memory: b.Store, Owner: owner, Now: b.clock, ServerNow: b.ServerNow,
		Log: slog.New(slog.DiscardHandler),
	})
}

func (b *bench) limits(org string, daily, monthly, concurrent int) {
	b.exec(fmt.Sprintf("UPDATE `%s.org_subscriptions` SET daily_limit = %d, monthly_limit = %d, concurrent_limit = %d WHERE org_slug = '%s'",
		central, daily, monthly, concurrent, org))
}

func TestAccountsAreThoseOfTheNewestSubscription(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	b.seed("globex", "h2")
	b.exec("UPDATE `" + central + ".org_profiles` SET status = 'SUSPENDED' WHERE org_slug = 'globex'")
	a := store.NewAccounts(b.Store)
	p, found, err := a.Account(t.Context(), "acme")
	if err != nil || !found || p.OrgStatus != "ACTIVE" || p.DailyLimit != 100 || p.MonthlyLimit != 3000 || p.ConcurrentLimit != 20 || !p.Subscribed(b.clock()) {
		t.Errorf("acme is %+v, %t, %v", p, found, err)
	}
	if _, found, err := a.Account(t.Context(), "nobody"); found || err != nil {
		t.Errorf("nobody is found: %t, %v", found, err)
	}
	if orgs, err := a.Orgs(t.Context()); err != nil || !cmp.Equal(orgs, []string{"acme"}) {
		t.Errorf("active are %v, %v", orgs, err)
	}
	b.sent("")
	for range 20 {
		_, _, _ = a.Account(t.Context(), "acme")
	}
	if n := b.sent(""); n != 0 {
		t.Errorf("20 look-ups caused %d requests", n)
	}
	b.limits("acme", 7, 8, 9)
	b.seed("initech", "h3")
	b.advance(time.Second)
	if _, found, err := a.Account(t.Context(), "initech"); !found || err != nil {
		t.Errorf("an organisation of a second ago is not found: %v", err)
	}
	if p, _, _ := a.Account(t.Context(), "acme"); p.DailyLimit != 7 || p.ConcurrentLimit != 9 {
		t.Errorf("acme's limits are still %+v", p)
	}
}

func TestTalliesAreRemembered(t *testing.T) {
	b := newBench(t)
	if got, err := b.Recall(t.Context(), "acme"); err != nil || got.Seq != 0 {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	want := map[string]queue.Tally{
		"acme": {Seq: 7, Today: 3, Month: 9, Slots: 1, Peak: 2, Holds: queue.Holds{"r": {Slot: true, Started: true, Seq: 5, Owner: "p"}}},
		"-":    {Seq: 4},
	}
	older := map[string]queue.Tally{"acme": {Seq: 6}}
	for _, tallies := range []map[string]queue.Tally{want, older, want} {
		if err := b.Keep(t.Context(), tallies); err != nil {
			t.Fatal(err)
		}
	}
	for scope := range want {
		if got, err := b.Recall(t.Context(), scope); err != nil || !cmp.Equal(got, want[scope]) {
			t.Errorf("%s: %+v, %v", scope, got, err)
		}
	}
	if runs, err := b.Active(t.Context(), "", b.clock()); err != nil || len(runs) != 0 {
		t.Errorf("tallies are taken for runs: %+v, %v", runs, err)
	}
}

// Two processes share one log: neither day nor slots are given away twice, and a third
// process that starts later knows all of it.
func TestTwoProcessesNeverAdmitMoreThanThePlanAllows(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	b.limits("acme", 6, 100, 3)
	processes := []*queue.Admission{b.admission("p1"), b.admission("p2")}
	var mu sync.Mutex
	var admitted []launcher.Run
	codes := map[launcher.Code]int{}
	ask := func(n int) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				run := launcher.Run{ID: uuid.NewString(), Org: "acme", Trigger: "api", State: launcher.Pending}
				err := processes[i%2].Admit(context.Background(), run, nil)
				mu.Lock()
				defer mu.Unlock()
				var refused *launcher.Error
				switch {
				case err == nil:
					admitted = append(admitted, run)
				case errors.As(err, &refused):
					codes[refused.Code]++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	ask(10)
	if len(admitted) != 3 || codes[launcher.CodeConcurrentLimit] != 7 {
		t.Fatalf("%d admitted, %v", len(admitted), codes)
	}
	for i, run := range admitted {
		run.State, run.Began = launcher.Completed, b.clock()
		for range 2 { // whoever ends it, and however often
			if err := processes[i%2].Release(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(10)
	if len(admitted) != 6 || codes[launcher.CodeConcurrentLimit] != 7 || codes[launcher.CodeDailyQuota] != 7 {
		t.Fatalf("%d admitted, %v", len(admitted), codes)
	}
	late := b.admission("p3")
	u, err := late.Usage(t.Context(), "acme")
	if err != nil || u.Today != 6 || u.Month != 6 || u.Slots != 3 || u.Succeeded != 3 || u.Peak != 3 {
		t.Errorf("a process that starts later sees %+v, %v", u, err)
	}
	err = late.Admit(t.Context(), launcher.Run{ID: uuid.NewString(), Org: "acme", Trigger: "api"}, nil)
	var refused *launcher.Error
	if !errors.As(err, &refused) || refused.Code != launcher.CodeDailyQuota || refused.RetryAfter <= 0 || refused.RetryAfter > 24*time.Hour {
		t.Errorf("a seventh run: %v", err)
	}
	if err := b.ShowUsage(t.Context(), b.clock(), u); err != nil {
		t.Fatal(err)
	}
	if err := b.ShowUsage(t.Context(), b.clock(), u); err != nil {
		t.Fatal(err)
	}
	want(t, b.lines("SELECT org_slug, pipelines_run_today, pipelines_run_month, pipelines_succeeded_today, concurrent_pipelines_running, daily_limit, monthly_limit, concurrent_limit, max_concurrent_reached FROM `"+central+".org_usage_quotas`"),
		"acme 6 6 3 3 6 100 3 3")
	if n, err := b.DropUsage(t.Context(), b.clock().AddDate(0, 0, -90)); n != 0 || err != nil {
		t.Errorf("today's row is dropped: %d, %v", n, err)
	}
	if n, err := b.DropUsage(t.Context(), b.clock().AddDate(0, 0, 2)); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	b := newBench(t)
	a, other := b.admission("p1"), b.admission("p2")
	first, seen, err := a.Once(t.Context(), "acme", "key", []byte("body"))
	if err != nil || seen || uuid.Validate(first) != nil {
		t.Fatalf("first: %s, %t, %v", first, seen, err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if id, seen, err := other.Once(context.Background(), "acme", "key", []byte("body")); err != nil || !seen || id != first {
				t.Errorf("again: %s, %t, %v", id, seen, err)
			}
		})
	}
	wg.Wait()
	_, _, err = other.Once(t.Context(), "acme", "key", []byte("another body"))
	var refused *launcher.Error
	if !errors.As(err, &refused) || refused.Code != launcher.CodeIdempotencyConflict {
		t.Errorf("another body: %v", err)
	}
	if id, seen, err := a.Once(t.Context(), "globex", "key", []byte("another body")); err != nil || seen || id == first {
		t.Errorf("the key of another org: %s, %t, %v", id, seen, err)
	}
	for range 2 {
		if err := a.Forget(t.Context(), "acme", "key", first); err != nil {
			t.Fatal(err)
		}
	}
	if id, seen, err := other.Once(t.Context(), "acme", "key", []byte("another body")); err != nil || seen || id == first {
		t.Errorf("after a refusal: %s, %t, %v", id, seen, err)
	}
	for _, key := range []string{"", strings.Repeat("k", 256)} {
		if _, _, err := a.Once(t.Context(), "acme", key, nil); !errors.As(err, &refused) || refused.Code != launcher.CodeInvalidParameter {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
}

// What is called one request must be one: many ask for a name at once, one gets it, and
// everybody is told the same.
func TestRegisterIsLinearizable(t *testing.T) {
	b := newBench(t)
	type answer struct{ owner, value string }
	type input struct {
		name, owner string
		look        bool
	}
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byName := map[string][]porcupine.Operation{}
			for _, op := range history {
				byName[op.Input.(input).name] = append(byName[op.Input.(input).name], op)
			}
			var out [][]porcupine.Operation
			for _, ops := range byName {
				out = append(out, ops)
			}
			return out
		},
		Init: func() any { return answer{} },
		Step: func(state, in, out any) (bool, any) {
			held, i := state.(answer), in.(input)
			if held == (answer{}) && !i.look {
				held = answer{i.owner, "v-" + i.owner}
			}
			return out.(answer) == held, held
		},
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	start := time.Now()
	for c := range 6 {
		wg.Go(func() {
			for i := range 8 {
				in := input{name: fmt.Sprintf("race/%d", i/2), owner: fmt.Sprintf("p%d", c), look: (i+c)%3 == 0}
				call := time.Since(start).Nanoseconds()
				var got launcher.Claim
				var err error
				if in.look {
					got, _, err = b.Look(context.Background(), in.name)
				} else {
					got, err = b.Acquire(context.Background(), in.name, in.owner, "v-"+in.owner)
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: c, Input: in, Call: call, Output: answer{got.Owner, got.Value}, Return: time.Since(start).Nanoseconds(),
				})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !porcupine.CheckOperations(model, history) {
		t.Errorf("the register is not linearizable: %+v", history)
	}
	history[0].Output = answer{"nobody", "v-nobody"}
	if porcupine.CheckOperations(model, history) {
		t.Error("the check takes everything for linearizable")
	}
}

func pipeline(org, template string, next time.Time) queue.Pipeline {
	p := queue.Pipeline{
		Org: org, Provider: "openai", Domain: "cost", Template: template, Cron: "0 2 * * *", Timezone: "UTC", Active: true, Priority: 5,
		Params: map[string]string{"model": "gpt"}, NextRun: next, Created: next.Add(-48 * time.Hour),
	}
	p.ConfigID = queue.ConfigID(p)
	return p
}

func TestScheduledPipelinesAreKept(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	b.seed("globex", "h2")
	now := b.clock().Truncate(time.Microsecond)
	p1, p2, p3 := pipeline("acme", "usage", now.Add(-time.Hour)), pipeline("acme", "cost", now.Add(time.Hour)), pipeline("globex", "usage", time.Time{})
	p3.Created = now
	for range 2 {
		if err := b.Put(t.Context(), p1, p2, p3); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Pipelines(t.Context(), "globex")
	if err != nil || !cmp.Equal(got, []queue.Pipeline{p3}) {
		t.Errorf("globex has %s, %v", cmp.Diff([]queue.Pipeline{p3}, got), err)
	}
	if got, err := b.Pipelines(t.Context(), "acme"); err != nil || len(got) != 2 {
		t.Errorf("acme has %+v, %v", got, err)
	}
	due := func(org string, want ...string) {
		t.Helper()
		got, err := b.Due(t.Context(), org, now, 10)
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, p := range got {
			ids = append(ids, p.Org+"/"+p.Template)
		}
		if !cmp.Equal(ids, append([]string{}, want...)) {
			t.Errorf("due of %q are %v, want %v", org, ids, want)
		}
	}
	due("", "globex/usage", "acme/usage")
	due("acme", "acme/usage")
	p1.Active = false
	p1.Updated = now
	if err := b.Put(t.Context(), p1); err != nil {
		t.Fatal(err)
	}
	due("acme")
	b.exec("UPDATE `" + central + ".org_subscriptions` SET trial_end_date = DATE '2020-01-01' WHERE org_slug = 'globex'")
	due("")
	// A row as the predecessor wrote it: parameters encoded twice, values of any type.
	b.exec("INSERT INTO `" + central + ".org_pipeline_configs` (config_id, org_slug, provider, domain, pipeline_template, schedule_cron, timezone, is_active, parameters, priority, created_at) " +
		"VALUES ('old', 'initech', 'gcp', 'cost', 'billing', '0 4 * * *', 'UTC', TRUE, JSON '\"{\\\\\"days\\\\\": 3, \\\\\"full\\\\\": true}\"', 5, TIMESTAMP '2026-01-01 00:00:00+00')")
	if got, err := b.Pipelines(t.Context(), "initech"); err != nil || len(got) != 1 || !cmp.Equal(got[0].Params, map[string]string{"days": "3", "full": "true"}) {
		t.Errorf("initech has %+v, %v", got, err)
	}
}

func TestQueueTablesShowRuns(t *testing.T) {
	b := newBench(t)
	now := b.clock().Truncate(time.Microsecond)
	slot := now.Add(-time.Hour)
	p := pipeline("acme", "usage", slot)
	if err := b.Put(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	run := launcher.Run{ID: uuid.NewString(), Org: "acme", PipelineID: "acme-openai-cost-usage", State: launcher.Pending, Attempt: 1, Start: now, Priority: 2}
	next := p
	next.NextRun, next.LastRun, next.LastStatus = now.Add(23*time.Hour), slot, "RUNNING"
	firing := queue.Firing{RunID: run.ID, Pipeline: p, Tracking: run.PipelineID, Slot: slot, Run: run}
	broken := queue.Firing{RunID: uuid.NewString(), Pipeline: p, Tracking: run.PipelineID, Slot: slot.Add(-24 * time.Hour), Error: "there is no such pipeline"}
	for range 2 { // two schedulers fire the same slots
		if err := b.Fired(t.Context(), []queue.Pipeline{next}, []queue.Firing{broken, firing}); err != nil {
			t.Fatal(err)
		}
	}
	slots := "SELECT state, COALESCE(error_message, '-'), retry_count, completed_at IS NOT NULL, failed_at IS NOT NULL FROM `" + central + ".org_scheduled_pipeline_runs` ORDER BY scheduled_time"
	rows := "SELECT state, priority, processing_started_at IS NOT NULL FROM `" + central + ".org_pipeline_execution_queue`"
	status := "SELECT last_run_status, TIMESTAMP_DIFF(next_run_time, last_run_time, HOUR) FROM `" + central + ".org_pipeline_configs`"
	want(t, b.lines(slots), "FAILED there is no such pipeline 0 false true", "QUEUED - 0 false false")
	show := func(run launcher.Run, state string) {
		t.Helper()
		for range 2 {
			if err := b.ShowQueue(t.Context(), queue.Row{Run: run, State: state, Priority: 2}); err != nil {
				t.Fatal(err)
			}
		}
	}
	show(run, queue.Queued)
	want(t, b.lines(rows), "QUEUED 2 false")
	run.State, run.Began = launcher.Running, now
	show(run, queue.Processing)
	want(t, b.lines(rows), "PROCESSING 2 true")
	run.State, run.Attempt, run.Error = launcher.Pending, 2, "the provider was away"
	show(run, queue.RetryWait)
	want(t, b.lines(rows), "RETRY_WAIT 2 true")
	want(t, b.lines(slots), "FAILED there is no such pipeline 0 false true", "QUEUED the provider was away 1 false false")
	run.State, run.End, run.Error = launcher.Completed, now, ""
	show(run, "")
	want(t, b.lines(rows))
	want(t, b.lines(slots), "FAILED there is no such pipeline 0 false true", "COMPLETED - 1 true false")
	want(t, b.lines(status), "SUCCESS 24")
	counts, err := b.Counts(t.Context(), "acme", now)
	if err != nil || counts.ActivePipelines != 1 || counts.Due != 0 || now.Hour() > 0 && counts.CompletedToday != 1 {
		t.Errorf("counts are %+v, %v", counts, err)
	}
	if counts, err := b.Counts(t.Context(), "globex", now); err != nil || counts != (queue.Counts{}) {
		t.Errorf("of another org: %+v, %v", counts, err)
	}
	run.State = launcher.Running
	show(run, queue.Processing)
	if err := b.Clear(t.Context(), []string{run.ID}, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	want(t, b.lines(rows), "PROCESSING 2 true")
	if err := b.Clear(t.Context(), nil, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	want(t, b.lines(rows))
}

func TestRunsAreReadByID(t *testing.T) {
	b := newBench(t)
	r1, r2 := uuid.NewString(), uuid.NewString()
	b.append(b.event("acme", r1, launcher.Pending), b.event("acme", r1, launcher.Running), b.event("globex", r2, launcher.Pending))
	for org, want := range map[string]int{"acme": 1, "globex": 1, "": 2, "initech": 0} {
		runs, err := b.Runs(t.Context(), org, []string{r1, r2, uuid.NewString()})
		if err != nil || len(runs) != want || org == "acme" && runs[r1].State != launcher.Running {
			t.Errorf("%q has %+v, %v", org, runs, err)
		}
	}
}

func TestAuditEntriesAreWrittenInBatches(t *testing.T) {
	for name, age := range map[string]time.Duration{"by INSERT": 0, "by streaming": 11 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.advance(age)
			b.sent("")
			var text bytes.Buffer
			a := store.NewAudit(b.Store, slog.New(slog.NewTextHandler(&text, nil)))
			for i := range 300 {
				ok := a.Append(t.Context(), store.AuditEntry{
					Org: "acme", KeyID: "k1", Action: "EXECUTE", ResourceType: "PIPELINE", ResourceID: fmt.Sprint(i), Address: "192.0.2.1", RequestID: "q1",
					Status: "SUCCESS", Details: map[string]string{"trigger": "api"},
				})
				if !ok {
					t.Fatal("refused")
				}
			}
			a.Append(t.Context(), store.AuditEntry{Org: "acme", Action: "EXECUTE", ResourceType: "PIPELINE", Status: "DENIED", Error: "scope"})
			a.Close()
			if n := b.sent("insertAll") + b.sent("/jobs"); n > 4 {
				t.Errorf("301 entries took %d requests", n)
			}
			want(t, b.lines("SELECT status, COUNT(*), COUNT(DISTINCT audit_id), MAX(ip_address), MAX(JSON_VALUE(details, '$.trigger')) FROM `"+central+".org_audit_logs` WHERE org_slug = 'acme' GROUP BY 1 ORDER BY 1"),
				"DENIED 1 1 <nil> <nil>", "SUCCESS 300 300 192.0.2.1 api")
			if a.Append(t.Context(), store.AuditEntry{Org: "acme", Action: "LATE"}) || !strings.Contains(text.String(), "LATE") {
				t.Error("an entry after the end is lost without a word")
			}
		})
	}
}

func TestAuditDoesNotHoldCallersUp(t *testing.T) {
	b := newBench(t)
	stuck := make(chan struct{})
	b.spoilWith(func(http.ResponseWriter, *http.Request) bool { <-stuck; return false })
	a := store.NewAudit(b.Store, slog.New(slog.DiscardHandler))
	start := time.Now()
	for range 2000 {
		a.Append(t.Context(), store.AuditEntry{Org: "acme", Action: "EXECUTE", ResourceType: "PIPELINE", Status: "SUCCESS"})
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("2000 entries took %s while the warehouse did not answer", took)
	}
	b.spoilWith(nil)
	close(stuck)
	a.Close()
	want(t, b.lines("SELECT COUNT(*) FROM `"+central+".org_audit_logs`"), "2000")
}
