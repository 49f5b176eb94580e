package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
)

// scene is a command that meets certain points, and what must be true once it has run to
// its end, whatever happened before.
type scene struct {
	name     string
	ops      []string // operations of faults.Points that it meets
	document string
	days     int
	bad      int // records of a day that are rejected
	rows     int // of the only page of a day; 0: scenePages of sceneRows
	aged     bool
	prepare  func(v *victim)
	args     func(v *victim) []string // nil: run of the days
	check    func(v *victim)          // nil: all rows landed
}

const withSQL = `
  - step_id: total
    ps_type: generic.local_bq_transformer
    config:
      sql: SELECT usage_date, org_slug, service, units FROM ` + "`{project}.{dataset}.usage`" + `
    destination:
      table: copied
      schema_ref: example/usage/example_usage_final
      write_mode: overwrite
`

func mode(name string) writeMode {
	return writeModes[slices.IndexFunc(writeModes, func(m writeMode) bool { return m.name == name })]
}

// What scenes extract, a day.
const (
	scenePages = 8
	sceneRows  = 500
)

// unreached are operations that a test cannot bring about: the embedded warehouse ends a
// job before anybody can find it running.
var unreached = []string{faults.CancelJob}

var scenes = []scene{
	{
		name: "first", document: mode("replace").document(), days: 2,
		ops: []string{
			faults.DatasetCreate, faults.TableCreate, faults.EventsAppend, faults.Register,
			faults.StageCreate, faults.Load, faults.Publish, faults.Project, faults.StageDrop, faults.Page,
		},
	},
	{name: "guarded", ops: []string{faults.GuardCreate}, document: mode("merge").document(), days: 2},
	{name: "aged", ops: []string{faults.EventsStream}, document: mode("append").document(), days: 2, aged: true},
	{
		name: "again", ops: []string{faults.Fence}, document: mode("replace").document(), days: 2,
		prepare: func(v *victim) { v.completes(v.runDays(2)...) },
	},
	{
		name: "resumed", ops: []string{faults.StageRenew}, document: mode("append").document(), days: 2,
		prepare: func(v *victim) {
			v.plan.Set(faults.Rule{Op: faults.Load, When: faults.Before, Nth: 2, Do: faults.Kill(v.kill)})
			if got := v.attempt(v.runDays(2)...); got.code != -1 {
				v.t.Fatalf("the run was not killed: %d", got.code)
			}
		},
	},
	{
		name: "rejects", ops: []string{faults.DeadLetters}, document: mode("append").document(), days: 2, bad: 3,
		check: func(v *victim) {
			v.landed(2)
			v.holds("SELECT COUNT(*), COUNT(DISTINCT raw_data) FROM `"+v.dataset()+".pipeline_dlq`", "6 6")
		},
	},
	{
		name: "sql", ops: []string{faults.SQL}, document: mode("append").document() + withSQL, days: 1,
		check: func(v *victim) {
			v.landed(1)
			v.holds("SELECT COUNT(*), COUNT(DISTINCT service) FROM `"+v.dataset()+".copied`", fmt.Sprintf("%d %[1]d", v.api.pages*v.api.rows))
		},
	},
	{
		name: "older", ops: []string{faults.TableAlter}, document: mode("append").document(), days: 2,
		prepare: func(v *victim) { // its table lacks a column
			ctx, dataset := context.Background(), v.lab.Client.Dataset(v.dataset())
			if err := dataset.Create(ctx, &bigquery.DatasetMetadata{Location: "US"}); err != nil {
				v.t.Fatal(err)
			}
			schema := bigquery.Schema{{Name: "usage_date", Type: bigquery.DateFieldType}, {Name: "service", Type: bigquery.StringFieldType}}
			if err := dataset.Table("usage").Create(ctx, &bigquery.TableMetadata{Schema: schema}); err != nil {
				v.t.Fatal(err)
			}
		},
	},
	{
		name: "replay", ops: []string{faults.LettersMark}, document: mode("merge").document(), days: 1, bad: 3,
		prepare: func(v *victim) {
			v.completes(v.runDays(1)...)
			v.api.mend()
		},
		args: func(v *victim) []string { return []string{"dlq", "replay", "pipeline.yml", "--org", v.org} },
		check: func(v *victim) {
			v.landed(1)
			v.holds("SELECT COUNT(*), COUNTIF(retry_count > 0) FROM `"+v.dataset()+".pipeline_dlq`", "3 3")
		},
	},
	{name: "smart", ops: []string{faults.RowsStream}, document: strings.Replace(mode("append").document(), "write_mode: append", "write_mode: append\n      delivery: smart", 1), days: 1, rows: 50},
	{
		name: "credential", ops: []string{faults.Credential, faults.Prices}, document: mode("append").document(), days: 1,
		prepare: func(v *victim) {
			if err := os.WriteFile(filepath.Join(v.dir, "key"), []byte("sk-admin-0123456789"), 0o600); err != nil {
				v.t.Fatal(err)
			}
		},
		args: func(v *victim) []string {
			return []string{"credentials", "set", "OPENAI", "--org", v.org, "--from-file", "key"}
		},
		check: func(v *victim) {
			v.holds("SELECT COUNTIF(is_active) FROM organizations.org_integration_credentials WHERE org_slug = '"+v.org+"'", "1")
		},
	},
}

// holds wants a query to answer so.
func (v *victim) holds(sql string, want ...string) {
	v.t.Helper()
	if diff := cmp.Diff(want, v.lab.Lines(v.t, sql)); diff != "" {
		v.t.Errorf("%s: %s", sql, diff)
	}
}

func (s scene) victim(t *testing.T, l *lab.Lab, org string) *victim {
	t.Helper()
	pages, rows := scenePages, sceneRows
	if s.rows > 0 {
		pages, rows = 1, s.rows
	}
	v := newVictim(t, l, org, s.document, &api{pages: pages, rows: rows, bad: s.bad}, s.aged)
	if s.prepare != nil {
		s.prepare(v)
	}
	return v
}

func (s scene) command(v *victim) []string {
	if s.args != nil {
		return s.args(v)
	}
	return v.runDays(s.days)
}

func (s scene) checked(v *victim) {
	v.t.Helper()
	if s.check != nil {
		s.check(v)
		return
	}
	v.landed(s.days)
}

func TestEveryPointHasAScene(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for _, s := range scenes {
		for _, op := range s.ops {
			met[op] = true
		}
	}
	for _, p := range faults.Points() {
		if !met[p.Op] && !slices.Contains(unreached, p.Op) {
			t.Errorf("no scene is for %s", p)
		}
	}
}

// TestAnAnswerThatIsLostChangesNothing loses the answer to the first attempt of every
// mutating call, then refuses the first attempt of every one.
func TestAnAnswerThatIsLostChangesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for name, rule := range map[string]faults.Rule{
				"lost":    {Op: faults.Mutating, When: faults.After, First: true, Do: faults.Cut()},
				"refused": {Op: faults.Mutating, When: faults.Before, First: true, Do: faults.Fail(503, "backendError")},
			} {
				v := s.victim(t, l, s.name+"_"+name)
				v.plan.Set(rule)
				v.completes(s.command(v)...)
				s.checked(v)
				for _, op := range s.ops {
					if v.plan.Calls()[op] == 0 {
						t.Errorf("%s was never called: %v", op, v.plan.Calls())
					}
				}
			}
		})
	}
}

// TestASuccessorWaitsForAStoppedOwner stops a run at a point and starts another one of
// other days, which meets the first run's: a process that is stopped is still there, so its
// successor of the same machine waits for it and does not work beside it. An owner that
// nobody can see (another machine's) is taken over after a minute of silence; that it
// stops when it wakes behind its successor is shown where clocks can be turned:
// TestOwnerThatWasTakenOverStopsAndSaysNothing in package launcher, and
// TestAPausedPublisherThatWakesAfterItsSuccessorPublishedStops in package sink.
func TestASuccessorWaitsForAStoppedOwner(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, m := range stoppedModes {
		for _, op := range []string{faults.Load, faults.Publish} {
			t.Run(m.name+"."+op, func(t *testing.T) {
				t.Parallel()
				v := newVictim(t, l, m.name+"_"+op, m.document(), &api{pages: scenePages, rows: sceneRows}, false)
				stopped := make(chan struct{})
				v.plan.Set(faults.Rule{Op: op, When: faults.Before, Nth: 1, Do: faults.Hook(func() {
					v.signal(syscall.SIGSTOP)
					close(stopped)
				})})
				owner, text := v.command(v.runDays(m.days)...), &lab.Buffer{}
				owner.Stdout, owner.Stderr = text, text
				v.start(owner)
				<-stopped
				v.plan.Set()
				asked := v.api.settled()
				next, later := v.command(v.runDays(m.days+1)...), &lab.Buffer{}
				next.Stdout, next.Stderr = later, later
				if err := next.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					_ = next.Process.Kill()
					v.kill()
				})
				waits := "SELECT DISTINCT kind FROM organizations.org_meta_run_events WHERE org_slug = '" + v.org + "' AND kind = 'wait'"
				for deadline := time.Now().Add(lab.Patience); len(l.Lines(t, waits)) == 0; time.Sleep(lab.Glance) {
					if time.Now().After(deadline) {
						t.Fatalf("the successor does not wait\n%s", later)
					}
				}
				if n := v.api.pagesAsked(); n != asked {
					t.Errorf("beside a stopped owner its successor asked for %d pages", n-asked)
				}
				v.signal(syscall.SIGCONT)
				if err := owner.Wait(); err != nil {
					t.Errorf("the owner ended with %v\n%s", err, text)
				}
				if err := next.Wait(); err != nil {
					t.Errorf("the successor ended with %v\n%s", err, later)
				}
				v.landed(m.days + 1)
			})
		}
	}
}
