package launcher_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// generations runs the pipeline and returns what its job was given.
func (b *bench) generations() map[string]int {
	b.t.Helper()
	run := b.launch(request("usage_cost"))
	b.end(run.ID)
	folder, err := runfolder.Open(b.dir + "/runs/" + run.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	spec, err := folder.ReadSpec()
	if err != nil {
		b.t.Fatal(err)
	}
	return spec.Generations
}

func TestOpenGenerationIsResumedAndAPublishedOneIsFollowed(t *testing.T) {
	b := newBench(t, childSilent)
	want := func(u1, u2 int) {
		t.Helper()
		if g := b.generations(); g["u1"] != u1 || g["u2"] != u2 {
			t.Errorf("generations are %v, want %d and %d", g, u1, u2)
		}
	}
	want(1, 1)
	want(1, 1) // the first run published nothing: it is resumed
	b.store.publish("u1", 1)
	want(2, 1)
	want(2, 1)
	b.store.publish("u1", 2)
	b.store.publish("u2", 1)
	want(3, 2)
}

func TestGenerationOfAnotherConfigIsNotResumed(t *testing.T) {
	b := newBench(t, childSilent)
	b.generations()
	changed := newBench(t, childSilent, func(c *launcher.Config) {
		c.Store, c.Register, c.Planner = b.store, b.store, planner{timeout: patience, hash: "h9"}
	})
	if g := changed.generations(); g["u1"] != 2 || g["u2"] != 1 {
		t.Errorf("generations are %v, want 2 for the unit that changed", g)
	}
}

func TestGenerationThatNoEventNamesIsFoundInTheRegister(t *testing.T) {
	b := newBench(t, childSilent)
	b.generations()
	b.store.publish("u1", 1)
	b.store.mu.Lock()
	b.store.events = nil // the launcher died between acquiring and recording
	b.store.mu.Unlock()
	if g := b.generations(); g["u1"] != 2 || g["u2"] != 1 {
		t.Errorf("generations are %v", g)
	}
}

func TestAPublishedUnitWhoseRowsLandOnceIsNeverStatedAgain(t *testing.T) {
	b := newBench(t, childSilent, func(c *launcher.Config) { c.Planner = planner{timeout: patience, once: true} })
	b.generations()
	b.store.publish("u1", 1)
	if g := b.generations(); g["u1"] != 1 {
		t.Errorf("generations are %v, want the published one again", g)
	}
	changed := newBench(t, childSilent, func(c *launcher.Config) {
		c.Store, c.Register, c.Planner = b.store, b.store, planner{timeout: patience, hash: "h9", once: true}
	})
	if g := changed.generations(); g["u1"] != 1 {
		t.Errorf("generations are %v after the config changed, want the published one again", g)
	}
}

func TestGenerationThatCannotBePublishedIsLeft(t *testing.T) {
	for name, spoil := range map[string]func(*memory){
		"it was fenced":                  func(m *memory) { m.settle("u1", 1, launcher.Fenced) },
		"its ordinals are used up":       func(m *memory) { m.settle("u1", 1, launcher.Exhausted) },
		"another request opened it long": func(m *memory) { m.age(25 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, childSilent)
			b.generations()
			spoil(b.store)
			if g := b.generations(); g["u1"] != 2 {
				t.Errorf("generations are %v, want the next one", g)
			}
			if s, err := b.store.Standing(t.Context(), "u1", 1); err != nil || s.State != launcher.Fenced && s.State != launcher.Exhausted {
				t.Errorf("the one that was left is %+v, %v", s, err)
			}
		})
	}
}

func TestOwnerOfAnOlderClaimOpensNothing(t *testing.T) {
	b := newBench(t, childCompletes)
	b.store.hold("gen/u1/1", "h1_7_another")
	if r := b.end(b.launch(request("usage_cost")).ID); r.State != launcher.Failed || r.Code != string(launcher.CodeSuperseded) {
		t.Errorf("the run ended as %s %s", r.State, r.Code)
	}
}

func TestUnitsThatHaveAllLandedNeedNoJob(t *testing.T) {
	b := newBench(t, childCompletes, func(c *launcher.Config) { c.Planner = landing{planner{timeout: patience, once: true}} })
	b.end(b.launch(request("usage_cost")).ID)
	b.store.publish("u1", 1)
	run := b.launch(request("usage_cost"))
	r := b.end(run.ID)
	if r.State != launcher.Completed || r.Code != string(launcher.CodeAlreadyLanded) || r.LandedBy != "another" {
		t.Errorf("the run ended as %s %s, landed by %q", r.State, r.Code, r.LandedBy)
	}
	if s := stepOf(t, r, "extract"); s.State != launcher.Completed || s.Code != string(launcher.CodeAlreadyLanded) || len(s.Warnings) != 1 {
		t.Errorf("its step is %+v", s)
	}
	if _, err := b.spec(run.ID); err == nil {
		t.Error("a job was started")
	}
	forced := with("force_refresh", "true")
	if _, _, err := b.Submit(t.Context(), forced); !isCode(err, launcher.CodeAlreadyLanded) {
		t.Errorf("a forced run is answered with %v", err)
	}
}

// landing plans the first unit only.
type landing struct{ planner }

func (p landing) Plan(ctx context.Context, r launcher.Request, id string, now time.Time) (*launcher.Plan, error) {
	plan, err := p.planner.Plan(ctx, r, id, now)
	if err == nil {
		plan.Units = plan.Units[:1]
	}
	return plan, err
}
