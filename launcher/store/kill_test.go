package store_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store"
)

// launcherProcess runs a launcher until its run has ended or it dies at a call.
func (b *bench) launcherProcess(dir string, at int) (string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killRole+"="+roleLauncher, killURL+"="+shared.url+"/bigquery/v2/",
		killProject+"="+b.client.Project(), killDir+"="+dir, killAt+"="+strconv.Itoa(at))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var callsPattern = regexp.MustCompile(`calls (\d+)`)

// A launcher that dies between any two of its calls loses nothing, and its successor
// neither starts the job again nor publishes twice: the job has outlived its launcher.
func TestKilledLauncherLosesNothingAndRunsNothingTwice(t *testing.T) {
	b := newKillBench(t)
	dir := t.TempDir()
	out, err := b.launcherProcess(dir, 0)
	m := callsPattern.FindStringSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("a launcher that lives: %v\n%s", err, out)
	}
	b.checkKilled(dir, false)
	calls, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	points := []int{}
	for n := 1; n <= calls; n++ {
		points = append(points, n, -n)
	}
	step := max(1, len(points)/killPoints) | 1 // odd: before and after calls
	t.Logf("%d calls, every %d. of %d points", calls, step, len(points))
	tried, died := 0, 0
	for i := 0; i < len(points); i += step {
		t.Run(fmt.Sprint("at ", points[i]), func(t *testing.T) {
			b := newKillBench(t)
			dir := t.TempDir()
			tried++
			out, err := b.launcherProcess(dir, points[i])
			if err == nil { // it made fewer calls this time
				b.checkKilled(dir, false)
				return
			}
			if !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the launcher: %v\n%s", err, out)
			}
			died++
			if out, err := b.launcherProcess(dir, 0); err != nil {
				t.Fatalf("its successor: %v\n%s", err, out)
			}
			b.checkKilled(dir, true)
		})
	}
	if died*2 < tried {
		t.Errorf("%d of %d launchers were killed", died, tried)
	}
}

func newKillBench(t *testing.T) *bench {
	b := newBench(t)
	if err := store.CreateDataset(t.Context(), b.client, "killed", "US"); err != nil {
		t.Fatal(err)
	}
	b.exec("CREATE TABLE killed.facts (unit STRING, generation INT64, run_id STRING)")
	return b
}

func (b *bench) checkKilled(dir string, killed bool) {
	b.t.Helper()
	want(b.t, b.lines("SELECT unit, COUNT(*) FROM killed.facts GROUP BY unit ORDER BY unit"), "u1 1", "u2 1")
	started, err := noted(dir, startedFile)
	if err != nil || len(started) != 1 {
		b.t.Errorf("%d jobs were started, %v", len(started), err)
	}
	ended, err := noted(dir, endedFile)
	// A launcher that dies after it has told may not have recorded it: its successor tells
	// again.
	if err != nil || len(ended) != 1 && (!killed || len(ended) != 2) {
		b.t.Errorf("the end was told %d times, %v", len(ended), err)
	}
	if released, err := noted(dir, releasedFile); err != nil || len(released) == 0 {
		b.t.Errorf("what the run reserved was given back %d times, %v", len(released), err)
	}
	events, err := b.Events(b.t.Context(), "acme", killRun)
	if err != nil {
		b.t.Fatal(err)
	}
	run, found, err := launcher.Reduce(events)
	if err != nil || !found || run.State != launcher.Completed || len(run.Steps) != 1 || run.Steps[0].Published != 2 {
		b.t.Errorf("the run is %+v, %t, %v", run, found, err)
	}
}
