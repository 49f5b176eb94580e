package launcher

import (
	"slices"
	"strings"
	"time"
)

// Principal is who an org key speaks for, with what decides whether it may act.
type Principal struct {
	Org                string
	KeyID              string
	KeyExpires         time.Time // zero = never
	Scopes             []string  // empty = all; "pipelines:*", "integrations:read"
	OrgStatus          string    // ACTIVE, SUSPENDED, ...
	Plan               string
	SubscriptionID     string
	SubscriptionStatus string // ACTIVE, TRIAL, EXPIRED, ...
	TrialEnd           time.Time
	SubscriptionEnd    time.Time
	DailyLimit         int64
	MonthlyLimit       int64
	ConcurrentLimit    int64
	AdminEmail         string
}

// Allows reports whether the key's scopes cover "resource:action".
func (p Principal) Allows(scope string) bool {
	resource, _, _ := strings.Cut(scope, ":")
	return len(p.Scopes) == 0 || slices.Contains(p.Scopes, "*") ||
		slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, resource+":*")
}

// Subscribed reports whether the subscription is ACTIVE or TRIAL and not past its end.
// Ends are dates: the last day counts.
func (p Principal) Subscribed(now time.Time) bool {
	switch p.SubscriptionStatus {
	case "ACTIVE":
		return !past(p.SubscriptionEnd, now)
	case "TRIAL":
		return !past(p.TrialEnd, now) && !past(p.SubscriptionEnd, now)
	default:
		return false
	}
}

func past(lastDay, now time.Time) bool {
	return !lastDay.IsZero() && !now.Before(lastDay.AddDate(0, 0, 1))
}
