package openai

import (
	"fmt"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/trace"
)

// offering is a model and its share, in thousandths, of the coding and of the
// conversation requests.
type offering struct {
	id        string
	created   civil.Date
	ownedBy   string
	usageType string
	code      int
	conv      int
}

// offerings is what the simulated provider serves. Snapshots carry the date in
// their name; the creation dates of the others are invented.
var offerings = []offering{
	{"gpt-5.6-sol", civil.Date{Year: 2026, Month: 6, Day: 25}, "system", Completions, 220, 60},
	{"gpt-5-2025-08-07", civil.Date{Year: 2025, Month: 8, Day: 7}, "system", Completions, 220, 120},
	{"gpt-5-mini-2025-08-07", civil.Date{Year: 2025, Month: 8, Day: 7}, "system", Completions, 100, 200},
	{"gpt-4.1-2025-04-14", civil.Date{Year: 2025, Month: 4, Day: 14}, "system", Completions, 230, 80},
	{"gpt-4o-2024-08-06", civil.Date{Year: 2024, Month: 8, Day: 6}, "system", Completions, 80, 180},
	{"gpt-4o-mini-2024-07-18", civil.Date{Year: 2024, Month: 7, Day: 18}, "system", Completions, 60, 280},
	{UnpricedModel, civil.Date{Year: 2026, Month: 5, Day: 4}, "acme", Completions, 30, 30},
	{"text-embedding-3-small", civil.Date{Year: 2024, Month: 1, Day: 25}, "system", Embeddings, 60, 50},
}

// What is drawn for a row, apart from each other.
const (
	drawOrg trace.Purpose = iota + 1
	drawDay
	drawModel
	drawProject
	drawKey
	drawUser
	drawTier
	drawCacheHit
	drawCacheShare
	drawCacheWrite
)

// assign maps a trace row to an organisation, by its place in the
// configuration, and to a request there.
func (s *Server) assign(row trace.Row) (int, Request, error) {
	d := trace.Draws{Seed: s.config.Seed, Row: uint64(row.Index)}
	owner := s.pickOrg(d)
	day := s.config.Days[d.Below(len(s.config.Days), drawDay)]
	model := pickModel(d, row.Code)
	project := s.orgs[owner].projects[d.Below(activeProjects, drawProject)]
	request := Request{
		Row:         row.Index,
		Time:        day.In(time.UTC).Add(row.TimeOfDay),
		UsageType:   model.usageType,
		ProjectID:   project.id,
		APIKeyID:    project.keys[d.Below(len(project.keys), drawKey)],
		UserID:      s.orgs[owner].users[d.Below(len(s.orgs[owner].users), drawUser)],
		Model:       model.id,
		ServiceTier: TierDefault,
		InputTokens: row.Context,
	}
	if model.usageType == Embeddings {
		return owner, request, nil
	}
	request.OutputTokens = row.Generated
	s.pickTier(d, &request)
	entry, ok := s.prices.on(request.Model, request.billingTier(), day)
	if !ok {
		return 0, Request{}, fmt.Errorf("map trace row %d: no price for %s", row.Index, request.Model)
	}
	pickCache(d, &request, entry)
	return owner, request, nil
}

func (s *Server) pickOrg(d trace.Draws) int {
	total := 0
	for _, o := range s.config.Orgs {
		total += o.Share
	}
	at := d.Below(total, drawOrg)
	for i, o := range s.config.Orgs {
		if at -= o.Share; at < 0 {
			return i
		}
	}
	return len(s.config.Orgs) - 1
}

func pickModel(d trace.Draws, code bool) offering {
	at := d.Below(1000, drawModel)
	for _, model := range offerings {
		share := model.conv
		if code {
			share = model.code
		}
		if at -= share; at < 0 {
			return model
		}
	}
	return offerings[len(offerings)-1]
}

// pickTier makes 8 % of the requests batch, 6 % flex and 4 % priority, as far
// as the model has a published price for it.
func (s *Server) pickTier(d trace.Draws, r *Request) {
	day := civil.DateOf(r.Time)
	at := d.Below(100, drawTier)
	tier := TierDefault
	switch {
	case at < 8:
		tier = tierBatch
	case at < 14:
		tier = TierFlex
	case at < 18:
		tier = TierPriority
	}
	if _, priced := s.prices.on(r.Model, tier, day); !priced {
		return
	}
	if tier == tierBatch {
		r.Batch = true
		return
	}
	r.ServiceTier = tier
}

// Prompts are cached from 1,024 tokens on, in steps of 128.
const (
	cacheMinimum = 1024
	cacheStep    = 128
)

// pickCache lets 60 % of the long prompts hit the cache with 30 to 95 % of
// their tokens. Half of the prompts of a model with paid cache writes write
// what is left over.
func pickCache(d trace.Draws, r *Request, entry price) {
	if r.InputTokens < cacheMinimum {
		return
	}
	if entry.perToken[leafCached] != nil && d.Below(100, drawCacheHit) < 60 {
		share := int64(30 + d.Below(66, drawCacheShare))
		r.CachedTokens = r.InputTokens * share / 100 / cacheStep * cacheStep
	}
	if entry.perToken[leafCacheWrite] != nil && d.Below(2, drawCacheWrite) == 0 {
		r.CacheWriteTokens = (r.InputTokens - r.CachedTokens) / cacheStep * cacheStep
	}
}

// project is a project of a simulated organisation.
type project struct {
	id       string
	name     string
	created  civil.Date
	archived bool
	keys     []string
}

// activeProjects is how many of an organisation's projects, the first ones,
// are in use; the others are archived.
const activeProjects = 3

func projectsOf(org string) []project {
	var all []project
	for i, name := range []string{"production", "research", "support", "pilot-2025"} {
		p := project{
			id:       "proj_" + trace.ID(org, name, 24),
			name:     name,
			created:  civil.Date{Year: 2025, Month: time.Month(3 + i), Day: 3},
			archived: i >= activeProjects,
		}
		for _, key := range []string{"service", "batch-jobs"} {
			p.keys = append(p.keys, "key_"+trace.ID(org, name+"/"+key, 16))
		}
		all = append(all, p)
	}
	return all
}

func usersOf(org string) []string {
	var users []string
	for _, name := range []string{"ada", "grace", "katherine", "radia"} {
		users = append(users, "user-"+trace.ID(org, name, 24))
	}
	return users
}
