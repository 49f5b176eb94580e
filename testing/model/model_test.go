package model

import (
	"testing"
	"time"
)

func TestQuick(t *testing.T) {
	start := time.Now()
	var s Stats
	bad := 0
	for seed := range uint64(20000) {
		r := Run(seed, 0)
		s.add(r.Stats)
		if r.Broken != nil {
			bad++
			if bad < 6 {
				t.Errorf("seed %d (%s): %v", seed, Mode(seed%6), r.Broken)
			}
		}
	}
	t.Logf("%v %+v bad %d", time.Since(start), s, bad)
}

func TestFlaws(t *testing.T) {
	for i := range 20 {
		f := Flaw(1 << i)
		for _, g := range []Flaw{f, f|NoAssertion} {
			bad := 0
			first := ""
			seedat := uint64(0)
			for seed := range uint64(1000) {
				r := Run(seed, g)
				if r.Broken != nil {
					bad++
					if first == "" { first = r.Broken.Error(); seedat = seed }
				}
			}
			t.Logf("flaw %d %x: %d  seed %d: %.150s", i, g, bad, seedat, first)
		}
	}
}
