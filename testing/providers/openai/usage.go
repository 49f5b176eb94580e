package openai

import (
	"cmp"
	"slices"
)

// dimensions of a result. Those that were not grouped by are empty here and
// null in the answer.
type dimensions struct {
	project, user, key, model, tier string
	batch                           bool
}

func (q *query) dimensions(r Request) dimensions {
	var d dimensions
	if q.groupBy["project_id"] {
		d.project = r.ProjectID
	}
	if q.groupBy["user_id"] {
		d.user = r.UserID
	}
	if q.groupBy["api_key_id"] {
		d.key = r.APIKeyID
	}
	if q.groupBy["model"] {
		d.model = r.Model
	}
	if q.groupBy["service_tier"] {
		d.tier = r.ServiceTier
	}
	if q.groupBy["batch"] {
		d.batch = r.Batch
	}
	return d
}

func (d dimensions) compare(other dimensions) int {
	return cmp.Or(
		cmp.Compare(d.project, other.project), cmp.Compare(d.key, other.key), cmp.Compare(d.user, other.user),
		cmp.Compare(d.model, other.model), cmp.Compare(d.tier, other.tier), cmp.Compare(flag(d.batch), flag(other.batch)),
	)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tokens are the summed measures of one result.
type tokens struct {
	dimensions
	requests, input, cached, cacheWrite, output int64
}

// group sums the requests of a usage type in a bucket, in a stable order.
func (s *Server) group(o *org, q query, w window, usageType string) []*tokens {
	sums := map[dimensions]*tokens{}
	var order []*tokens
	for _, r := range s.between(o, w.start, w.end) {
		if r.UsageType != usageType || !q.keeps(r) {
			continue
		}
		d := q.dimensions(r)
		t := sums[d]
		if t == nil {
			t = &tokens{dimensions: d}
			sums[d] = t
			order = append(order, t)
		}
		t.requests++
		t.input += r.InputTokens
		t.cached += r.CachedTokens
		t.cacheWrite += r.CacheWriteTokens
		t.output += r.OutputTokens
	}
	slices.SortFunc(order, func(a, b *tokens) int { return a.compare(b.dimensions) })
	return order
}

type embeddingResult struct {
	Object           string  `json:"object"`
	InputTokens      int64   `json:"input_tokens"`
	NumModelRequests int64   `json:"num_model_requests"`
	ProjectID        *string `json:"project_id"`
	UserID           *string `json:"user_id"`
	APIKeyID         *string `json:"api_key_id"`
	Model            *string `json:"model"`
}

func embeddingResults(s *Server, o *org, q query, w window) ([]any, error) {
	var results []any
	for _, t := range s.group(o, q, w, Embeddings) {
		results = append(results, embeddingResult{
			Object:           "organization.usage.embeddings.result",
			InputTokens:      t.input,
			NumModelRequests: t.requests,
			ProjectID:        orNull(t.project),
			UserID:           orNull(t.user),
			APIKeyID:         orNull(t.key),
			Model:            orNull(t.model),
		})
	}
	return results, nil
}

// completionResult has every field of the published object. The traces are of
// text, so the audio and image fields are a true zero.
type completionResult struct {
	Object                 string  `json:"object"`
	InputTokens            int64   `json:"input_tokens"`
	InputCachedTokens      int64   `json:"input_cached_tokens"`
	InputCacheWriteTokens  int64   `json:"input_cache_write_tokens"`
	InputUncachedTokens    int64   `json:"input_uncached_tokens"`
	OutputTokens           int64   `json:"output_tokens"`
	InputTextTokens        int64   `json:"input_text_tokens"`
	OutputTextTokens       int64   `json:"output_text_tokens"`
	InputCachedTextTokens  int64   `json:"input_cached_text_tokens"`
	InputAudioTokens       int64   `json:"input_audio_tokens"`
	InputCachedAudioTokens int64   `json:"input_cached_audio_tokens"`
	OutputAudioTokens      int64   `json:"output_audio_tokens"`
	InputImageTokens       int64   `json:"input_image_tokens"`
	InputCachedImageTokens int64   `json:"input_cached_image_tokens"`
	OutputImageTokens      int64   `json:"output_image_tokens"`
	NumModelRequests       int64   `json:"num_model_requests"`
	ProjectID              *string `json:"project_id"`
	UserID                 *string `json:"user_id"`
	APIKeyID               *string `json:"api_key_id"`
	Model                  *string `json:"model"`
	Batch                  *bool   `json:"batch"`
	ServiceTier            *string `json:"service_tier"`
}

func completionResults(s *Server, o *org, q query, w window) ([]any, error) {
	var results []any
	for _, t := range s.group(o, q, w, Completions) {
		uncached := t.input - t.cached - t.cacheWrite
		result := completionResult{
			Object:                "organization.usage.completions.result",
			InputTokens:           t.input,
			InputCachedTokens:     t.cached,
			InputCacheWriteTokens: t.cacheWrite,
			InputUncachedTokens:   uncached,
			OutputTokens:          t.output,
			InputTextTokens:       uncached,
			OutputTextTokens:      t.output,
			InputCachedTextTokens: t.cached,
			NumModelRequests:      t.requests,
			ProjectID:             orNull(t.project),
			UserID:                orNull(t.user),
			APIKeyID:              orNull(t.key),
			Model:                 orNull(t.model),
			ServiceTier:           orNull(t.tier),
		}
		if q.groupBy["batch"] {
			result.Batch = &t.batch
		}
		results = append(results, result)
	}
	return results, nil
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
