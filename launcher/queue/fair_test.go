package queue_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

const (
	manyRuns = 1000
	manyOrgs = 20
)

// crowd is a world in which nothing goes wrong, with organisations whose limits are 1 to
// 20 and whose runs all wait.
func crowd(limit int) (*world, []launcher.Request) {
	w := newWorld(1, none)
	w.calm, w.limit = true, limit
	for i := range manyOrgs {
		w.limits[fmt.Sprintf("org%02d", i+1)] = i + 1
	}
	var requests []launcher.Request
	for i := range manyRuns {
		r := launcher.Request{RunID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)).String(), Org: fmt.Sprintf("org%02d", i%manyOrgs+1), Trigger: queue.TriggerScheduler}
		w.slices[r.RunID] = r.RunID
		requests = append(requests, r)
	}
	return w, requests
}

// fairShares shares slots out evenly up to each one's limit: the ideal to compare with.
func fairShares(limits []int, slots float64) []float64 {
	out := make([]float64, len(limits))
	left := slices.Clone(limits)
	for i, limit := range slices.Sorted(slices.Values(left)) {
		share := min(float64(limit), slots/float64(len(limits)-i))
		slots -= share
		for j, l := range limits {
			if l == limit && out[j] == 0 {
				out[j] = share
				break
			}
		}
	}
	return out
}

// jain is 1 when everybody has the same, 1/n when one has all.
func jain(x []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

// 1,000 runs of 20 organisations with limits 1 to 20 want the slots of one service that
// has room for 60: nobody ever has more than allowed (the world checks that at every
// change), and whoever waits gets an even share.
func TestSlotsAreSharedOutEvenly(t *testing.T) {
	oneAtATime(t)
	synctest.Test(t, func(t *testing.T) {
		w, requests := crowd(60)
		p := w.start(1, func() {})
		for _, r := range requests {
			if _, _, err := p.Submit(p.ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute) // until everybody has had a first share
		used := make([]float64, manyOrgs)
		samples, busy := 0, 0
		for start := time.Now(); !w.finished() && time.Since(start) < 10*time.Hour; time.Sleep(5 * time.Second) {
			running, waiting := w.tally()
			if slices.Min(waiting) > 0 {
				samples++
				for i, n := range running {
					used[i] += float64(n)
					busy += n
				}
			}
		}
		p.stop()
		if w.broken != nil || !w.finished() {
			t.Fatalf("broken: %v, finished: %t", w.broken, w.finished())
		}
		limits := make([]int, manyOrgs)
		for i := range limits {
			limits[i] = i + 1
		}
		for i, fair := range fairShares(limits, 60) {
			used[i] /= float64(samples) * fair
		}
		t.Logf("Jain %.4f over %d times 5 s in which all wanted more, %.1f of 60 slots in use; shares of the ideal %.2f", jain(used), samples, float64(busy)/float64(samples), used)
		if samples < 60 || jain(used) < 0.95 || float64(busy)/float64(samples) < 0.9*60 {
			t.Error("slots are not shared out evenly, or not all used")
		}
	})
}

// tally counts, by organisation, the runs that run and those that wait.
func (w *world) tally() (running, waiting []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	running, waiting = make([]int, manyOrgs), make([]int, manyOrgs)
	for _, run := range w.runs {
		var i int
		_, _ = fmt.Sscanf(run.Org, "org%d", &i)
		switch run.State {
		case launcher.Running:
			running[i-1]++
		case launcher.Pending:
			waiting[i-1]++
		}
	}
	return running, waiting
}

// Runs that a person asks for have a slot of their organisation from the moment on that
// they are admitted, and wait for one of those that all share: these are shared out evenly,
// too.
func TestRunsThatHaveASlotOfTheirOrganisationWaitInTurn(t *testing.T) {
	oneAtATime(t)
	for name, c := range map[string]struct{ processes, apart int }{
		"one process":   {1, 2},
		"two processes": {2, 3}, // each starts the runs that it was asked for
	} {
		t.Run(name, func(t *testing.T) { waitInTurn(t, c.processes, c.apart) })
	}
}

// waitInTurn wants no organisation to be ahead of another by more runs than apart.
func waitInTurn(t *testing.T, processes, apart int) {
	const each = 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, none)
		w.calm, w.limit = true, manyOrgs/2
		var all []*process
		for n := range processes {
			all = append(all, w.start(n+1, func() {}))
		}
		for i := range manyOrgs {
			org := fmt.Sprintf("org%02d", i+1)
			w.limits[org] = each
			for n := range each {
				r := launcher.Request{RunID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, org, n)).String(), Org: org, Trigger: "api"}
				w.mu.Lock()
				w.slices[r.RunID] = r.RunID
				w.mu.Unlock()
				p := all[(i+n)%processes]
				if _, _, err := p.Submit(p.ctx, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		worst := 0
		for start := time.Now(); !w.finished() && time.Since(start) < 10*time.Hour; time.Sleep(time.Second) {
			if _, waiting := w.tally(); slices.Min(waiting) > 0 {
				worst = max(worst, slices.Max(waiting)-slices.Min(waiting))
			}
		}
		if t.Logf("at most %d runs apart", worst); worst > apart {
			t.Errorf("organisations were %d runs apart, more than %d", worst, apart)
		}
		for _, p := range all {
			p.stop()
		}
		if w.broken != nil || !w.finished() {
			t.Fatalf("broken: %v, finished: %t", w.broken, w.finished())
		}
	})
}

// A noisy organisation does not make another one wait longer than it would alone.
func TestNoisyNeighbourIsNotFelt(t *testing.T) {
	oneAtATime(t)
	wait := func(noisy int) (longest time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(3, none)
			w.calm, w.limit = true, 10
			w.limits["quiet"], w.limits["noisy"] = 5, 10
			p := w.start(1, func() {})
			submit := func(org string, i int) launcher.Request {
				r := launcher.Request{RunID: uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, org, i)).String(), Org: org, Trigger: queue.TriggerScheduler, Priority: 1}
				if org == "quiet" {
					r.Priority = 9 // priorities do not reach across organisations
				}
				w.mu.Lock()
				w.slices[r.RunID] = r.RunID
				w.mu.Unlock()
				if _, _, err := p.Submit(p.ctx, r); err != nil {
					t.Fatal(err)
				}
				return r
			}
			for i := range noisy {
				submit("noisy", i)
			}
			time.Sleep(time.Minute)
			for i := range 20 {
				submit("quiet", i)
				time.Sleep(20 * time.Second)
			}
			time.Sleep(10 * time.Minute)
			p.stop()
			for _, run := range w.runs {
				if run.Org == "quiet" {
					longest = max(longest, run.Began.Sub(run.Start))
				}
			}
			if w.broken != nil {
				t.Fatal(w.broken)
			}
		})
		return longest
	}
	alone, beside := wait(0), wait(300)
	// A slot must come free first, which takes part of a job's time: 46 s on average for one of ten.
	if t.Logf("waits at most %s alone, %s beside 300 runs", alone, beside); beside > alone+30*time.Second {
		t.Errorf("waits at most %s alone, %s beside a noisy organisation", alone, beside)
	}
}
