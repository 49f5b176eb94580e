package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

const (
	accountsFresh = 15 * time.Second // how long loaded accounts are trusted
	accountsMiss  = time.Second      // how often one that is not among them may cause a load
	// Tallies of admission logs are events of a run that does not exist.
	tallyRun  = "admissions"
	tallyKind = "tally"
)

// Accounts answers what decides whether organisations may have runs. The whole set is
// kept in memory for some seconds. It is safe for concurrent use.
type Accounts struct {
	store *Store

	mu     sync.Mutex
	loaded time.Time
	byOrg  map[string]launcher.Principal
}

// NewAccounts returns an index over a store's tables.
func NewAccounts(s *Store) *Accounts { return &Accounts{store: s} }

// Account returns the account of an organisation, false if there is none. One that was
// made a moment ago is known: its key may have been heard of before it.
func (a *Accounts) Account(ctx context.Context, org string) (launcher.Principal, bool, error) {
	all, err := a.all(ctx, accountsFresh)
	if p, found := all[org]; found || err != nil {
		return p, found, err
	}
	all, err = a.all(ctx, accountsMiss)
	p, found := all[org]
	return p, found, err
}

// Orgs returns the slugs of the organisations that are ACTIVE, sorted.
func (a *Accounts) Orgs(ctx context.Context) ([]string, error) {
	all, err := a.all(ctx, accountsFresh)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, org := range slices.Sorted(maps.Keys(all)) {
		if all[org].OrgStatus == "ACTIVE" {
			out = append(out, org)
		}
	}
	return out, nil
}

type accountRow struct {
	Org                string              `bigquery:"org_slug"`
	OrgStatus          string              `bigquery:"org_status"`
	AdminEmail         string              `bigquery:"admin_email"`
	SubscriptionID     bigquery.NullString `bigquery:"subscription_id"`
	Plan               bigquery.NullString `bigquery:"plan_name"`
	SubscriptionStatus bigquery.NullString `bigquery:"subscription_status"`
	TrialEnd           bigquery.NullDate   `bigquery:"trial_end_date"`
	SubscriptionEnd    bigquery.NullDate   `bigquery:"subscription_end_date"`
	Daily              bigquery.NullInt64  `bigquery:"daily_limit"`
	Monthly            bigquery.NullInt64  `bigquery:"monthly_limit"`
	Concurrent         bigquery.NullInt64  `bigquery:"concurrent_limit"`
}

// all returns the set, which nobody changes and which is no older. It is loaded for all callers, so that the one
// who happens to wait for it cannot end it by going away.
func (a *Accounts) all(ctx context.Context, age time.Duration) (map[string]launcher.Principal, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.store.cfg.Now()
	if a.byOrg != nil && now.Sub(a.loaded) < age {
		return a.byOrg, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysWait)
	defer cancel()
	rows, err := readAll[accountRow](ctx, a.store, "accounts.sql")
	if err != nil {
		return nil, err
	}
	byOrg := make(map[string]launcher.Principal, len(rows))
	for _, r := range rows {
		p := keyRow{
			Org: r.Org, OrgStatus: r.OrgStatus, AdminEmail: r.AdminEmail, SubscriptionID: r.SubscriptionID, Plan: r.Plan,
			SubscriptionStatus: r.SubscriptionStatus, TrialEnd: r.TrialEnd, SubscriptionEnd: r.SubscriptionEnd,
			Daily: r.Daily, Monthly: r.Monthly, Concurrent: r.Concurrent,
		}.principal()
		byOrg[r.Org] = p
	}
	a.byOrg, a.loaded = byOrg, now
	return byOrg, nil
}

// ServerNow returns the time by the clock of the warehouse, which is also the register's.
func (s *Store) ServerNow(ctx context.Context) (time.Time, error) {
	rows, err := readAll[struct {
		Now time.Time `bigquery:"now"`
	}](ctx, s, "server_now.sql")
	if err != nil {
		return time.Time{}, err
	}
	if len(rows) != 1 {
		return time.Time{}, errors.New("the warehouse does not say what time it is")
	}
	return rows[0].Now.UTC(), nil
}

// Recall implements queue.Memory.
func (s *Store) Recall(ctx context.Context, scope string) (queue.Tally, error) {
	rows, err := readAll[struct {
		Payload string `bigquery:"payload"`
	}](ctx, s, "tally.sql",
		bigquery.QueryParameter{Name: "scope", Value: scope}, bigquery.QueryParameter{Name: "run_id", Value: tallyRun},
		bigquery.QueryParameter{Name: "kind", Value: tallyKind})
	var t queue.Tally
	if err != nil || len(rows) == 0 {
		return t, err
	}
	if err := json.Unmarshal([]byte(rows[0].Payload), &t); err != nil {
		return t, fmt.Errorf("read the tally of %s: %w", scope, err)
	}
	return t, nil
}

// Keep implements queue.Memory. A tally is a function of its scope and number, so keeping
// it twice is keeping it once.
func (s *Store) Keep(ctx context.Context, tallies map[string]queue.Tally) error {
	var events []launcher.Event
	for _, scope := range slices.Sorted(maps.Keys(tallies)) {
		t := tallies[scope]
		payload, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encode the tally of %s: %w", scope, err)
		}
		id := sha256.Sum256(fmt.Appendf(nil, "tally/%s/%d", scope, t.Seq))
		events = append(events, launcher.Event{
			ID: hex.EncodeToString(id[:])[:32], RunID: tallyRun, Org: scope, Seq: int64(t.Seq), Kind: tallyKind,
			Payload: payload, Time: s.cfg.Now().UTC(),
		})
	}
	return s.Append(ctx, events...)
}

type usageRow struct {
	UsageID    string `bigquery:"usage_id"`
	Org        string `bigquery:"org_slug"`
	Today      int64  `bigquery:"today"`
	Succeeded  int64  `bigquery:"succeeded"`
	Failed     int64  `bigquery:"failed"`
	Month      int64  `bigquery:"month"`
	Running    int64  `bigquery:"running"`
	Peak       int64  `bigquery:"peak"`
	Daily      int64  `bigquery:"daily_limit"`
	Monthly    int64  `bigquery:"monthly_limit"`
	Concurrent int64  `bigquery:"concurrent_limit"`
}

// ShowUsage replaces the rows of the day in org_usage_quotas.
func (s *Store) ShowUsage(ctx context.Context, now time.Time, usages ...queue.Usage) error {
	day := civil.DateOf(now.UTC())
	var orgs []string
	var rows []usageRow
	for _, u := range usages {
		orgs = append(orgs, u.Org)
		rows = append(rows, usageRow{
			UsageID: u.Org + "_" + strings.ReplaceAll(day.String(), "-", ""), Org: u.Org, Today: int64(u.Today), Succeeded: int64(u.Succeeded),
			Failed: int64(u.Failed), Month: int64(u.Month), Running: int64(u.Slots), Peak: int64(u.Peak),
			Daily: u.Account.DailyLimit, Monthly: u.Account.MonthlyLimit, Concurrent: u.Account.ConcurrentLimit,
		})
	}
	if len(rows) == 0 {
		return nil
	}
	return s.transact(ctx, "show_usage.sql",
		bigquery.QueryParameter{Name: "day", Value: day}, bigquery.QueryParameter{Name: "orgs", Value: orgs},
		bigquery.QueryParameter{Name: "rows", Value: rows}, bigquery.QueryParameter{Name: "now", Value: now.UTC()})
}

// DropUsage removes the rows of days before a time.
func (s *Store) DropUsage(ctx context.Context, before time.Time) (int64, error) {
	q, err := s.query("drop_usage.sql", bigquery.QueryParameter{Name: "before", Value: civil.DateOf(before.UTC())})
	if err != nil {
		return 0, err
	}
	job, err := q.Run(ctx)
	if err != nil {
		return 0, fmt.Errorf("drop_usage.sql: %w", err)
	}
	status, err := job.Wait(ctx)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("drop_usage.sql: %w", err)
	}
	if stats, ok := status.Statistics.Details.(*bigquery.QueryStatistics); ok {
		return stats.NumDMLAffectedRows, nil
	}
	return 0, nil
}
