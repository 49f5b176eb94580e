package queue

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/cloudact/convergence/launcher"
)

func TestEntriesFitALabelAndAreReadBack(t *testing.T) {
	for _, k := range kinds {
		e := entry{kind: kind(k), run: uuid.NewString(), day: civil.Date{Year: 2026, Month: 2, Day: 28}, owner: "p"}
		text, err := e.encode()
		if err != nil || len(text) > 63 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q is no label, %v", text, err)
		}
		if back, err := decodeEntry(launcher.Claim{Value: text, Owner: "p"}); err != nil || back != e {
			t.Errorf("%+v was read back as %+v, %v", e, back, err)
		}
	}
	if _, err := (entry{kind: admitted, run: "r1"}).encode(); err == nil {
		t.Error("a run id that is no UUID is written")
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("a-" + strings.Repeat("0", 32) + "-20260228")
	f.Add("z-" + strings.Repeat("0", 32) + "-20260228")
	f.Add("a-" + strings.Repeat("g", 32) + "-20260230")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decodeEntry(launcher.Claim{Value: text})
		if err != nil {
			return
		}
		if again, err := e.encode(); err != nil || again != strings.ToLower(text) {
			t.Errorf("%q is read, and written as %q, %v", text, again, err)
		}
	})
}

// Whatever is entered, and however often: slots are those of the runs that have one, what
// counts for the day counts for the month, and a tally that was kept goes on as if it had
// not been.
func TestTallyIsAFold(t *testing.T) {
	runs := make([]string, 5)
	for i := range runs {
		runs[i] = uuid.NewString()
	}
	rapid.Check(t, func(t *rapid.T) {
		var a, b Tally
		day := civil.Date{Year: 2026, Month: 6, Day: 28}
		for range rapid.IntRange(1, 60).Draw(t, "entries") {
			if rapid.IntRange(0, 9).Draw(t, "next day") == 0 {
				day = day.AddDays(1)
			}
			e := entry{
				kind: kind(rapid.SampledFrom([]rune(kinds)).Draw(t, "kind")), run: rapid.SampledFrom(runs).Draw(t, "run"), day: day,
				owner: rapid.SampledFrom([]string{"p1", "p2"}).Draw(t, "owner"),
			}
			a.apply(e)
			text, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			b = Tally{}
			if err := json.Unmarshal(text, &b); err != nil {
				t.Fatal(err)
			}
			b.apply(e)
			slots := 0
			for _, h := range a.Holds {
				if h.Slot {
					slots++
				}
			}
			if a.Slots != slots || a.Peak < slots || a.Today < 0 || a.Month < a.Today || a.Today < a.Succeeded-len(runs) {
				t.Fatalf("after %+v: %+v", e, a)
			}
			if diff := cmp.Diff(a, b); diff != "" {
				t.Fatalf("a tally that was kept differs: %s", diff)
			}
		}
	})
}

func TestRunThatHasEndedIsNotCountedAgain(t *testing.T) {
	var tally Tally
	day := civil.DateOf(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
	run := uuid.NewString()
	for _, k := range "aseabsefx" {
		tally.apply(entry{kind: kind(k), run: run, day: day})
	}
	if tally.Today != 1 || tally.Slots != 0 || tally.Succeeded != 1 || len(tally.Holds) != 0 {
		t.Errorf("tally is %+v", tally)
	}
}
