package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

// office is an admission over a register in memory, with a clock and accounts that tests
// set. It must be used within a synctest bubble: requests take time.
type office struct {
	*queue.Admission
	t        *testing.T
	w        *world
	now      time.Time
	accounts map[string]launcher.Principal
	valid    map[string]bool // integrations
	fault    error
}

func newOffice(t *testing.T) *office {
	w := newWorld(1, none)
	w.calm = true
	o := &office{t: t, w: w, now: time.Date(2026, 6, 29, 22, 0, 0, 0, time.UTC), accounts: map[string]launcher.Principal{}, valid: map[string]bool{}}
	o.Admission = o.open("p1")
	o.accounts["acme"] = account(10, 10, 10)
	return o
}

func account(daily, monthly, concurrent int64) launcher.Principal {
	return launcher.Principal{OrgStatus: "ACTIVE", SubscriptionStatus: "ACTIVE", DailyLimit: daily, MonthlyLimit: monthly, ConcurrentLimit: concurrent}
}

func (o *office) open(owner string) *queue.Admission {
	p := &process{w: o.w, ctx: context.Background(), cancel: func() {}}
	clock := func() time.Time { return o.now }
	return queue.NewAdmission(queue.AdmissionConfig{
		Register: register{p}, Accounts: o, Integrations: o, Runs: records{p}, Owner: owner, Now: clock, Log: slog.New(slog.DiscardHandler),
		Requires:  func(plan *launcher.Plan) []string { return []string{plan.Pipeline} },
		ServerNow: func(context.Context) (time.Time, error) { return time.Now(), nil },
	})
}

// Account implements queue.Accounts.
func (o *office) Account(_ context.Context, org string) (launcher.Principal, bool, error) {
	p, found := o.accounts[org]
	return p, found, o.fault
}

// Orgs implements queue.Accounts.
func (o *office) Orgs(context.Context) ([]string, error) { return []string{"acme"}, o.fault }

// Configured implements queue.Integrations.
func (o *office) Configured(_ context.Context, org, provider string) (bool, error) {
	return o.valid[org+"/"+provider], nil
}

func newRun(trigger string) launcher.Run {
	return launcher.Run{ID: uuid.NewString(), Org: "acme", Trigger: trigger, State: launcher.Pending, Attempt: 1}
}

// admits asks for a run and returns when to ask again.
func (o *office) admits(run launcher.Run, code launcher.Code) time.Duration {
	o.t.Helper()
	err := o.Admit(context.Background(), run, nil)
	var refused *launcher.Error
	if errors.As(err, &refused); err != nil && refused == nil || code == "" && err != nil || code != "" && (refused == nil || refused.Code != code) {
		o.t.Errorf("answer is %v, want code %q", err, code)
	}
	if refused == nil {
		return 0
	}
	return refused.RetryAfter
}

func (o *office) usage() queue.Tally {
	o.t.Helper()
	u, err := o.Usage(context.Background(), "acme")
	if err != nil {
		o.t.Fatal(err)
	}
	return u.Tally
}

func (o *office) end(run launcher.Run, state launcher.State, began bool) {
	o.t.Helper()
	if run.State = state; began {
		run.Began = o.now
	}
	if err := o.Release(context.Background(), run); err != nil {
		o.t.Fatal(err)
	}
}

func TestWhoMayHaveRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		yesterday := time.Date(2026, 6, 28, 0, 0, 0, 0, time.UTC)
		for _, c := range []struct {
			name   string
			change func(p *launcher.Principal)
			code   launcher.Code
		}{
			{"active", func(*launcher.Principal) {}, ""},
			{"trial", func(p *launcher.Principal) { p.SubscriptionStatus = "TRIAL" }, ""},
			{"last day of a trial", func(p *launcher.Principal) { p.SubscriptionStatus, p.TrialEnd = "TRIAL", yesterday.AddDate(0, 0, 1) }, ""},
			{"suspended", func(p *launcher.Principal) { p.OrgStatus = "SUSPENDED" }, launcher.CodeForbidden},
			{"no subscription", func(p *launcher.Principal) { p.SubscriptionStatus = "" }, launcher.CodeSubscriptionInactive},
			{"cancelled", func(p *launcher.Principal) { p.SubscriptionStatus = "CANCELLED" }, launcher.CodeSubscriptionInactive},
			{"trial over", func(p *launcher.Principal) { p.SubscriptionStatus, p.TrialEnd = "TRIAL", yesterday }, launcher.CodeSubscriptionInactive},
			{"subscription over", func(p *launcher.Principal) { p.SubscriptionEnd = yesterday }, launcher.CodeSubscriptionInactive},
			{"no runs a day", func(p *launcher.Principal) { p.DailyLimit = 0 }, launcher.CodeDailyQuota},
		} {
			p := account(100, 100, 100)
			c.change(&p)
			o.accounts["acme"] = p
			t.Log(c.name)
			o.admits(newRun("api"), c.code)
			if _, err := o.Occupy(context.Background(), "acme", uuid.NewString()); (err == nil) != (c.code == "") {
				t.Errorf("%s: occupying answers %v", c.name, err)
			}
		}
		stranger := newRun("api")
		stranger.Org = "nobody"
		o.admits(stranger, launcher.CodeForbidden)
		o.fault = errors.New("the warehouse is away")
		if again := o.admits(newRun("api"), launcher.CodeUnavailable); again <= 0 {
			t.Error("it does not say when to ask again")
		}
	})
}

func TestRequiredIntegrationMustBeValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		plan := &launcher.Plan{Pipeline: "openai"}
		var refused *launcher.Error
		if err := o.Admit(context.Background(), newRun("api"), plan); !errors.As(err, &refused) || refused.Code != launcher.CodeNotConfigured {
			t.Errorf("without integration: %v", err)
		}
		o.valid["acme/openai"] = true
		if err := o.Admit(context.Background(), newRun("api"), plan); err != nil {
			t.Error(err)
		}
		if u := o.usage(); u.Today != 1 {
			t.Errorf("a refused run counts: %+v", u)
		}
	})
}

func TestDaysAndMonthsRollOverByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t) // 29 June, 22:00
		o.accounts["acme"] = account(2, 3, 10)
		o.admits(newRun("api"), "")
		o.admits(newRun("scheduler"), "")
		if again := o.admits(newRun("api"), launcher.CodeDailyQuota); again != 2*time.Hour {
			t.Errorf("ask again in %s", again)
		}
		o.now = o.now.Add(3 * time.Hour) // 30 June
		o.admits(newRun("api"), "")
		if again := o.admits(newRun("api"), launcher.CodeMonthlyQuota); again != 23*time.Hour {
			t.Errorf("ask again in %s", again)
		}
		if u := o.usage(); u.Today != 1 || u.Month != 3 {
			t.Errorf("usage is %+v", u)
		}
		o.now = o.now.Add(24 * time.Hour) // 1 July
		if u := o.usage(); u.Today != 0 || u.Month != 0 || u.Slots != 2 {
			t.Errorf("usage of a new month is %+v", u)
		}
		o.admits(newRun("api"), "")
		// A process whose clock is behind does not open the day before again.
		behind := o.now.Add(-2 * time.Hour)
		o.now = behind
		o.Admission = o.open("p2")
		o.admits(newRun("api"), "")
		o.now = behind.Add(2 * time.Hour)
		if u := o.usage(); u.Today != 2 || u.Month != 2 {
			t.Errorf("usage is %+v", u)
		}
	})
}

func TestWhatIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.accounts["acme"] = account(100, 100, 2)
		for _, c := range []struct {
			state   launcher.State
			began   bool
			counted int
		}{
			{launcher.Completed, true, 1},
			{launcher.Failed, true, 1},
			{launcher.Timeout, true, 1},
			{launcher.Cancelled, true, 1},
			{launcher.Cancelled, false, 0},
			{launcher.Failed, false, 0},
			{launcher.Pending, false, 0},
			{launcher.Completed, false, 1},
		} {
			for _, trigger := range []string{"api", "scheduler"} {
				before := o.usage()
				run := newRun(trigger)
				o.admits(run, "")
				o.admits(run, "") // asked again
				if trigger == "scheduler" && c.began || c.state == launcher.Completed {
					if _, err := o.Occupy(context.Background(), "acme", run.ID); err != nil {
						t.Fatal(err)
					}
				}
				o.end(run, c.state, c.began)
				o.end(run, c.state, c.began) // told twice
				if u := o.usage(); u.Today != before.Today+c.counted || u.Month != u.Today || u.Slots != 0 || len(u.Holds) != 0 {
					t.Errorf("%s by %s, began %t: usage went from %+v to %+v", c.state, trigger, c.began, before, u)
				}
			}
		}
		if u := o.usage(); u.Succeeded != 4 || u.Failed != 4 {
			t.Errorf("outcomes are %+v", u)
		}
	})
}

// Who asks through the API is told that there is no slot; what is scheduled waits for one.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.accounts["acme"] = account(100, 100, 1)
		ctx := context.Background()
		first, second := newRun("api"), newRun("scheduler")
		o.admits(first, "")
		if again := o.admits(newRun("api"), launcher.CodeConcurrentLimit); again <= 0 {
			t.Error("it does not say when to ask again")
		}
		o.admits(second, "")
		if _, err := o.Occupy(ctx, "acme", second.ID); !errors.Is(err, queue.ErrOrgFull) {
			t.Errorf("a second slot: %v", err)
		}
		slot, err := o.Occupy(ctx, "acme", first.ID)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := o.Vacate(ctx, slot); err != nil {
				t.Fatal(err)
			}
		}
		other := o.open("p2")
		slot, err = other.Occupy(ctx, "acme", second.ID)
		if err != nil {
			t.Fatalf("the slot that was given back: %v", err)
		}
		// This process takes the slot over: then the other one, which was only slow, may not
		// give it back any more.
		if _, err := o.Occupy(ctx, "acme", second.ID); err != nil {
			t.Fatal(err)
		}
		if err := other.Vacate(ctx, slot); err != nil {
			t.Fatal(err)
		}
		if u := o.usage(); u.Slots != 1 || !u.Holds[second.ID].Slot {
			t.Errorf("usage is %+v", u)
		}
	})
}

func TestSweepGivesBackWhatNobodyUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		ended, alive, lost := newRun("api"), newRun("api"), newRun("api")
		for _, run := range []launcher.Run{ended, alive, lost} {
			o.admits(run, "")
		}
		ended.State, ended.Began = launcher.Failed, o.now
		o.w.runs[ended.ID], o.w.runs[alive.ID] = ended, alive
		for i, want := range []int{1, 0, 1, 0} { // what was never recorded is given back after a while
			given, err := o.SweepAll(context.Background())
			if err != nil || given["acme"] != want {
				t.Errorf("sweep %d gave back %v, %v", i, given, err)
			}
			time.Sleep(6 * time.Minute)
		}
		if u := o.usage(); u.Today != 2 || u.Slots != 1 || u.Failed != 1 || !u.Holds[alive.ID].Slot {
			t.Errorf("usage is %+v", u)
		}
		// The process that admitted the lost run was only paused: it reserves again.
		if _, err := o.Occupy(context.Background(), "acme", lost.ID); err != nil {
			t.Fatal(err)
		}
		if u := o.usage(); u.Today != 3 || u.Slots != 2 {
			t.Errorf("usage is %+v", u)
		}
	})
}

func TestIdempotencyKeyHoldsForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		ctx := context.Background()
		first, _, err := o.Once(ctx, "acme", "k", []byte("a"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		if id, seen, err := o.Once(ctx, "acme", "k", []byte("a")); id != first || !seen || err != nil {
			t.Errorf("within a day: %s, %t, %v", id, seen, err)
		}
		time.Sleep(2 * time.Hour)
		second, seen, err := o.Once(ctx, "acme", "k", []byte("b"))
		if second == first || seen || err != nil {
			t.Errorf("after a day: %s, %t, %v", second, seen, err)
		}
		// A request of the key was in flight when another one was refused: its run stands.
		if err := o.Forget(ctx, "acme", "k", second); err != nil {
			t.Fatal(err)
		}
		o.w.runs[second] = launcher.Run{ID: second, Org: "acme", State: launcher.Running}
		if id, seen, err := o.Once(ctx, "acme", "k", []byte("c")); id != second || !seen || err != nil {
			t.Errorf("after a refusal beside a success: %s, %t, %v", id, seen, err)
		}
	})
}
