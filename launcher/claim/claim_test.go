package claim_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
)

var oneSeed = flag.Uint64("claim.seed", 0, "play this seed only")

// play lets processes of five machines claim two things again and again. Some of them
// pause for longer than the others' patience, some die. It returns what went wrong.
func play(t *testing.T, seed uint64, sabotage func(*world)) (broken []string) {
	w := newWorld(t, seed)
	if sabotage != nil {
		sabotage(w)
	}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan []string)
		const processes = 5
		for n := range processes {
			go func() { done <- worker(t.Context(), w, n+1) }()
		}
		for range processes {
			broken = append(broken, <-done...)
		}
	})
	if !porcupine.CheckOperations(register, w.history) {
		broken = append(broken, "the history of the register cannot be put in order")
	}
	return broken
}

// worker claims, works and releases; sometimes it is paused, and one in four dies.
func worker(ctx context.Context, w *world, n int) (broken []string) {
	k := w.keeper(n)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asleep := make(chan time.Duration)
	beating := make(chan struct{})
	go beatLoop(ctx, k, asleep, beating)
	defer func() { cancel(); <-beating }()
	dies := w.draw(4) == 0
	for round := range 4 {
		things := []string{"slice/a", "slice/b"}[:1+w.draw(2)]
		claims, waited := acquire(ctx, k, fmt.Sprint("run-", n, "-", round), things)
		if claims == nil {
			return append(broken, fmt.Sprintf("process %d could not claim %v within %s", n, things, waited))
		}
		broken = append(broken, justified(w, claims)...)
		if dies && round == 2 {
			return broken // without releasing, and without another heartbeat
		}
		work := time.Duration(w.draw(30)) * time.Second
		if w.draw(6) == 0 {
			work = time.Duration(60+w.draw(300)) * time.Second // paused, heartbeat and all
			asleep <- work
		}
		time.Sleep(work)
		for k.Release(ctx, claims...) != nil {
			time.Sleep(claim.BeatEvery) // with the next heartbeat it is released anyway
			break
		}
	}
	// The heartbeat goes on as long as the process does.
	time.Sleep(2 * time.Minute)
	return broken
}

func beatLoop(ctx context.Context, k *claim.Keeper, asleep <-chan time.Duration, ended chan<- struct{}) {
	defer close(ended)
	ticker := time.NewTicker(claim.BeatEvery)
	defer ticker.Stop()
	for {
		if err := k.Beat(ctx); err != nil && ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case d := <-asleep:
			time.Sleep(d)
		case <-ticker.C:
		}
	}
}

func acquire(ctx context.Context, k *claim.Keeper, holder string, things []string) ([]claim.Claim, time.Duration) {
	began := time.Now()
	for time.Since(began) < 3*time.Hour {
		claims, err := k.AcquireAll(ctx, "acme", holder, things...)
		if err == nil {
			return claims, time.Since(began)
		}
		time.Sleep(2 * time.Second)
	}
	return nil, time.Since(began)
}

// justified checks that whoever held the things before had released them or been silent.
func justified(w *world, claims []claim.Claim) (broken []string) {
	for _, c := range claims {
		before := c
		before.Epoch--
		w.mu.Lock()
		previous, known := w.names[fmt.Sprint(before)]
		current := w.names[fmt.Sprint(c)]
		w.mu.Unlock()
		if current.Owner != c.Owner {
			broken = append(broken, fmt.Sprintf("%s is held by %s, and %s believes to hold it", c, current.Owner, c.Owner))
		}
		if !known && before.Epoch > 0 {
			broken = append(broken, fmt.Sprintf("%s was claimed before %s", c, before))
		}
		if silent := w.unheard(previous.Owner, current.At); known && previous.Owner != c.Owner && !w.released(before) && silent < claim.Patience-5*time.Second {
			broken = append(broken, fmt.Sprintf("%s was taken over from %s, which was heard %s before", c, previous.Owner, silent))
		}
	}
	return broken
}

func TestClaimsUnderCrashesPausesAndLostAnswers(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		if *oneSeed != 0 {
			seed = *oneSeed
		}
		for _, b := range play(t, seed, nil) {
			t.Errorf("seed %d: %s", seed, b)
		}
		if *oneSeed != 0 || t.Failed() {
			return
		}
	}
}

// A suite that never fails proves nothing.
func TestSabotageIsFound(t *testing.T) {
	for name, sabotage := range map[string]func(*world){
		"a register that looks first and inserts then": func(w *world) { w.merge = true },
		"a log that shows no heartbeat":                func(w *world) { w.deaf = true },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100) {
				if len(play(t, seed, sabotage)) > 0 {
					return
				}
			}
			t.Error("nothing was found in 100 schedules")
		})
	}
}

func TestHolderThatLivesKeepsItsClaimAndASilentOneLosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.faults = false
		first, second := w.keeper(1), w.keeper(2)
		ctx := t.Context()
		c, err := first.Acquire(ctx, "acme", "slice/a", "run-1")
		if err != nil || c.Epoch != 1 {
			t.Fatalf("claim %+v, %v", c, err)
		}
		for range 20 { // five minutes
			if err := first.Beat(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(claim.BeatEvery)
			var held *claim.HeldError
			if _, err := second.Acquire(ctx, "acme", "slice/a", "run-2"); !errors.As(err, &held) || held.State.Holder != "run-1" {
				t.Fatalf("the claim of one who lives: %v", err)
			}
		}
		silent := time.Now()
		for {
			c, err = second.Acquire(ctx, "acme", "slice/a", "run-2")
			if err == nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(silent); c.Epoch != 2 || took < 40*time.Second || took > 90*time.Second {
			t.Errorf("epoch %d was claimed %s after the last heartbeat", c.Epoch, took)
		}
		if _, err := first.Acquire(ctx, "acme", "slice/a", "run-3"); err == nil {
			t.Error("a process claims twice what it believes to hold")
		}
		states, err := w.keeper(3).Look(ctx, "acme", "slice/a", "slice/b")
		if err != nil || states[0].Epoch != 2 || states[0].Open() || !states[1].Open() {
			t.Errorf("a third sees %+v, %v", states, err)
		}
		entries, err := w.Claims(ctx, "acme", []string{"slice/a"})
		if lost := claim.Lost([]claim.Claim{{Name: "slice/a", Epoch: 1}, {Name: "slice/b", Epoch: 1}}, entries); err != nil || len(lost) != 1 || lost[0].Name != "slice/a" {
			t.Errorf("the first has lost %+v, %v", lost, err)
		}
	})
}

func TestProcessOfThisMachineThatIsGoneIsSucceededAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.faults = false
		gone := procid.New()
		gone.Start = "1" // an earlier process of our number
		dead := claim.New(claim.Config{Register: w, Log: w, Owner: gone})
		if _, err := dead.Acquire(t.Context(), "acme", "slice/a", "run-1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // until the log shows it
		began := time.Now()
		c, err := w.keeper(2).Acquire(t.Context(), "acme", "slice/a", "run-2")
		if err != nil || c.Epoch != 2 || time.Since(began) > 5*time.Second {
			t.Errorf("claim %+v after %s, %v", c, time.Since(began), err)
		}
	})
}

func TestReleasedClaimIsFreeForItsOwnProcessAtOnceUnderTheNextEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.faults = false
		k := w.keeper(1)
		for epoch := 1; epoch < 6; epoch++ { // faster than the log shows anything
			c, err := k.Acquire(t.Context(), "acme", "slice/a", fmt.Sprint("run-", epoch))
			if err != nil || c.Epoch != epoch {
				t.Fatalf("claim %+v, %v; want epoch %d", c, err, epoch)
			}
			if err := k.Release(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A process whose heartbeat has not arrived for as long as others are patient may have
// been succeeded, whatever kept it.
func TestAProcessThatHasNotBeatenDoubtsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newWorld(t, 1).keeper(1)
		for range 3 {
			for k.Beat(t.Context()) != nil {
			}
			if k.Doubtful() {
				t.Error("it doubts itself right after a heartbeat")
			}
			time.Sleep(claim.Patience)
			if !k.Doubtful() {
				t.Error("it trusts itself although others may not")
			}
		}
	})
}
