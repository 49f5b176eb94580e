package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

// writeMode is a way to land rows.
type writeMode struct {
	name, mode, keys string
	days             int
	once             bool // a day that has landed is never stated again
}

var writeModes = []writeMode{
	{"append", "append", "", 2, true},
	{"appendkeys", "append", "[usage_date, service]", 2, false},
	{"insertnew", "insert_new", "[usage_date, service]", 2, false},
	{"merge", "merge", "[usage_date, service]", 2, false},
	{"replace", "replace_partition", "", 2, false},
	{"overwrite", "overwrite", "", 1, false}, // its slice is the interval
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
	got := v.lab.Lines(v.t, "SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, service)), CAST(2 * SUM(units) AS INT64) FROM `"+v.dataset()+".usage`")
	if diff := cmp.Diff([]string{v.api.want(days)}, got); diff != "" {
		v.t.Errorf("rows, different rows and twice the units: %s", diff)
	}
}

// buried wants every run that was ever recorded to have ended, completed or lost with its
// process, and the tables that others read to say so too.
func (v *victim) buried() {
	v.t.Helper()
	v.holds("SELECT run_id FROM organizations.org_meta_run_events WHERE org_slug = '" + v.org + "' AND kind = 'run' GROUP BY run_id" +
		" HAVING COUNTIF(state = 'COMPLETED' OR state = 'FAILED' AND JSON_VALUE(payload, '$.code') = 'LOST') = 0")
	v.holds("SELECT e.run_id, e.ended, p.status FROM (SELECT run_id, IF(COUNTIF(state = 'COMPLETED') > 0, 'COMPLETED', 'FAILED') AS ended" +
		" FROM organizations.org_meta_run_events WHERE org_slug = '" + v.org + "' AND kind = 'run' GROUP BY run_id) AS e" +
		" LEFT JOIN organizations.org_meta_pipeline_runs AS p ON p.pipeline_logging_id = e.run_id WHERE p.status IS NULL OR p.status != e.ended")
}

// publishedDays are the days that a publish job has put into the table; a publish is one
// statement, so a day of which a row is seen was published.
func (v *victim) publishedDays() []string {
	v.t.Helper()
	_, err := v.lab.Client.Dataset(v.dataset()).Table("usage").Metadata(context.Background())
	var api *googleapi.Error
	if errors.As(err, &api) && api.Code == http.StatusNotFound { // of the table, or of the dataset
		return nil
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return v.lab.Lines(v.t, "SELECT DISTINCT usage_date FROM `"+v.dataset()+".usage`")
}

// resumedWell wants the run after a kill to have asked for what it may. A day that was
// published before it began is finished: it is either not stated again, or stated from the
// first page on, as a new generation. Of any other day it goes on: at most the pages of
// four chunks, which were not durable when the first run died, are asked for once more.
func (v *victim) resumedWell(m writeMode, days int, published []string, first, second asked) (again int) {
	v.t.Helper()
	want := 0 // pages fetched or adopted
	for n := range days {
		day := firstDay.AddDays(n).String()
		repeated := 0
		for page, times := range second[day] {
			if times > 1 {
				v.t.Errorf("page %d of %s was asked for %d times by one run", page, day, times)
			}
			if first[day][page] > 0 {
				repeated++
			}
		}
		switch landed := slices.Contains(published, day); {
		case landed && m.once && len(second[day]) > 0:
			v.t.Errorf("%s had been published, and %d pages of it were asked for", day, len(second[day]))
		case landed && m.once:
		case landed && len(second[day]) != v.api.pages:
			v.t.Errorf("%s had been published, and %d pages of %d were asked for by the next generation", day, len(second[day]), v.api.pages)
		case landed:
			want += v.api.pages
		case repeated > killAgain:
			v.t.Errorf("%d pages of %s were asked for again, more than the %d of four chunks", repeated, day, killAgain)
		default:
			want, again = want+v.api.pages, again+repeated
		}
	}
	// The step says so itself: what it adopted and what it fetched are all pages, and what
	// it calls fetched again had been asked for.
	told := v.lab.Lines(v.t, "SELECT IFNULL(CAST(JSON_VALUE(s.metadata, '$.counts.pages') AS INT64), 0) + IFNULL(CAST(JSON_VALUE(s.metadata, '$.counts.adopted') AS INT64), 0),"+
		" IFNULL(CAST(JSON_VALUE(s.metadata, '$.counts.pages') AS INT64), 0), IFNULL(CAST(JSON_VALUE(s.metadata, '$.counts.refetched') AS INT64), 0) <= "+fmt.Sprint(again)+
		" FROM organizations.org_meta_step_logs AS s JOIN organizations.org_meta_pipeline_runs AS r USING (pipeline_logging_id)"+
		" WHERE r.org_slug = '"+v.org+"' AND r.status = 'COMPLETED' AND s.step_name = 'extract' ORDER BY r.start_time DESC LIMIT 1")
	if diff := cmp.Diff([]string{fmt.Sprintf("%d %d true", want, second.pages())}, told); diff != "" && want > 0 {
		v.t.Errorf("pages fetched and adopted, pages fetched, fetched again within what was asked again: %s", diff)
	}
	return again
}

// after is an action that lets the program go on for a moment before it is killed.
func after(d time.Duration, kill func()) faults.Action {
	return faults.Hook(func() { time.AfterFunc(d, kill) })
}

// moment is a random one in the life of a run of so many calls: on either side of a call,
// or between two.
func (v *victim) moment(random *rand.Rand, calls int) (rule faults.Rule, text string) {
	rule = faults.Rule{When: faults.Before, Nth: 1 + random.IntN(calls), Do: faults.Kill(v.kill)}
	switch random.IntN(3) {
	case 0:
		rule.When = faults.After
	case 1:
		d := time.Duration(random.IntN(int(killLater)))
		rule.Do = after(d, v.kill)
		return rule, fmt.Sprintf("%s after call %d", d.Round(time.Millisecond), rule.Nth)
	}
	return rule, fmt.Sprintf("%s call %d", rule.When, rule.Nth)
}

const killLater = 200 * time.Millisecond

func TestAKilledRunLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i, m := range writeModes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			random, days, calls := rand.New(rand.NewPCG(seed, uint64(i))), min(m.days, killDays), 0
			killed, restated := 0, 0
			for n := 0; killed < killsPerMode; n++ { // a run that ended before its moment came does not count
				if n > 3*killsPerMode {
					t.Fatalf("%d of %d runs were killed", killed, n-1)
				}
				v := newVictim(t, l, fmt.Sprintf("%s_%d", m.name, n), m.document(), &api{pages: killPages / days, rows: killRows}, false)
				if n == 0 {
					begun := time.Now()
					v.completes(v.runDays(days)...)
					calls = v.plan.Total()
					t.Logf("undisturbed: %s, %d calls: %v", time.Since(begun).Round(time.Millisecond), calls, v.plan.Calls())
					v.landed(days)
					continue
				}
				rule, moment := v.moment(random, calls)
				v.plan.Set(rule)
				if got := v.attempt(v.runDays(days)...); got.code == -1 {
					killed++
				} else if got.code != 0 {
					t.Errorf("killed %s: the run ended with %d\n%s", moment, got.code, got.stderr)
				}
				v.plan.Set()
				v.plan.Settle() // a publish that was sent may take effect after its sender's death
				first, published := v.api.forget(), v.publishedDays()
				text := v.completes(v.runDays(days)...)
				v.landed(days)
				v.buried()
				again := v.resumedWell(m, days, published, first, v.api.forget())
				if len(published) > 0 {
					restated++
				}
				t.Logf("killed %s: %d pages asked before, %d again, published before: [%s]", moment, first.pages(), again, strings.Join(published, " "))
				if t.Failed() {
					t.Fatalf("killed %s of %d calls\n%s%s", moment, calls, text.stdout, text.stderr)
				}
			}
			t.Logf("%d runs were killed, %d after a publish", killed, restated)
		})
	}
}

// TestASlowProviderIsNotAskedAgainForWhatIsOld kills a run that has been fed slowly for
// several seconds: what is a few seconds old is durable, however few rows it has.
func TestASlowProviderIsNotAskedAgainForWhatIsOld(t *testing.T) {
	t.Parallel()
	v := newVictim(t, lab.New(t), "slow", mode("append").document(), &api{pages: slowPages, rows: 5, pause: 250 * time.Millisecond}, false)
	v.plan.Set(faults.Rule{Op: faults.Page, When: faults.Before, Nth: slowPages - 2, Do: faults.Kill(v.kill)})
	if got := v.attempt(v.runDays(1)...); got.code != -1 {
		t.Fatalf("the run was not killed: %d", got.code)
	}
	v.plan.Set()
	first := v.api.forget()
	v.completes(v.runDays(1)...)
	v.landed(1)
	second := v.api.forget()
	t.Logf("%d pages asked before the kill, %d after", first.pages(), second.pages())
	if second.pages() > slowPages-slowPages/4 {
		t.Errorf("%d pages of %d were asked for after a kill: those of the first seconds were not durable", second.pages(), slowPages)
	}
}

const slowPages = 36 // nine seconds
