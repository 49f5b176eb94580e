package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// Accounts answers what decides whether an organisation may have runs: its status,
// subscription and limits. Answers may be some seconds old.
type Accounts interface {
	Account(ctx context.Context, org string) (launcher.Principal, bool, error)
	// Orgs returns the slugs of the organisations that are ACTIVE.
	Orgs(ctx context.Context) ([]string, error)
}

// Integrations answers whether an organisation has a VALID credential of a provider.
type Integrations interface {
	Configured(ctx context.Context, org, provider string) (bool, error)
}

// Runs answers what is known of runs, of every organisation if org is "". A run that was
// never recorded has no answer.
type Runs interface {
	Runs(ctx context.Context, org string, ids []string) (map[string]launcher.Run, error)
}

// Memory keeps tallies by scope, so that a process that starts need not read whole logs.
// What it answers may be old; nothing is lost when it forgets, but a log older than the
// register remembers cannot be read again without it.
type Memory interface {
	Recall(ctx context.Context, scope string) (Tally, error)
	Keep(ctx context.Context, tallies map[string]Tally) error
}

// Usage is what an organisation has used of its limits.
type Usage struct {
	Org     string
	Account launcher.Principal
	Tally
}

// AdmissionConfig wires an admission. Integrations, Requires and Memory may be nil.
type AdmissionConfig struct {
	Register     Register
	Accounts     Accounts
	Integrations Integrations
	Requires     func(p *launcher.Plan) []string // providers whose credentials a plan needs
	Runs         Runs
	Memory       Memory
	Owner        string // identity of this process in the register
	Limit        int    // most runs of all organisations that run at once; 0 = none
	Now          func() time.Time
	ServerNow    func(ctx context.Context) (time.Time, error) // by the register's clock
	Log          *slog.Logger
}

// Admission decides which runs may be, whoever asks for them, and which may run at once.
// It implements launcher.Config.Admission and is safe for concurrent use.
type Admission struct {
	cfg AdmissionConfig

	mu      sync.Mutex
	ledgers map[string]*ledger
	unknown map[string]time.Time // runs that hold something and were never recorded, since when
}

// NewAdmission returns an admission.
func NewAdmission(cfg AdmissionConfig) *Admission {
	return &Admission{cfg: cfg, ledgers: map[string]*ledger{}, unknown: map[string]time.Time{}}
}

// Errors of Occupy. They are not the run's fault: it waits.
var (
	ErrOrgFull = errors.New("the organisation runs as many pipelines at once as its plan allows")
	ErrFull    = errors.New("the service runs as many pipelines at once as it may")
	errEnded   = errors.New("the run has ended")
	errTaken   = errors.New("another process is about to start the run")
)

// queuedTriggers are those whose runs wait for a slot. Whoever else asks is refused when
// there is none, and can ask again.
var queuedTriggers = []string{TriggerScheduler, TriggerPubSub}

// What triggers runs that wait in the queue.
const (
	TriggerScheduler = "scheduler"
	TriggerPubSub    = "pubsub"
)

// Admit reserves what a run counts for, once however often it is asked. The error is a
// *launcher.Error when the run is refused.
func (a *Admission) Admit(ctx context.Context, run launcher.Run, plan *launcher.Plan) error {
	account, err := a.account(ctx, run.Org)
	if err != nil {
		return err
	}
	if err := a.integrated(ctx, run.Org, plan); err != nil {
		return err
	}
	l, err := a.ledger(ctx, run.Org)
	if err != nil {
		return err
	}
	as := begun
	if slices.Contains(queuedTriggers, run.Trigger) {
		as = admitted
	}
	_, err = l.add(ctx, run.ID, func(t Tally) (entry, error) { return a.reserve(t, account, run.ID, as) })
	return a.readable(err)
}

// reserve is the entry that admits a run to what is left of an organisation's limits.
func (a *Admission) reserve(t Tally, account launcher.Principal, run string, as kind) (entry, error) {
	h, held := t.Holds[run]
	if held && h.Day.IsValid() && (h.Slot || as == admitted) || slices.Contains(t.Ended, run) {
		return entry{}, nil
	}
	if !h.Day.IsValid() {
		if err := a.quota(t, account); err != nil {
			return entry{}, err
		}
	}
	if as == begun && !h.Slot && int64(t.Slots) >= account.ConcurrentLimit {
		return entry{}, &launcher.Error{
			Code:       launcher.CodeConcurrentLimit,
			Message:    fmt.Sprintf("Concurrent pipeline limit exceeded: %d of %d pipelines are running; wait until one has ended", t.Slots, account.ConcurrentLimit),
			RetryAfter: concurrentRetry,
			Err:        ErrOrgFull,
		}
	}
	return entry{kind: as, run: run}, nil
}

const concurrentRetry = 30 * time.Second

// quota refuses when a day's or a month's runs are used up. Both open again by themselves.
func (a *Admission) quota(t Tally, account launcher.Principal) error {
	now := a.cfg.Now().UTC()
	if int64(t.Today) >= account.DailyLimit {
		tomorrow := civil.DateOf(now).AddDays(1).In(time.UTC)
		return &launcher.Error{
			Code:       launcher.CodeDailyQuota,
			Message:    fmt.Sprintf("Daily pipeline quota exceeded: %d of %d runs used; more from %s", t.Today, account.DailyLimit, tomorrow.Format(time.RFC3339)),
			RetryAfter: tomorrow.Sub(now),
		}
	}
	if int64(t.Month) >= account.MonthlyLimit {
		next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		return &launcher.Error{
			Code:       launcher.CodeMonthlyQuota,
			Message:    fmt.Sprintf("Monthly pipeline quota exceeded: %d of %d runs used; more from %s", t.Month, account.MonthlyLimit, next.Format(time.RFC3339)),
			RetryAfter: next.Sub(now),
		}
	}
	return nil
}

// account refuses an organisation that may not have runs.
func (a *Admission) account(ctx context.Context, org string) (launcher.Principal, error) {
	account, found, err := a.cfg.Accounts.Account(ctx, org)
	switch {
	case err != nil:
		return account, a.readable(fmt.Errorf("read the account of %s: %w", org, err))
	case !found || account.OrgStatus != "ACTIVE":
		return account, &launcher.Error{
			Code:    launcher.CodeForbidden,
			Message: fmt.Sprintf("organization %s is %s; only an ACTIVE one may run pipelines", org, cmp.Or(account.OrgStatus, "unknown")),
		}
	case !account.Subscribed(a.cfg.Now()):
		return account, &launcher.Error{
			Code:    launcher.CodeSubscriptionInactive,
			Message: fmt.Sprintf("the subscription of %s is %s or past its end; it must be ACTIVE or TRIAL", org, cmp.Or(account.SubscriptionStatus, "missing")),
		}
	}
	return account, nil
}

func (a *Admission) integrated(ctx context.Context, org string, plan *launcher.Plan) error {
	if a.cfg.Requires == nil || a.cfg.Integrations == nil || plan == nil {
		return nil
	}
	for _, provider := range a.cfg.Requires(plan) {
		ok, err := a.cfg.Integrations.Configured(ctx, org, provider)
		if err != nil {
			return a.readable(fmt.Errorf("read the %s integration of %s: %w", provider, org, err))
		}
		if !ok {
			return &launcher.Error{
				Code:    launcher.CodeNotConfigured,
				Message: fmt.Sprintf("organization %s has no valid %s integration; set it up first", org, provider),
			}
		}
	}
	return nil
}

// readable makes an error of the store one that crosses the API.
func (a *Admission) readable(err error) error {
	var known *launcher.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &launcher.Error{Code: launcher.CodeUnavailable, Message: "whether the run may start could not be decided; try again", RetryAfter: 10 * time.Second, Err: err}
}

// Release gives back what a run held: its slot when it has ended, and what it counted for
// as well if it never started. Asking twice is asking once.
func (a *Admission) Release(ctx context.Context, run launcher.Run) error {
	if _, err := a.leave(ctx, run.Org, run.ID, outcome(run), anyHold); err != nil || a.cfg.Limit <= 0 {
		return err
	}
	_, err := a.leave(ctx, everyone, run.ID, returned, anyHold)
	return err
}

func anyHold(Hold) bool { return true }

// leave enters what happened to a run if what it holds is as it should be, and reports
// whether it was.
func (a *Admission) leave(ctx context.Context, scope, runID string, what kind, as func(Hold) bool) (bool, error) {
	l, err := a.ledger(ctx, scope)
	if err != nil {
		return false, err
	}
	done := false
	_, err = l.add(ctx, runID, func(t Tally) (entry, error) {
		h, held := t.Holds[runID]
		if done = held && as(h); !done {
			return entry{}, nil
		}
		if !h.Started && what != waiting { // it ended under an admission before this one
			return entry{kind: returned, run: runID}, nil
		}
		return entry{kind: what, run: runID}, nil
	})
	return done, err
}

// Usage returns what an organisation has used. It reads what others have entered.
func (a *Admission) Usage(ctx context.Context, org string) (Usage, error) {
	account, _, err := a.cfg.Accounts.Account(ctx, org)
	if err != nil {
		return Usage{}, fmt.Errorf("read the account of %s: %w", org, err)
	}
	l, err := a.ledger(ctx, org)
	if err != nil {
		return Usage{}, err
	}
	t, err := l.newest(ctx)
	return Usage{Org: org, Account: account, Tally: t}, err
}

// ledger returns the log of a scope, continued from where Memory has it.
func (a *Admission) ledger(ctx context.Context, scope string) (*ledger, error) {
	a.mu.Lock()
	l := a.ledgers[scope]
	if l == nil {
		l = &ledger{register: a.cfg.Register, scope: scope, owner: a.cfg.Owner, now: a.cfg.Now, turn: make(turn, 1)}
		a.ledgers[scope] = l
	}
	a.mu.Unlock()
	if a.cfg.Memory == nil {
		return l, nil
	}
	if err := l.turn.take(ctx); err != nil {
		return nil, err
	}
	defer l.turn.pass()
	if l.read {
		return l, nil
	}
	t, err := a.cfg.Memory.Recall(ctx, scope)
	if err != nil {
		return nil, a.readable(fmt.Errorf("recall the admissions of %s: %w", scope, err))
	}
	if t.Seq > l.tally.Seq {
		l.tally, l.kept = t, t.Seq
	}
	l.read = true
	return l, nil
}
