package store_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher/store"
)

func (b *bench) seed(org, hash string) {
	b.t.Helper()
	err := b.SeedDevelopment(b.t.Context(), store.DevelopmentOrg{Slug: org, Company: org, AdminEmail: "admin@" + org + ".example", KeyHash: hash, Env: "local"})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) lookup(k *store.Keys, hash string, found bool) {
	b.t.Helper()
	if _, got, err := k.Lookup(b.t.Context(), hash); err != nil || got != found {
		b.t.Errorf("key %s found: %t, %v; want %t", hash, got, err, found)
	}
}

func TestSeedingTwiceIsSeedingOnce(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	b.seed("acme", "h1")
	b.seed("acme", "h2") // a second key of the same organisation
	b.seed("globex", "h3")
	want(t, b.lines("SELECT org_slug, COUNT(*) FROM `"+central+".org_profiles` GROUP BY 1 ORDER BY 1"), "acme 1", "globex 1")
	want(t, b.lines("SELECT org_slug, COUNT(*) FROM `"+central+".org_subscriptions` GROUP BY 1 ORDER BY 1"), "acme 1", "globex 1")
	want(t, b.lines("SELECT org_slug, org_api_key_hash FROM `"+central+".org_api_keys` ORDER BY 1, 2"), "acme h1", "acme h2", "globex h3")
}

func TestKeySpeaksForItsOrg(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	b.seed("globex", "h2")
	k := store.NewKeys(b.Store)
	p, found, err := k.Lookup(t.Context(), "h1")
	if err != nil || !found || p.Org != "acme" || p.OrgStatus != "ACTIVE" || !p.Subscribed(b.clock()) || p.KeyID == "" || !p.Allows("pipelines:execute") || p.Allows("admin:all") {
		t.Errorf("h1 is %+v, %t, %v", p, found, err)
	}
	if p, _, _ := k.Lookup(t.Context(), "h2"); p.Org != "globex" {
		t.Errorf("h2 is of %s", p.Org)
	}
}

func TestNewestSubscriptionDecides(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	b.exec("INSERT INTO `" + central + ".org_subscriptions` (subscription_id, org_slug, plan_name, status, trial_end_date, daily_limit, monthly_limit, concurrent_limit, seat_limit, providers_limit, created_at) " +
		"VALUES ('s2', 'acme', 'STARTER', 'TRIAL', DATE '2026-01-31', 1, 1, 1, 1, 1, TIMESTAMP '2100-01-01 00:00:00+00')")
	p, found, err := store.NewKeys(b.Store).Lookup(t.Context(), "h1")
	if err != nil || !found || p.SubscriptionID != "s2" || p.Plan != "STARTER" {
		t.Fatalf("h1 is %+v, %t, %v", p, found, err)
	}
	if last := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC); !p.Subscribed(last) || p.Subscribed(last.Add(time.Second)) {
		t.Error("the last day of a trial must count, and no day after it")
	}
}

func TestUnknownKeysCauseALoadEveryFiveSecondsAtMost(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	k := store.NewKeys(b.Store)
	b.lookup(k, "h1", true)
	b.sent("")
	for range 50 {
		b.lookup(k, "unknown", false)
		b.lookup(k, "h1", true)
	}
	if n := b.sent(""); n != 0 {
		t.Errorf("unknown keys caused %d requests at once", n)
	}
	b.seed("globex", "h2")
	b.lookup(k, "h2", false)
	b.advance(6 * time.Second)
	b.lookup(k, "h2", true)
	b.exec("UPDATE `" + central + ".org_api_keys` SET is_active = FALSE WHERE org_api_key_hash = 'h1'")
	b.sent("")
	b.advance(53 * time.Second)
	b.lookup(k, "h1", true)
	if n := b.sent(""); n != 0 {
		t.Errorf("a known key caused %d requests before its minute was over", n)
	}
	b.advance(8 * time.Second)
	b.lookup(k, "h1", false)
}

func TestKeysSurviveAWarehouseThatIsAway(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	k := store.NewKeys(b.Store)
	b.lookup(k, "h1", true)
	b.spoilWith(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, `{"error":{"code":400,"message":"away"}}`, http.StatusBadRequest)
		return true
	})
	b.advance(30 * time.Second)
	b.lookup(k, "h1", true)
	b.sent("")
	for range 20 {
		if _, _, err := k.Lookup(t.Context(), "unknown"); err == nil {
			t.Fatal("a key that cannot be checked is called unknown")
		}
	}
	if n := b.sent("/queries") + b.sent("/jobs"); n > 2 {
		t.Errorf("20 look-ups asked a warehouse that is away %d times", n)
	}
	b.advance(31 * time.Second)
	if _, _, err := k.Lookup(t.Context(), "h1"); err == nil {
		t.Error("a key is trusted for more than a minute")
	}
	b.spoilWith(nil)
	b.advance(6 * time.Second)
	b.lookup(k, "h1", true)
}

func TestCallerThatGoesAwayDoesNotSpoilTheLoad(t *testing.T) {
	b := newBench(t)
	b.seed("acme", "h1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, found, err := store.NewKeys(b.Store).Lookup(ctx, "h1"); err != nil || !found || p.Org != "acme" {
		t.Errorf("h1 is %+v, %t, %v", p, found, err)
	}
}
