package launcher_test

import (
	"testing"

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
