package model

import (
	"flag"
	"strings"
	"testing"
)

var (
	seedFlag  = flag.Uint64("model.seed", 1, "seed that TestSeed plays")
	flawsFlag = flag.Uint("model.flaws", 0, "flaws that TestSeed plays it with, as bits")
)

// TestSeed plays one seed. With -v it prints what happened also if nothing broke.
func TestSeed(t *testing.T) {
	w := play(*seedFlag, options{flaws: Flaw(*flawsFlag), tracing: true})
	t.Log(w.plan.mode, w.plan, "\n"+strings.Join(w.trace, "\n"))
	if w.broken != nil {
		t.Error(Explain(*seedFlag, Flaw(*flawsFlag)))
	}
}

func TestPromisesOfAllModesHoldUnderMisfortune(t *testing.T) {
	var all Stats
	for seed := range uint64(seeds) {
		r := Run(seed, 0)
		if r.Broken != nil {
			t.Fatal(Explain(seed, 0))
		}
		all.add(r.Stats)
	}
	t.Logf("%d seeds: %+v", seeds, all)
	// Promises are easily kept where nothing happens.
	for _, c := range []struct {
		what string
		n    int
		each int // so many seeds may have one
	}{
		{"runs", all.Runs, 1},
		{"publishes", all.Published, 1},
		{"generations", all.Generations, 1},
		{"crashes", all.Crashes, 2},
		{"pauses", all.Naps, 2},
		{"lost answers", all.Lost, 2},
		{"take-overs", all.Takeovers, 2},
		{"attached jobs", all.Attached, 2},
		{"fences", all.Fenced, 2},
		{"adopted chains", all.Adopted, 2},
		{"pages asked for again", all.Again, 2},
		{"lost conflicts", all.Aborted, 2},
		{"superseded runs", all.Superseded, 10},
		{"outcomes of others", all.Landed, 10},
		{"cancelled runs", all.Cancelled, 10},
		{"lost stages", all.StageLost, 10},
		{"changed configurations", all.Reconfigured, 10},
		{"used up ordinals", all.Exhausted, 10},
		{"refused cursors", all.Refused, 25},
		{"generations too old", all.Aged, 25},
	} {
		if c.n < seeds/c.each {
			t.Errorf("%d %s in %d seeds: the schedules do not try what they are to try", c.n, c.what, seeds)
		}
	}
}

func TestSeedDecidesEverything(t *testing.T) {
	for seed := range uint64(12) {
		a := play(seed, options{tracing: true})
		b := play(seed, options{tracing: true})
		if strings.Join(a.trace, "\n") != strings.Join(b.trace, "\n") {
			t.Fatalf("seed %d went two ways", seed)
		}
	}
}

func TestNothingIsAskedForTwiceWithoutMisfortune(t *testing.T) {
	for seed := range uint64(60) {
		o := options{patient: true}
		for f := range faults {
			o.cuts[f] = maxSteps
		}
		w := play(seed, o)
		if w.broken != nil {
			t.Fatalf("seed %d: %v", seed, w.broken)
		}
		if s := w.stats; s.Again+s.Superseded+s.Takeovers+s.Crashes > 0 {
			t.Errorf("seed %d: %+v", seed, s)
		}
	}
}

func TestExplanationNamesSeedCommandAndEvents(t *testing.T) {
	seed, _ := firstBroken(t, NoFence, seeds)
	text := Explain(seed, NoFence)
	for _, want := range []string{"flaws NoFence", "-model.seed", "-model.flaws 0x2", "acquires gen/", "MODEL"} {
		if !strings.Contains(text, want) {
			t.Errorf("the explanation lacks %q:\n%s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines > 400 {
		t.Errorf("the least trace has %d lines", lines)
	}
	if Explain(seed, 0) != "" {
		t.Errorf("seed %d is explained although nothing breaks", seed)
	}
}

// firstBroken returns the first seed that breaks a promise.
func firstBroken(t *testing.T, f Flaw, most uint64) (uint64, error) {
	t.Helper()
	for seed := range most {
		if r := Run(seed, f); r.Broken != nil {
			return seed, r.Broken
		}
	}
	t.Fatalf("%d seeds do not notice %s", most, f)
	return 0, nil
}
