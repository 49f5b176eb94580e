// Package limit is token buckets by key: so many calls a minute, all of them at once if
// the key was quiet before. Buckets live in this process: a service of n instances lets n
// times as much pass. It knows neither HTTP nor whose keys they are.
package limit

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	shards      = 32
	maxPerShard = 4096 // keys; a bucket that is full again is forgotten first
)

// Limiter bounds calls per key. It is safe for concurrent use and needs no closing.
type Limiter struct {
	perMinute int
	now       func() time.Time
	seed      maphash.Seed
	shards    [shards]shard
}

type shard struct {
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// Answer says whether a call may pass, and what to tell its caller. Reset is the time
// until the bucket is full again; Retry is zero when the call may pass.
type Answer struct {
	Allowed   bool
	Limit     int
	Remaining int
	Reset     time.Duration
	Retry     time.Duration
}

// New returns a limiter of perMinute calls per key and minute; perMinute is positive.
func New(perMinute int, now func() time.Time) *Limiter {
	l := &Limiter{perMinute: perMinute, now: now, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].buckets = map[string]*rate.Limiter{}
	}
	return l
}

// Take takes one call out of the bucket of a key.
func (l *Limiter) Take(key string) Answer {
	s := &l.shards[maphash.String(l.seed, key)%shards]
	now := l.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, ok := s.buckets[key]
	if !ok {
		if len(s.buckets) >= maxPerShard {
			l.makeRoom(s, now)
		}
		bucket = rate.NewLimiter(l.rate(), l.perMinute)
		s.buckets[key] = bucket
	}
	allowed := bucket.AllowN(now, 1)
	tokens := bucket.TokensAt(now)
	a := Answer{Allowed: allowed, Limit: l.perMinute, Remaining: max(int(tokens), 0), Reset: l.until(float64(l.perMinute) - tokens)}
	if !allowed {
		a.Retry = l.until(1 - tokens)
	}
	return a
}

func (l *Limiter) rate() rate.Limit { return rate.Limit(float64(l.perMinute) / time.Minute.Seconds()) }

// until is how long it takes to earn tokens.
func (l *Limiter) until(tokens float64) time.Duration {
	return time.Duration(max(tokens, 0) / float64(l.rate()) * float64(time.Second))
}

// makeRoom forgets buckets that are full, which is what a new bucket is, and if there is
// none, any one: a flood of keys may not fill the memory.
func (l *Limiter) makeRoom(s *shard, now time.Time) {
	for key, bucket := range s.buckets {
		if bucket.TokensAt(now) >= float64(l.perMinute) {
			delete(s.buckets, key)
		}
	}
	if len(s.buckets) < maxPerShard {
		return
	}
	for key := range s.buckets {
		delete(s.buckets, key)
		return
	}
}
