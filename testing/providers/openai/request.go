package openai

import (
	"fmt"
	"time"
)

// Usage types of a request, the last part of the usage endpoint's path.
const (
	Completions = "completions"
	Embeddings  = "embeddings"
)

// Service tiers that the simulator reports.
const (
	TierDefault  = "default"
	TierFlex     = "flex"
	TierPriority = "priority"
)

// UnpricedModel is a model that the provider bills but that no public price
// list knows.
const UnpricedModel = "acme-internal-preview"

// Request is one request to a model, as the provider recorded it.
type Request struct {
	// Row is the position of the trace row behind it, in arrival order over both
	// trace files, from 0.
	Row int
	// Time is when it arrived, in UTC.
	Time time.Time
	// UsageType is Completions or Embeddings.
	UsageType string
	ProjectID string
	APIKeyID  string
	UserID    string
	Model     string
	// Batch tells a request of the batch API. Its service tier is TierDefault.
	Batch       bool
	ServiceTier string
	// InputTokens is the total: it contains CachedTokens and CacheWriteTokens,
	// which are disjoint.
	InputTokens      int64
	CachedTokens     int64
	CacheWriteTokens int64
	OutputTokens     int64
}

func (r Request) billingTier() string {
	switch {
	case r.Batch:
		return tierBatch
	case r.ServiceTier == TierDefault:
		return tierStandard
	default:
		return r.ServiceTier
	}
}

func (r Request) check() error {
	if r.InputTokens < 0 || r.CachedTokens < 0 || r.CacheWriteTokens < 0 || r.OutputTokens < 0 {
		return fmt.Errorf("request of row %d: negative tokens", r.Row)
	}
	if r.CachedTokens+r.CacheWriteTokens > r.InputTokens {
		return fmt.Errorf("request of row %d: cached and cache-write tokens exceed the input tokens", r.Row)
	}
	if r.UsageType != Completions && r.UsageType != Embeddings {
		return fmt.Errorf("request of row %d: unknown usage type %q", r.Row, r.UsageType)
	}
	if r.UsageType == Embeddings && (r.OutputTokens != 0 || r.CachedTokens != 0 || r.CacheWriteTokens != 0) {
		return fmt.Errorf("request of row %d: embeddings have input tokens only", r.Row)
	}
	return nil
}
