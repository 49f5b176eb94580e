package queue

import (
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// Who waits longer than a higher priority is worth goes first, so that nobody waits for
// ever.
func TestOrderOfRunsThatWait(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	run := func(id string, priority int, age time.Duration) launcher.Run {
		return launcher.Run{ID: id, Priority: priority, Start: now.Add(-age)}
	}
	runs := []launcher.Run{
		run("unset", 0, time.Minute), run("low", 9, time.Minute), run("urgent", 1, time.Second), run("aged", 9, 42*time.Minute),
		run("older", 5, 2*time.Minute), run("beyond", 99, time.Minute), run("ahead", 5, -time.Hour),
	}
	order(runs, now)
	got := ""
	for _, r := range runs {
		got += r.ID + " "
	}
	if want := "aged urgent older unset ahead low beyond "; got != want {
		t.Errorf("order is %s, want %s", got, want)
	}
}

func TestNextShare(t *testing.T) {
	waits := []launcher.Run{{}}
	for _, c := range []struct {
		name   string
		shares []*share
		want   string
	}{
		{"nobody", nil, ""},
		{"who has fewest", []*share{{org: "a", used: 2, limit: 9, waiting: waits}, {org: "b", used: 1, limit: 2, waiting: waits}}, "b"},
		{"who was served longest ago", []*share{{org: "a", limit: 9, served: 2, waiting: waits}, {org: "b", limit: 9, served: 1, waiting: waits}}, "b"},
		{"not who is full", []*share{{org: "a", used: 1, limit: 1, waiting: waits}, {org: "b", used: 5, limit: 9, waiting: waits}}, "b"},
		{"not who wants nothing", []*share{{org: "a", limit: 9}, {org: "b", used: 5, limit: 9, waiting: waits}}, "b"},
		{"all full", []*share{{org: "a", used: 1, limit: 1, waiting: waits}, {org: "b", limit: 0, waiting: waits}}, ""},
	} {
		got := ""
		if s := next(c.shares); s != nil {
			got = s.org
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
