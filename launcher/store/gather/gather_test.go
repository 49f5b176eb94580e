package gather_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudact/convergence/launcher/store/gather"
)

const callTakes = time.Second

// sums is a call that takes a second and answers with the sum of what was asked.
type sums struct {
	mu    sync.Mutex
	calls [][]int
	began []time.Time
	fails error
}

func (s *sums) call(ctx context.Context, asked []int) (int, error) {
	s.mu.Lock()
	s.calls, s.began = append(s.calls, slices.Sorted(slices.Values(asked))), append(s.began, time.Now())
	s.mu.Unlock()
	select {
	case <-time.After(callTakes):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	sum := 0
	for _, n := range asked {
		sum += n
	}
	return sum, s.fails
}

func one(int) int { return 1 }

func TestOneWhoAsksAloneDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sums{}
		g := gather.New(10, one, s.call)
		for n := range 3 {
			begun := time.Now()
			if sum, err := g.Ask(t.Context(), n); sum != n || err != nil || time.Since(begun) != callTakes {
				t.Errorf("asked %d: %d %v after %s", n, sum, err, time.Since(begun))
			}
		}
	})
}

func TestManyAreAnsweredByFewCallsThatBeganAfterTheyAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sums{}
		g := gather.New(40, one, s.call)
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				asked := time.Now()
				if _, err := g.Ask(t.Context(), n); err != nil {
					t.Error(err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				i := slices.IndexFunc(s.calls, func(call []int) bool { return slices.Contains(call, n) })
				if i < 0 || s.began[i].Before(asked) {
					t.Errorf("%d was answered by call %d, which began before", n, i)
				}
			})
		}
		wg.Wait()
		seen := map[int]int{}
		for _, call := range s.calls {
			for _, n := range call {
				seen[n]++
			}
			if len(call) > 40 {
				t.Errorf("a call carried %d", len(call))
			}
		}
		if len(seen) != 100 || len(s.calls) != 5 { // two at once, then 40, 40, 18
			t.Errorf("%d calls carried %d questions", len(s.calls), len(seen))
		}
	})
}

func TestWhatIsTooHeavyGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sums{}
		g := gather.New(10, func(n int) int { return n }, s.call)
		var wg sync.WaitGroup
		for i, n := range []int{1, 1, 4, 99, 3, 3} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if _, err := g.Ask(t.Context(), n); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		slices.SortFunc(s.calls, slices.Compare)
		if want := [][]int{{1}, {1}, {3, 3}, {4}, {99}}; !slices.EqualFunc(s.calls, want, slices.Equal) {
			t.Errorf("calls %v, want %v", s.calls, want)
		}
	})
}

func TestACallEndsEarlyOnlyWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sums{}
		g := gather.New(10, one, s.call)
		busy := make(chan struct{})
		for range 2 {
			go func() { _, _ = g.Ask(t.Context(), 0); busy <- struct{}{} }()
			synctest.Wait() // each is a call of its own
		}
		short, cancel := context.WithTimeout(t.Context(), callTakes+callTakes/2)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := g.Ask(short, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one who has gone: %v", err)
			}
		})
		wg.Go(func() {
			if sum, err := g.Ask(t.Context(), 2); sum != 3 || err != nil {
				t.Errorf("one who has stayed: %d %v", sum, err)
			}
		})
		<-busy
		<-busy
		wg.Wait()
		gone, cancelled := context.WithTimeout(t.Context(), callTakes/2)
		defer cancelled()
		begun := time.Now()
		if _, err := g.Ask(gone, 7); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != callTakes/2 {
			t.Errorf("one alone: %v after %s", err, time.Since(begun))
		}
	})
}

func TestAFailureIsEverybodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sums{fails: errors.New("down")}
		g := gather.New(10, one, s.call)
		var wg sync.WaitGroup
		for n := range 5 {
			wg.Go(func() {
				if _, err := g.Ask(t.Context(), n); !errors.Is(err, s.fails) {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		wg.Wait()
	})
}
