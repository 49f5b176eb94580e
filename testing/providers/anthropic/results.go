package anthropic

import (
	"cmp"
	"math/big"
	"slices"
)

type cacheCreation struct {
	OneHour     int64 `json:"ephemeral_1h_input_tokens"`
	FiveMinutes int64 `json:"ephemeral_5m_input_tokens"`
}

type serverToolUse struct {
	WebSearches int64 `json:"web_search_requests"`
}

// usageResult is one group of a usage report. Speed is there only when it was asked for.
type usageResult struct {
	Uncached         int64         `json:"uncached_input_tokens"`
	CacheCreation    cacheCreation `json:"cache_creation"`
	CacheRead        int64         `json:"cache_read_input_tokens"`
	Output           int64         `json:"output_tokens"`
	ServerToolUse    serverToolUse `json:"server_tool_use"`
	AccountID        *string       `json:"account_id"`
	APIKeyID         *string       `json:"api_key_id"`
	ContextWindow    *string       `json:"context_window"`
	InferenceGeo     *string       `json:"inference_geo"`
	Model            *string       `json:"model"`
	ServiceAccountID *string       `json:"service_account_id"`
	ServiceTier      *string       `json:"service_tier"`
	WorkspaceID      *string       `json:"workspace_id"`
	Speed            *string       `json:"speed,omitempty"`
}

func usageResults(_ *Server, requests []Request, q query) ([]any, error) {
	groups := map[string]*usageResult{}
	var order []string
	for _, r := range requests {
		key := ""
		value := func(name string) *string {
			if !q.groupBy[name] {
				return nil
			}
			text := r.dimension(name)
			key += name + "=" + text + "\x00"
			return orNull(text)
		}
		g := usageResult{
			AccountID: value("account_id"), APIKeyID: value("api_key_id"), ContextWindow: value("context_window"),
			InferenceGeo: value("inference_geo"), Model: value("model"), ServiceAccountID: value("service_account_id"),
			ServiceTier: value("service_tier"), WorkspaceID: value("workspace_id"), Speed: value("speed"),
		}
		sum := groups[key]
		if sum == nil {
			sum = &g
			groups[key] = sum
			order = append(order, key)
		}
		sum.Uncached += r.Tokens[Uncached]
		sum.CacheCreation.FiveMinutes += r.Tokens[Write5m]
		sum.CacheCreation.OneHour += r.Tokens[Write1h]
		sum.CacheRead += r.Tokens[CacheRead]
		sum.Output += r.Tokens[Output]
		sum.ServerToolUse.WebSearches += r.WebSearches
	}
	slices.Sort(order)
	results := make([]any, len(order))
	for i, key := range order {
		results[i] = groups[key]
	}
	return results, nil
}

// costResult is one group of a cost report; amount is in cents.
type costResult struct {
	Amount        string  `json:"amount"`
	Currency      string  `json:"currency"`
	CostType      *string `json:"cost_type"`
	ContextWindow *string `json:"context_window"`
	Description   *string `json:"description"`
	InferenceGeo  *string `json:"inference_geo"`
	Model         *string `json:"model"`
	ServiceTier   *string `json:"service_tier"`
	TokenType     *string `json:"token_type"`
	WorkspaceID   *string `json:"workspace_id"`
}

// line is one part of what a request costs.
type line struct {
	costType, contextWindow, description, geo, model, tier, tokenType, workspace string

	amount *big.Rat
}

var tokenTypes = [leafCount]struct{ name, title string }{
	Uncached:  {"uncached_input_tokens", "Input Tokens"},
	Write5m:   {"cache_creation.ephemeral_5m_input_tokens", "Input Tokens, Cache Write 5m"},
	Write1h:   {"cache_creation.ephemeral_1h_input_tokens", "Input Tokens, Cache Write 1h"},
	CacheRead: {"cache_read_input_tokens", "Input Tokens, Cache Hit"},
	Output:    {"output_tokens", "Output Tokens"},
}

// lines are what a request is billed for. The priority tier is billed by commitment.
func (s *Server) lines(r Request) ([]line, error) {
	if r.ServiceTier == TierPriority {
		return nil, nil
	}
	p, _ := s.prices.of(r.Model)
	var lines []line
	for leaf, kind := range tokenTypes {
		if r.Tokens[leaf] == 0 {
			continue
		}
		amount, err := s.prices.amount(r, leaf)
		if err != nil {
			return nil, err
		}
		suffix := ""
		if r.ServiceTier == TierBatch {
			suffix = ", Batch"
		}
		lines = append(lines, line{
			costType: "tokens", contextWindow: r.contextWindow(), description: p.title + " Usage - " + kind.title + suffix, geo: r.InferenceGeo,
			model: r.Model, tier: r.ServiceTier, tokenType: kind.name, workspace: r.WorkspaceID, amount: amount,
		})
	}
	if r.WebSearches > 0 {
		lines = append(lines, line{
			costType: "web_search", description: "Web Search Usage", workspace: r.WorkspaceID,
			amount: new(big.Rat).Mul(s.prices.webSearch, new(big.Rat).SetInt64(r.WebSearches)),
		})
	}
	return lines, nil
}

func costResults(s *Server, requests []Request, q query) ([]any, error) {
	sums := map[line]*big.Rat{}
	for _, r := range requests {
		lines, err := s.lines(r)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			amount := l.amount
			key := line{}
			if q.groupBy["description"] {
				key, key.amount, key.workspace = l, nil, ""
			}
			if q.groupBy["workspace_id"] {
				key.workspace = l.workspace
			}
			if sums[key] == nil {
				sums[key] = new(big.Rat)
			}
			sums[key].Add(sums[key], amount)
		}
	}
	keys := make([]line, 0, len(sums))
	for key := range sums {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.description, b.description), cmp.Compare(a.model, b.model), cmp.Compare(a.workspace, b.workspace),
			cmp.Compare(a.geo, b.geo), cmp.Compare(a.contextWindow, b.contextWindow))
	})
	var results []any
	for _, key := range keys {
		results = append(results, costResult{
			Amount: cents(sums[key]), Currency: "USD", CostType: orNull(key.costType), ContextWindow: orNull(key.contextWindow),
			Description: orNull(key.description), InferenceGeo: orNull(key.geo), Model: orNull(key.model), ServiceTier: orNull(key.tier),
			TokenType: orNull(key.tokenType), WorkspaceID: orNull(key.workspace),
		})
	}
	return results, nil
}
