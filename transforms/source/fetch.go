package source

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"golang.org/x/time/rate"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	beam.RegisterType(reflect.TypeFor[row.Position]())
	register.DoFn4x1[context.Context, string, func(*int) bool, func(row.Page), error](&Fetch{})
	register.DoFn3x1[string, func(*row.Position) bool, func(string, int), error](&resume{})
	register.Function2x0(noStarts)
	register.Iter1[row.Position]()
	register.Iter1[int]()
	register.Emitter2[string, int]()
	register.Emitter1[row.Page]()
	register.Emitter1[row.Position]()
}

const (
	defaultParallel = 8
	prefetched      = 2 // pages that may wait for the decoder
)

// Fetch requests the pages of the jobs in each of its elements, which are JSON lists of
// jobs, several at once, and emits pages with raw bodies. Whatever a provider does ends that partition with a page that has a Failure.
type Fetch struct {
	StepID     string
	Org        string
	Auth       *Auth
	PerSecond  float64 // requests; 0 for no limit
	MaxRetries int
	RetryOn429 bool
	TimeoutMS  int64
	Parallel   int

	client                   *client
	credentialErr            error
	pages, requests, retries beam.Counter
}

// Setup opens the credential once per worker; that it cannot be opened is told by every
// partition, not by an error that would stop the job.
func (f *Fetch) Setup(ctx context.Context) error {
	w := current()
	opened, err := openCredential(ctx, w, f.Org, f.Auth)
	f.credentialErr = err
	pace := rate.Inf
	if f.PerSecond > 0 {
		pace = rate.Limit(f.PerSecond)
	}
	f.client = &client{
		http: newHTTPClient(w.guard, f.Parallel), wiring: w, credential: opened, limits: defaultLimits,
		limiter: rate.NewLimiter(pace, max(1, int(f.PerSecond))), timeout: time.Duration(f.TimeoutMS) * time.Millisecond,
		retries: f.MaxRetries, retryOn429: f.RetryOn429,
	}
	f.pages = beam.NewCounter(f.StepID, "fetched_pages")
	f.requests = beam.NewCounter(f.StepID, "requests")
	f.retries = beam.NewCounter(f.StepID, "retries")
	return nil
}

// Teardown closes idle connections.
func (f *Fetch) Teardown() {
	if f.client != nil {
		f.client.http.CloseIdleConnections()
	}
}

// noStarts stands in where nothing is resumed.
func noStarts(_ []byte, _ func(row.Position)) {}

// startsOf keeps the furthest start of each partition.
func startsOf(next func(*row.Position) bool) map[string]row.Position {
	out := map[string]row.Position{}
	for p := (row.Position{}); next(&p); p = (row.Position{}) {
		at := constantsKey(p.Unit, p.Partition)
		if known, ok := out[at]; !ok || known.Index < p.Index {
			out[at] = p
		}
	}
	return out
}

// resume gives the partitions of each shard, a JSON list, the pages that they start at.
type resume struct{ StepID string }

// ProcessElement emits the jobs of one shard as a key: no two shards are alike, unless
// nothing is left of them.
func (r *resume) ProcessElement(shard string, starts func(*row.Position) bool, emit func(string, int)) error {
	var partitions []partition
	if err := json.Unmarshal([]byte(shard), &partitions); err != nil {
		return fmt.Errorf("step %s: reading its partitions: %w", r.StepID, err)
	}
	text, err := json.Marshal(remaining(partitions, startsOf(starts)))
	if err != nil {
		return fmt.Errorf("step %s: writing where its partitions start: %w", r.StepID, err)
	}
	emit(string(text), 0)
	return nil
}

// ProcessElement runs the jobs of one shard. Emitting and counting happen on the calling
// goroutine alone, because Beam's emitters and counters are not thread-safe.
func (f *Fetch) ProcessElement(ctx context.Context, shard string, _ func(*int) bool, emit func(row.Page)) error {
	var jobs []job
	if err := json.Unmarshal([]byte(shard), &jobs); err != nil {
		return fmt.Errorf("step %s: reading its jobs: %w", f.StepID, err)
	}
	running, cancel := context.WithCancel(ctx)
	out := f.start(running, jobs)
	defer func() {
		cancel()
		for range out { // goroutines end before the element does
		}
	}()
	for page := range out {
		f.requests.Inc(ctx, page.Requests)
		f.retries.Inc(ctx, max(0, page.Requests-1))
		if page.Failure == nil {
			f.pages.Inc(ctx, 1)
		}
		emit(page)
	}
	return ctx.Err()
}

// job is a partition with the page that it starts at.
type job struct {
	Partition partition    `json:"partition"`
	From      row.Position `json:"from"`
}

// remaining leaves out the partitions that have nothing left to fetch.
func remaining(partitions []partition, starts map[string]row.Position) []job {
	var out []job
	for _, p := range partitions {
		from := starts[constantsKey(p.Unit, p.Name)]
		if !from.Last && !starts[constantsKey(p.Unit, "")].Last {
			out = append(out, job{p, from})
		}
	}
	return out
}

// start runs the partitions in order, at most Parallel at once; the channel is closed
// when all have ended.
func (f *Fetch) start(ctx context.Context, partitions []job) <-chan row.Page {
	out := make(chan row.Page, prefetched)
	work := make(chan job, len(partitions))
	for _, p := range partitions {
		work <- p
	}
	close(work)
	var workers sync.WaitGroup
	for range min(max(1, f.Parallel), len(partitions)) {
		workers.Go(func() {
			for p := range work {
				if ctx.Err() != nil {
					return
				}
				f.run(ctx, p, out)
			}
		})
	}
	go func() {
		workers.Wait()
		close(out)
	}()
	return out
}

// run fetches one partition to its end. A page is handed over as soon as its position
// is read, so that the next request is under way while the page is decoded. A cursor of
// an earlier attempt that the provider refuses makes the partition start over, under a
// pass of its own: what was staged before belongs to another reading of the provider.
func (f *Fetch) run(ctx context.Context, j job, out chan<- row.Page) {
	p, from := j.Partition, j.From
	chain := newChain(p, f.client.limits, from)
	pass, wasted := from.Pass, int64(0)
	for {
		page := row.Page{Position: row.Position{Unit: p.Unit, Partition: p.Name, Pass: pass, Index: chain.index, First: chain.cursor}}
		got, err := answer{}, f.credentialErr
		if err == nil {
			got, page.Requests, err = f.client.page(ctx, p, chain.cursor)
		}
		if from.Index > 0 && chain.index == from.Index && isRefusal(err) {
			wasted = page.Requests
			from, pass = row.Position{}, rand.Text()
			chain = newChain(p, f.client.limits, from)
			continue
		}
		page.Requests, wasted = page.Requests+wasted, 0
		if err == nil {
			err = chain.advance(got.standing)
		}
		if ctx.Err() != nil {
			return
		}
		page.FetchedAt = time.Now().UnixMicro()
		if err != nil {
			page.Failure = asFailure(err)
		} else {
			page.Body, page.Next, page.Last = got.body, chain.cursor, chain.cursor == ""
		}
		select {
		case out <- page:
		case <-ctx.Done():
			return
		}
		if err != nil || page.Last {
			return
		}
	}
}

// chain follows the cursors of one partition and refuses sequences that cannot be whole.
type chain struct {
	partition partition
	limits    limits
	cursor    string // of the page to fetch
	index     int64
	seen      map[string]bool
	present   bool // some answer had the position path
}

func newChain(p partition, l limits, from row.Position) chain {
	return chain{partition: p, limits: l, cursor: from.First, index: from.Index, seen: map[string]bool{from.First: true}}
}

// advance moves to the next page; afterwards cursor is "" if the sequence has ended.
func (c *chain) advance(s standing) error {
	p := c.partition.Paging
	if !p.Cursor {
		c.cursor = ""
		return c.single(s)
	}
	c.present = c.present || s.present
	if s.ended {
		s.next = ""
	}
	switch {
	case s.next == "" && s.more:
		return failf(codeExtraction, "%s: page %d says %s: true but has no next position at %s", c.partition.Name, c.index, p.More, p.Position)
	case s.next == "" && !s.ended && !c.present && p.Limit > 0 && s.items >= p.Limit:
		return failf(codeExtraction, "%s: page %d is full (%d records) and no answer had the position %s: check pagination.response_path",
			c.partition.Name, c.index, s.items, p.Position)
	case s.next != "" && (s.next == c.cursor || c.seen[s.next]):
		return failf(codeLoop, "%s: page %d leads back to a page that was already fetched", c.partition.Name, c.index)
	case s.next != "" && c.index+1 >= c.limits.pages:
		return failf(codePages, "%s has more than %d pages: narrow the request", c.partition.Name, c.limits.pages)
	}
	c.cursor = s.next
	c.seen[s.next] = true
	c.index++
	return nil
}

// single checks the only answer of a partition without pagination.
func (c *chain) single(s standing) error {
	if s.more {
		return failf(codeExtraction, "%s says %s: true but the step declares no pagination", c.partition.Name, c.partition.Paging.More)
	}
	return nil
}
