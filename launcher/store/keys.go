package store

import (
	"context"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
)

const (
	keysFresh = 60 * time.Second // how long a loaded set is trusted
	keysMiss  = 5 * time.Second  // how often an unknown key, or a failed load, may cause a load
	keysWait  = 15 * time.Second // for one load
)

type keyRow struct {
	Hash               string                 `bigquery:"org_api_key_hash"`
	KeyID              string                 `bigquery:"org_api_key_id"`
	Org                string                 `bigquery:"org_slug"`
	Scopes             []string               `bigquery:"scopes"`
	Expires            bigquery.NullTimestamp `bigquery:"expires_at"`
	OrgStatus          string                 `bigquery:"org_status"`
	AdminEmail         string                 `bigquery:"admin_email"`
	SubscriptionID     bigquery.NullString    `bigquery:"subscription_id"`
	Plan               bigquery.NullString    `bigquery:"plan_name"`
	SubscriptionStatus bigquery.NullString    `bigquery:"subscription_status"`
	TrialEnd           bigquery.NullDate      `bigquery:"trial_end_date"`
	SubscriptionEnd    bigquery.NullDate      `bigquery:"subscription_end_date"`
	Daily              bigquery.NullInt64     `bigquery:"daily_limit"`
	Monthly            bigquery.NullInt64     `bigquery:"monthly_limit"`
	Concurrent         bigquery.NullInt64     `bigquery:"concurrent_limit"`
}

// Keys answers who an active key hash belongs to. The whole set is kept in memory, so
// that unknown keys cost no warehouse call each. It is safe for concurrent use.
type Keys struct {
	store *Store

	mu     sync.Mutex
	loaded time.Time // when byHash was true
	failed time.Time // when a load last failed, and how
	err    error
	byHash map[string]launcher.Principal
}

// NewKeys returns an empty index over a store's tables.
func NewKeys(s *Store) *Keys { return &Keys{store: s} }

// Lookup finds an active key by the lower-case hex SHA-256 of its text. An error says that
// the tables could not be read; a key that was loaded less than a minute ago is known
// nevertheless.
func (k *Keys) Lookup(ctx context.Context, hash string) (launcher.Principal, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, found := k.byHash[hash]
	now := k.store.cfg.Now()
	age := now.Sub(k.loaded)
	if age < keysMiss || (found && age < keysFresh) {
		return p, found, nil
	}
	if k.err != nil && now.Sub(k.failed) < keysMiss {
		return launcher.Principal{}, false, k.err
	}
	if err := k.load(ctx); err != nil {
		k.failed, k.err = now, err
		return launcher.Principal{}, false, err
	}
	k.loaded, k.err = now, nil
	p, found = k.byHash[hash]
	return p, found, nil
}

// load reads the whole set. It is read for all callers, so that the one who happens to
// wait for it cannot end it by going away.
func (k *Keys) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysWait)
	defer cancel()
	rows, err := readAll[keyRow](ctx, k.store, "keys.sql")
	if err != nil {
		return err
	}
	byHash := make(map[string]launcher.Principal, len(rows))
	for _, r := range rows {
		byHash[r.Hash] = r.principal()
	}
	k.byHash = byHash
	return nil
}

func (r keyRow) principal() launcher.Principal {
	p := launcher.Principal{
		Org: r.Org, KeyID: r.KeyID, Scopes: r.Scopes, OrgStatus: r.OrgStatus, AdminEmail: r.AdminEmail,
		Plan: r.Plan.StringVal, SubscriptionID: r.SubscriptionID.StringVal, SubscriptionStatus: r.SubscriptionStatus.StringVal,
		DailyLimit: r.Daily.Int64, MonthlyLimit: r.Monthly.Int64, ConcurrentLimit: r.Concurrent.Int64,
	}
	if r.Expires.Valid {
		p.KeyExpires = r.Expires.Timestamp
	}
	if r.TrialEnd.Valid {
		p.TrialEnd = r.TrialEnd.Date.In(time.UTC)
	}
	if r.SubscriptionEnd.Valid {
		p.SubscriptionEnd = r.SubscriptionEnd.Date.In(time.UTC)
	}
	return p
}
