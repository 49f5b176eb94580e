package model

import (
	"strings"
	"testing"
)

const (
	notWhole   = "which the provider never said"
	outOfOrder = "of an older generation takes effect after a newer one"
	appended   = "appends rows of unit"
	twoOwners  = "was acquired by"
)

// A rule that can be taken away without the model noticing is either not modelled or not
// needed. The messages say that it was noticed for the right reason.
func TestSabotageIsNoticed(t *testing.T) {
	for _, c := range []struct {
		flaw Flaw
		says []string
	}{
		{ReadWholeStage, []string{notWhole}},
		{NoFence, []string{outOfOrder, appended}},
		{MixPasses, []string{notWhole}},
		{BookkeepingApart | NoAssertion, []string{notWhole, "are of different readings"}},
		{ClaimsAnyOrder, []string{"circular wait"}},
		{MergeClaims, []string{twoOwners}},
	} {
		t.Run(c.flaw.String(), func(t *testing.T) { noticed(t, c.flaw, c.says, 500) })
	}
}

// Each of these is how the design or the code would do it if it were taken by its first
// word. The rule that closes the hole is what the model does without the flaw.
func TestHolesAreNoticed(t *testing.T) {
	for _, c := range []struct {
		flaw Flaw
		says []string
	}{
		{FenceThreeOrdinals, []string{outOfOrder, appended}},
		{FencedIsOpen, []string{"runs into the fence", "cannot be completed"}},
		{UnguardedMerge, []string{"promised is"}},
		{ChunkOutlivesLoad | NoAssertion, []string{notWhole}},
		{StageRemade | NoAssertion, []string{notWhole}},
		{FreeWindow, []string{"pages of"}},
		{UndecidedRejects, []string{"are of different readings"}},
		{LandedAnyConfig, []string{"never took effect under its configuration"}},
		{OverwritePerInterval, []string{outOfOrder}},
		{NarrowApart, []string{outOfOrder}},
		{Unscoped, []string{"promised is"}},
		{ResumeAnyAge, []string{"restated before"}},
		{LateOpening, []string{"under claim epoch"}},
		{CancelUnfenced, []string{"after it was reported as cancelled"}},
		{OwnerPerRun, []string{twoOwners}},
	} {
		t.Run(c.flaw.String(), func(t *testing.T) { noticed(t, c.flaw, c.says, 4000) })
	}
}

func noticed(t *testing.T, f Flaw, says []string, most uint64) {
	t.Helper()
	seed, broken := firstBroken(t, f, most)
	for _, s := range says {
		if strings.Contains(broken.Error(), s) {
			t.Logf("seed %d: %v", seed, broken)
			return
		}
	}
	t.Errorf("seed %d breaks something else: %v", seed, broken)
}

// The assertion in the publish is a second line: alone it is not missed.
func TestAssertionIsASecondLine(t *testing.T) {
	for seed := range uint64(seeds / 4) {
		if r := Run(seed, NoAssertion); r.Broken != nil {
			t.Fatal(Explain(seed, NoAssertion))
		}
	}
	for _, f := range []Flaw{BookkeepingApart, ChunkOutlivesLoad} {
		for seed := range uint64(seeds / 4) {
			if r := Run(seed, f); r.Broken != nil && strings.Contains(r.Broken.Error(), notWhole) {
				t.Fatal(Explain(seed, f))
			}
		}
	}
}

// Without any claim, owners get into each other's way and some give up; no row may be
// lost, doubled or stale for it.
func TestClaimsDoNotProtectRows(t *testing.T) {
	for seed := range uint64(seeds / 2) {
		r := Run(seed, NoClaims)
		if r.Broken == nil {
			continue
		}
		for _, says := range []string{notWhole, outOfOrder, appended, "promised is", "different readings"} {
			if strings.Contains(r.Broken.Error(), says) {
				t.Fatal(Explain(seed, NoClaims))
			}
		}
	}
}
