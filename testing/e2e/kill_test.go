package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/testing/faults"
)

// writeMode is a way to land rows.
type writeMode struct {
	name, mode, keys string
	days             int
}

var writeModes = []writeMode{
	{"append", "append", "", 2},
	{"appendkeys", "append", "[usage_date, service]", 2},
	{"insertnew", "insert_new", "[usage_date, service]", 2},
	{"merge", "merge", "[usage_date, service]", 2},
	{"replace", "replace_partition", "", 2},
	{"overwrite", "overwrite", "", 1}, // its slice is the interval
}

// document is a pipeline that extracts day by day.
func (m writeMode) document() string {
	keys := ""
	if m.keys != "" {
		keys = "\n      key_fields: " + m.keys
	}
	return fmt.Sprintf(`pipeline_id: kills
steps:
  - step_id: extract
    ps_type: generic.api_extractor
    config:
      url: $API/items
      params:
        day: "{start_date}"
      pagination:
        type: cursor
        limit: 1000
      transform:
        flatten: true
    destination:
      table: usage
      schema_ref: example/usage/example_usage_final
      write_mode: %s%s
      max_rejected: 1%%
`, m.mode, keys)
}

// landed wants every row of the provider once.
func (v *victim) landed(days int) {
	v.t.Helper()
	got := v.lab.lines(v.t, "SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, service)), CAST(2 * SUM(units) AS INT64) FROM `"+v.dataset()+".usage`")
	if diff := cmp.Diff([]string{v.api.want(days)}, got); diff != "" {
		v.t.Errorf("rows, different rows and twice the units: %s", diff)
	}
}

// buried wants every run that was ever recorded to have ended: completed, or lost with its
// process.
func (v *victim) buried() {
	v.t.Helper()
	v.holds("SELECT run_id FROM organizations.org_meta_run_events WHERE org_slug = '" + v.org + "' AND kind = 'run' GROUP BY run_id" +
		" HAVING COUNTIF(state = 'COMPLETED' OR state = 'FAILED' AND JSON_VALUE(payload, '$.code') = 'LOST') = 0")
}

func TestAKilledRunLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, m := range writeModes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			calls := 0 // of a run that nothing disturbs
			for n := range killsPerMode + 1 {
				v := l.victim(t, fmt.Sprintf("%s_%d", m.name, n), m.document(), &api{pages: killPages / m.days, rows: killRows}, false)
				rule := faults.Rule{When: []faults.When{faults.Before, faults.After}[random.IntN(2)], Do: faults.Kill(v.kill)}
				if n > 0 {
					rule.Nth = 1 + random.IntN(calls)
					v.plan.Set(rule)
				}
				begun := time.Now()
				got := v.attempt(v.runDays(m.days)...)
				if n == 0 {
					if got.code != 0 {
						t.Fatalf("undisturbed, the run ended with %d\n%s%s", got.code, got.stdout, got.stderr)
					}
					calls = v.plan.Total()
					t.Logf("undisturbed: %s, %d calls: %v", time.Since(begun).Round(time.Millisecond), calls, v.plan.Calls())
					v.landed(m.days)
					continue
				}
				v.plan.Set()
				again := v.completes(v.runDays(m.days)...)
				v.landed(m.days)
				v.buried()
				for day, pages := range v.api.again() {
					if pages > killAgain {
						t.Errorf("%d pages of %s were asked for again, more than %d", pages, day, killAgain)
					}
				}
				t.Logf("killed %s call %d: %v asked again", rule.When, rule.Nth, v.api.again())
				if t.Failed() {
					t.Fatalf("killed %s call %d of %d\n%s%s", rule.When, rule.Nth, calls, again.stdout, again.stderr)
				}
			}
		})
	}
}
