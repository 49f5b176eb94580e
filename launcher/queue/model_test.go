package queue_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

var (
	seedFlag = flag.Uint64("queue.seed", 1, "seed that TestSeed plays")
	flawFlag = flag.Int("queue.flaw", 0, "flaw that TestSeed plays it with")
)

// play lets two or three processes work on the runs of some organisations for a while in
// which requests are lost, processes stand still and crash, and then waits until all runs
// have ended.
func play(t *testing.T, seed uint64, f flaw) *world {
	w := newWorld(seed, f)
	w.recording = seed%10 == 0
	synctest.Test(t, func(*testing.T) { w.play() })
	return w
}

func (w *world) play() {
	orgs := 1 + w.rng.IntN(3)
	total := 0
	for i := range orgs {
		w.limits[fmt.Sprintf("org%d", i)] = 1 + w.rng.IntN(3)
		total += w.limits[fmt.Sprintf("org%d", i)]
	}
	if w.rng.IntN(2) == 0 {
		w.limit = 1 + w.rng.IntN(total)
	}
	var processes []*process
	starts, n := make(chan struct{}, 1000), 0
	spawn := func() {
		n++
		processes = append(processes, w.start(n, func() { starts <- struct{}{} }))
	}
	requests, first := w.requests(orgs), 2+w.rng.IntN(2)
	for range first {
		spawn()
	}
	deadline := time.Now().Add(4 * time.Hour)
	for done := 0; time.Now().Before(deadline) && w.fault() == nil && (done < 3 || len(requests) > 0); {
		for range len(starts) { // somebody starts what has crashed again
			<-starts
			spawn()
		}
		alive := processes[0]
		for _, p := range processes {
			if p.awake(context.Background()) == nil && (alive.awake(context.Background()) != nil || w.between(0, 1) == 1) {
				alive = p
			}
		}
		if len(requests) > 0 {
			if _, _, err := alive.Submit(alive.ctx, requests[0]); err == nil {
				requests = requests[1:]
			}
		}
		time.Sleep(w.between(time.Second, 20*time.Second))
		if len(requests) == 0 && time.Since(deadline.Add(-4*time.Hour)) > 15*time.Minute {
			w.quiet()
			if w.finished() {
				done++
				_, _ = alive.admission.SweepAll(alive.ctx)
				time.Sleep(time.Minute)
			}
		}
	}
	w.settle(processes, len(requests))
	for _, p := range processes {
		p.stop()
	}
}

func (w *world) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

func (w *world) quiet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm = true
}

func (w *world) finished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, run := range w.runs {
		if !run.State.Terminal() {
			return false
		}
	}
	return true
}

// requests are runs of all kinds; some are asked for twice, some share a slice.
func (w *world) requests(orgs int) []launcher.Request {
	var out []launcher.Request
	for range 5 + w.rng.IntN(12) {
		org := fmt.Sprintf("org%d", w.rng.IntN(orgs))
		var id uuid.UUID
		for i := range id {
			id[i] = byte(w.rng.IntN(256))
		}
		r := launcher.Request{RunID: id.String(), Org: org, Template: fmt.Sprint("t", w.rng.IntN(4)), Trigger: "api", Priority: w.rng.IntN(4)}
		if w.rng.IntN(3) > 0 {
			r.Trigger = queue.TriggerScheduler
		}
		w.slices[r.RunID] = org + "/" + r.Template
		out = append(out, r)
		if w.rng.IntN(3) == 0 {
			out = append(out, r)
		}
	}
	return out
}

// settle checks what must hold in the end.
func (w *world) settle(processes []*process, left int) {
	if w.fault() != nil {
		return
	}
	w.quiet()
	var p *process
	for _, other := range processes {
		if other.awake(context.Background()) == nil {
			p = other
		}
	}
	if p == nil || left > 0 {
		w.breaks("%d requests could not be made", left)
		return
	}
	began := map[string]int{}
	w.mu.Lock()
	for _, run := range w.runs {
		began[run.Org]++
		if run.State != launcher.Completed {
			w.breaks("run %s of %s is lost: it is %s, attempt %d, waits for %q", run.ID, run.Org, run.State, run.Attempt, run.WaitingFor)
		}
		if w.stated[run.ID] == "" {
			w.breaks("run %s has completed and stated nothing", run.ID)
		}
	}
	w.mu.Unlock()
	for org := range w.limits {
		u, err := p.admission.Usage(p.ctx, org)
		if err != nil || u.Slots != 0 || len(u.Holds) != 0 || u.Today != began[org] || u.Month != began[org] || u.Succeeded != began[org] {
			w.breaks("%s has had %d runs, its log says %+v, %v", org, began[org], u.Tally, err)
		}
	}
}

// TestSeed plays one seed.
func TestSeed(t *testing.T) {
	w := play(t, *seedFlag, flaw(*flawFlag))
	t.Logf("limits %v and %d, %d runs, %+v", w.limits, w.limit, len(w.runs), w.stats)
	if w.broken != nil {
		t.Error(w.broken)
	}
}

func TestNoRunIsLostAndNoLimitExceededUnderMisfortune(t *testing.T) {
	oneAtATime(t)
	var all stats
	for seed := range uint64(seeds) {
		w := play(t, seed, none)
		if w.broken != nil {
			t.Fatalf("seed %d: %v\nplay it again: go test ./launcher/queue -run '^TestSeed$' -v -queue.seed %d", seed, w.broken, seed)
		}
		if w.recording && !porcupine.CheckOperations(registerModel, w.history) {
			t.Fatalf("seed %d: the register is not linearizable", seed)
		}
		s := w.stats
		all.crashes += s.crashes
		all.pauses += s.pauses
		all.lost += s.lost
		all.waits += s.waits
		all.retries += s.retries
		all.takeovers += s.takeovers
		all.superseded += s.superseded
		all.published += s.published
		all.refused += s.refused
	}
	t.Logf("%d seeds: %+v", seeds, all)
	for what, n := range map[string]int{
		"crashes": all.crashes, "pauses": all.pauses, "lost answers": all.lost, "waits for a slice": all.waits, "further attempts": all.retries,
		"take-overs": all.takeovers, "publishes": all.published, "refused requests": all.refused,
	} {
		if n < seeds/5 {
			t.Errorf("%d %s in %d seeds: the schedules do not try what they are to try", n, what, seeds)
		}
	}
}

// A rule whose absence is not noticed is not needed, or not tested.
func TestSabotageIsNoticed(t *testing.T) {
	oneAtATime(t)
	for _, c := range []struct {
		name string
		flaw flaw
		says []string
	}{
		{"insert-only MERGE", mergeClaims, []string{"at once", "its log says", "stated", "lost"}},
		{"no epoch check", noEpochs, []string{"under claim epoch", "stated"}},
		{"one owner", oneOwner, []string{"at once", "its log says", "stated", "under claim epoch", "lost", "could not be made"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(2000) {
				w := play(t, seed, c.flaw)
				if w.broken == nil {
					continue
				}
				for _, says := range c.says {
					if strings.Contains(w.broken.Error(), says) {
						t.Logf("seed %d: %v", seed, w.broken)
						return
					}
				}
				t.Fatalf("seed %d breaks something else: %v", seed, w.broken)
			}
			t.Error("2000 seeds do not notice it")
		})
	}
}

// oneAtATime lets one goroutine run at once, so that a seed goes the same way again.
func oneAtATime(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}
