package anthropic

import (
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/trace"
)

// The disjoint kinds of token, in the order of Request.Tokens.
const (
	Uncached = iota
	Write5m
	Write1h
	CacheRead
	Output
	leafCount
)

// Service tiers and geographies that the simulator reports.
const (
	TierStandard = "standard"
	TierBatch    = "batch"
	TierPriority = "priority"
	GeoGlobal    = "global"
	GeoUS        = "us"
	GeoNone      = "not_available" // models that cannot choose
)

// Context windows of a request, by its whole input.
const (
	contextBase = "0-200k"
	contextLong = "200k-1M"
	longAfter   = 200_000
)

// UnpricedModel is a model that the provider bills but that no public price list knows.
const UnpricedModel = "acme-internal-claude"

// Request is one request to a model, as the provider recorded it. Dimensions that are
// empty are null in answers: the default workspace, and the Console's own use.
type Request struct {
	Time           time.Time
	Model          string
	WorkspaceID    string
	APIKeyID       string
	AccountID      string
	ServiceTier    string
	InferenceGeo   string
	Tokens         [leafCount]int64
	WebSearches    int64
	ServiceAccount string
}

func (r Request) input() int64 {
	return r.Tokens[Uncached] + r.Tokens[Write5m] + r.Tokens[Write1h] + r.Tokens[CacheRead]
}

func (r Request) contextWindow() string {
	if r.input() > longAfter {
		return contextLong
	}
	return contextBase
}

// What is drawn for a row, apart from each other.
const (
	drawOrg trace.Purpose = iota + 101
	drawDay
	drawModel
	drawWorkspace
	drawKey
	drawAccount
	drawTier
	drawGeo
	drawHit
	drawShare
	drawWrite
	drawSearch
)

// shares are those of the models in thousandths, in the order of the price list, for the
// coding and the conversation requests.
var (
	codeShares = []int{300, 380, 160, 120, 40}
	convShares = []int{120, 380, 380, 80, 40}
)

// assign maps a trace row to an organisation and to a request there.
func (s *Server) assign(row trace.Row) (int, Request) {
	d := trace.Draws{Seed: s.config.Seed, Row: uint64(row.Index)}
	owner := s.pickOrg(d)
	o := s.orgs[owner]
	shares := convShares
	if row.Code {
		shares = codeShares
	}
	model := s.prices.models[pick(d.Below(1000, drawModel), shares)]
	r := Request{
		Time: s.config.Days[d.Below(len(s.config.Days), drawDay)].In(time.UTC).Add(row.TimeOfDay), Model: model.model,
		ServiceTier: TierStandard, InferenceGeo: GeoNone,
	}
	w := o.workspaces[d.Below(len(o.workspaces), drawWorkspace)]
	r.WorkspaceID = w.id
	if at := d.Below(len(w.keys)+1, drawKey); at < len(w.keys) {
		r.APIKeyID = w.keys[at]
	} else { // of the Console: no key, but a person
		r.AccountID = o.accounts[d.Below(len(o.accounts), drawAccount)]
	}
	switch at := d.Below(100, drawTier); {
	case at < 10:
		r.ServiceTier = TierBatch
	case at < 13:
		r.ServiceTier = TierPriority
	}
	if model.created.After(geoSince) {
		r.InferenceGeo = GeoGlobal
		if d.Below(10, drawGeo) == 0 {
			r.InferenceGeo = GeoUS
		}
	}
	if d.Below(20, drawSearch) == 0 && r.ServiceTier == TierStandard {
		r.WebSearches = 1 + int64(d.Below(3, drawSearch))
	}
	cache(d, &r, row)
	return owner, r
}

// geoSince is the day from which models can choose a geography, 4.6 on.
var geoSince = civil.Date{Year: 2026, Month: time.January, Day: 1}

// Prompts are cached from 1,024 tokens on.
const cacheMinimum = 1024

// cache splits the prompt: 70 % of the long prompts read 40 to 95 % of it from the cache,
// and half of the others write theirs, most for five minutes.
func cache(d trace.Draws, r *Request, row trace.Row) {
	rest := row.Context
	if rest >= cacheMinimum {
		switch {
		case d.Below(100, drawHit) < 70:
			r.Tokens[CacheRead] = rest * int64(40+d.Below(56, drawShare)) / 100
			rest -= r.Tokens[CacheRead]
			if d.Below(4, drawWrite) == 0 {
				r.Tokens[Write5m], rest = rest, 0
			}
		case d.Below(2, drawWrite) == 0:
			leaf := Write5m
			if d.Below(3, drawShare) == 0 {
				leaf = Write1h
			}
			r.Tokens[leaf] = rest / 2
			rest -= r.Tokens[leaf]
		}
	}
	r.Tokens[Uncached], r.Tokens[Output] = rest, row.Generated
}

func (s *Server) pickOrg(d trace.Draws) int {
	shares := make([]int, len(s.config.Orgs))
	total := 0
	for i, o := range s.config.Orgs {
		shares[i] = o.Share
		total += o.Share
	}
	return pick(d.Below(total, drawOrg), shares)
}

func pick(at int, shares []int) int {
	for i, share := range shares {
		if at -= share; at < 0 {
			return i
		}
	}
	return len(shares) - 1
}

// workspace is a workspace of an organisation; the default one has no id.
type workspace struct {
	id, name string
	keys     []string
}

func workspacesOf(org string) []workspace {
	var all []workspace
	for _, name := range []string{"", "production", "research"} {
		w := workspace{name: name}
		if name != "" {
			w.id = "wrkspc_" + trace.ID(org, name, 24)
		}
		for _, key := range []string{"service", "batch-jobs"} {
			w.keys = append(w.keys, "apikey_"+trace.ID(org, name+"/"+key, 24))
		}
		all = append(all, w)
	}
	return all
}

func accountsOf(org string) []string {
	var all []string
	for _, name := range []string{"ada", "grace", "katherine"} {
		all = append(all, "user_"+trace.ID(org, name, 24))
	}
	return all
}
