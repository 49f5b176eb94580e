// Package gather makes one call of what many callers ask for at the same time. It is for
// calls whose cost hardly depends on how much is asked, such as a statement of a
// warehouse, and knows nothing of what is called.
package gather

import (
	"context"
	"sync"
)

// atOnce is how many calls are under way at once: a slow one does not hold up all others.
const atOnce = 2

// Gatherer collects what is asked while its calls are under way. Whoever asks is answered
// by a call that began after; one who asks alone does not wait for others. Make one with
// New. It is safe for concurrent use.
type Gatherer[Q, A any] struct {
	call  func(ctx context.Context, asked []Q) (A, error)
	weigh func(Q) int
	most  int // weight of one call

	mu      sync.Mutex
	busy    int
	waiting []*question[Q, A]
}

type question[Q, A any] struct {
	asked  Q
	ctx    context.Context
	gone   context.CancelFunc
	answer A
	err    error
	done   chan struct{}
}

// New returns a gatherer whose calls carry questions of at most a weight together, or one
// that is heavier. All who are answered by one call get the same answer.
func New[Q, A any](most int, weigh func(Q) int, call func(ctx context.Context, asked []Q) (A, error)) *Gatherer[Q, A] {
	return &Gatherer[Q, A]{call: call, weigh: weigh, most: most}
}

// Ask returns the answer of a call that carried the question, or ctx.Err() when ctx ends
// before: the call may be made all the same, if others wait for it.
func (g *Gatherer[Q, A]) Ask(ctx context.Context, asked Q) (A, error) {
	q := &question[Q, A]{asked: asked, done: make(chan struct{})}
	q.ctx, q.gone = context.WithCancel(ctx)
	defer q.gone()
	g.mu.Lock()
	g.waiting = append(g.waiting, q)
	if g.busy < atOnce {
		g.busy++
		go g.work()
	}
	g.mu.Unlock()
	select {
	case <-q.done:
		return q.answer, q.err
	case <-ctx.Done():
		var none A
		return none, ctx.Err()
	}
}

// work makes calls until nobody waits.
func (g *Gatherer[Q, A]) work() {
	for {
		some := g.next()
		if len(some) == 0 {
			return
		}
		g.answer(some)
	}
}

// next takes the questions of the next call; none gives the worker's place up.
func (g *Gatherer[Q, A]) next() []*question[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var some []*question[Q, A]
	for weight := 0; len(g.waiting) > 0; g.waiting = g.waiting[1:] {
		q := g.waiting[0]
		if q.ctx.Err() != nil { // nobody waits for it any more
			continue
		}
		if weight += g.weigh(q.asked); weight > g.most && len(some) > 0 {
			return some
		}
		some = append(some, q)
	}
	g.waiting = nil
	if len(some) == 0 {
		g.busy--
	}
	return some
}

// answer makes one call. It ends early only when all who wait for it have gone.
func (g *Gatherer[Q, A]) answer(some []*question[Q, A]) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(some[0].ctx))
	defer cancel()
	var mu sync.Mutex
	left := len(some)
	asked := make([]Q, len(some))
	for i, q := range some {
		asked[i] = q.asked
		stop := context.AfterFunc(q.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		})
		defer stop()
	}
	answer, err := g.call(ctx, asked)
	for _, q := range some {
		q.answer, q.err = answer, err
		close(q.done)
	}
}
