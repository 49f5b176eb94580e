package openai

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"cloud.google.com/go/civil"
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

// purpose separates the draws of one row from each other, so that one more
// draw changes none of the others.
type purpose uint64

const (
	drawOrg purpose = iota + 1
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

type draws struct {
	seed uint64
	row  uint64
}

// below returns an evenly distributed number in [0, n). It mixes its inputs
// with the finaliser of SplitMix64, which, unlike a library's generator, can
// not change with a Go release.
func (d draws) below(n int, what purpose) int {
	x := d.seed
	for _, part := range []uint64{d.row, uint64(what)} {
		x += 0x9e3779b97f4a7c15 + part
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
		x = (x ^ (x >> 27)) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return int(x % uint64(n))
}

// assign maps a trace row to an organisation, by its place in the
// configuration, and to a request there.
func (s *Server) assign(row traceRow) (int, Request, error) {
	d := draws{seed: s.config.Seed, row: uint64(row.index)}
	owner := s.pickOrg(d)
	day := s.config.Days[d.below(len(s.config.Days), drawDay)]
	model := pickModel(d, row.code)
	project := s.orgs[owner].projects[d.below(activeProjects, drawProject)]
	request := Request{
		Row:         row.index,
		Time:        day.In(time.UTC).Add(row.timeOfDay),
		UsageType:   model.usageType,
		ProjectID:   project.id,
		APIKeyID:    project.keys[d.below(len(project.keys), drawKey)],
		UserID:      s.orgs[owner].users[d.below(len(s.orgs[owner].users), drawUser)],
		Model:       model.id,
		ServiceTier: TierDefault,
		InputTokens: row.context,
	}
	if model.usageType == Embeddings {
		return owner, request, nil
	}
	request.OutputTokens = row.generated
	s.pickTier(d, &request)
	entry, ok := s.prices.on(request.Model, request.billingTier(), day)
	if !ok {
		return 0, Request{}, fmt.Errorf("map trace row %d: no price for %s", row.index, request.Model)
	}
	pickCache(d, &request, entry)
	return owner, request, nil
}

func (s *Server) pickOrg(d draws) int {
	total := 0
	for _, o := range s.config.Orgs {
		total += o.Share
	}
	at := d.below(total, drawOrg)
	for i, o := range s.config.Orgs {
		if at -= o.Share; at < 0 {
			return i
		}
	}
	return len(s.config.Orgs) - 1
}

func pickModel(d draws, code bool) offering {
	at := d.below(1000, drawModel)
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
func (s *Server) pickTier(d draws, r *Request) {
	day := civil.DateOf(r.Time)
	at := d.below(100, drawTier)
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
func pickCache(d draws, r *Request, entry price) {
	if r.InputTokens < cacheMinimum {
		return
	}
	if entry.perToken[leafCached] != nil && d.below(100, drawCacheHit) < 60 {
		share := int64(30 + d.below(66, drawCacheShare))
		r.CachedTokens = r.InputTokens * share / 100 / cacheStep * cacheStep
	}
	if entry.perToken[leafCacheWrite] != nil && d.below(2, drawCacheWrite) == 0 {
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
			id:       "proj_" + identifier(org, name, 24),
			name:     name,
			created:  civil.Date{Year: 2025, Month: time.Month(3 + i), Day: 3},
			archived: i >= activeProjects,
		}
		for _, key := range []string{"service", "batch-jobs"} {
			p.keys = append(p.keys, "key_"+identifier(org, name+"/"+key, 16))
		}
		all = append(all, p)
	}
	return all
}

func usersOf(org string) []string {
	var users []string
	for _, name := range []string{"ada", "grace", "katherine", "radia"} {
		users = append(users, "user-"+identifier(org, name, 24))
	}
	return users
}

// identifier is stable over seeds, so that names keep their meaning between
// runs.
func identifier(org, name string, length int) string {
	sum := sha256.Sum256([]byte(org + "\x00" + name))
	return hex.EncodeToString(sum[:])[:length]
}
