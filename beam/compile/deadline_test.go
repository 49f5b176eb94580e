package compile

import (
	"testing"
	"time"

	"github.com/cloudact/convergence/beam/plan"
)

func TestTimeoutOfAStepCountsFromTheEndOfItsDependencies(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	extract := &plan.Step{ID: "extract", Timeout: 5 * time.Minute}
	price := &plan.Step{ID: "price", Timeout: 3 * time.Minute, DependsOn: []string{"extract"}}
	off := &plan.Step{ID: "off", Timeout: time.Hour, Skip: true}
	after := &plan.Step{ID: "after", Timeout: time.Minute, DependsOn: []string{"off", "price"}}
	free := &plan.Step{ID: "free"}
	waits := &plan.Step{ID: "waits", Timeout: time.Minute, DependsOn: []string{"free"}}
	c := &compiler{options: Options{Now: start, Deadline: start.Add(30 * time.Minute)}, steps: map[string]*plan.Step{}}
	for _, s := range []*plan.Step{extract, price, off, after, free, waits} {
		c.steps[s.ID] = s
	}
	for step, want := range map[*plan.Step]time.Duration{
		extract: 5 * time.Minute, price: 8 * time.Minute, after: 9 * time.Minute,
		free: 30 * time.Minute, waits: 30 * time.Minute, // who waits without a limit is limited by the run
	} {
		if got := c.deadline(step).Sub(start); got != want {
			t.Errorf("step %s may take until %s after the start, want %s", step.ID, got, want)
		}
	}
	c.options.Deadline = start.Add(6 * time.Minute)
	if got := c.deadline(price); !got.Equal(c.options.Deadline) {
		t.Errorf("step price may take until %s, past the run's deadline %s", got, c.options.Deadline)
	}
	c.options.Deadline = time.Time{}
	if got := c.deadline(free); !got.IsZero() {
		t.Errorf("a step without a timeout in a run without a deadline ends at %s", got)
	}
}
