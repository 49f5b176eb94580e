package limit_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudact/convergence/api/limit"
)

// clock is a time that only moves when it is told.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()) }

func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func TestAMinutesWorthPassesAtOnceAndNoMore(t *testing.T) {
	c := newClock()
	l := limit.New(60, c.now)
	for i := range 60 {
		a := l.Take("acme")
		if !a.Allowed || a.Limit != 60 || a.Remaining != 59-i || a.Retry != 0 {
			t.Fatalf("call %d: %+v", i, a)
		}
	}
	a := l.Take("acme")
	if a.Allowed || a.Remaining != 0 || a.Retry != time.Second || a.Reset != time.Minute {
		t.Errorf("the call above the limit: %+v", a)
	}
	if !l.Take("globex").Allowed {
		t.Error("another key pays for the first")
	}
}

func TestARefusedCallMayPassAfterItsDelayAndNotBefore(t *testing.T) {
	c := newClock()
	l := limit.New(30, c.now)
	for l.Take("acme").Allowed {
	}
	a := l.Take("acme")
	c.pass(a.Retry - time.Millisecond)
	if l.Take("acme").Allowed {
		t.Error("it passed too early")
	}
	c.pass(2 * time.Millisecond)
	if a := l.Take("acme"); !a.Allowed {
		t.Errorf("it did not pass: %+v", a)
	}
	if l.Take("acme").Allowed {
		t.Error("the delay earned more than one call")
	}
}

func TestAFloodOfKeysIsForgottenButNotABusyOne(t *testing.T) {
	c := newClock()
	l := limit.New(60, c.now)
	for range 60 {
		l.Take("busy")
	}
	for i := range 300_000 {
		c.pass(2 * time.Millisecond) // each bucket is full again long before the flood ends
		l.Take(strconv.Itoa(i))
		if i%500 == 0 {
			for l.Take("busy").Allowed {
			}
		}
	}
	left := 0
	for l.Take("busy").Allowed {
		left++
	}
	if left > 2 { // what a second earned; a forgotten bucket would hold 60
		t.Errorf("the flood made room by forgetting a busy key: %d calls passed", left)
	}
}

func TestTakesAreCountedOnceEach(t *testing.T) {
	c := newClock()
	l := limit.New(100, c.now)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if l.Take("acme").Allowed {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d calls passed", passed.Load())
	}
}
