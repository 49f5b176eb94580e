package runfolder_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/launcher/runfolder"
)

func open(t *testing.T) (*runfolder.Folder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "runs", "r1")
	f, err := runfolder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, dir
}

func write(t *testing.T, f *runfolder.Folder, text string) {
	t.Helper()
	file, err := os.OpenFile(f.Path(runfolder.EventsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSpecAndResultComeBackAsTheyWere(t *testing.T) {
	f, _ := open(t)
	day := civil.Date{Year: 2026, Month: 11, Day: 22}
	now := time.Date(2026, 11, 23, 12, 0, 0, 1000, time.UTC)
	spec := runfolder.Spec{
		RunID: "r1", Attempt: 2, Epoch: 3, Org: "acme", Env: "local", Project: "p", Dataset: "acme_local", Location: "US",
		Pipeline: "openai/cost/usage_cost", Document: "steps: []\n", File: "f.yml", Params: map[string]string{"a": "b"},
		StartDate: day, EndDate: day, Now: now, Deadline: now.Add(time.Hour), Runner: "prism", Generations: map[string]int{"u": 4},
	}
	if err := f.WriteSpec(spec); err != nil {
		t.Fatal(err)
	}
	if got, err := f.ReadSpec(); err != nil || !cmp.Equal(got, spec) {
		t.Errorf("spec: %v\n%s", err, cmp.Diff(spec, got))
	}
	result := runfolder.Result{RunID: "r1", State: runfolder.Failed, Code: "X", Error: "y", Start: now, End: now, Steps: []runfolder.StepResult{
		{Step: "a", State: runfolder.StepFailed, Published: 7, JobIDs: []string{"j"}, Counts: runfolder.StepCounts{Rows: 9, Retries: 1}},
	}}
	if err := f.WriteResult(result); err != nil {
		t.Fatal(err)
	}
	if got, err := f.ReadResult(); err != nil || !cmp.Equal(got, result) {
		t.Errorf("result: %v\n%s", err, cmp.Diff(result, got))
	}
}

func TestMissingFilesAreToldFromUnreadableOnes(t *testing.T) {
	f, dir := open(t)
	if _, err := f.ReadResult(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing result is %v", err)
	}
	if events, next, err := f.Events(0); len(events) != 0 || next != 0 || err != nil {
		t.Errorf("missing events are %v, %d, %v", events, next, err)
	}
	if err := os.WriteFile(filepath.Join(dir, runfolder.ResultFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadResult(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a result is %v", err)
	}
}

func TestResultIsWholeWheneverItIsThere(t *testing.T) {
	f, dir := open(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 200 {
			if err := f.WriteResult(runfolder.Result{RunID: "r1", State: runfolder.Completed, Error: strings.Repeat("x", i*100)}); err != nil {
				t.Error(err)
			}
		}
	})
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		r, err := f.ReadResult()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || r.State != runfolder.Completed {
			t.Fatalf("read %q, %v", r.State, err)
		}
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestOnlyTheOwnerMayReadARun(t *testing.T) {
	f, dir := open(t)
	if err := f.Append(runfolder.Event{Kind: runfolder.KindStarted}); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSpec(runfolder.Spec{StartDate: civil.Date{Year: 2026, Month: 1, Day: 1}, EndDate: civil.Date{Year: 2026, Month: 1, Day: 1}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, runfolder.EventsFile: 0o600, runfolder.SpecFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

func TestEventsAreNumberedAndReadFromAnOffset(t *testing.T) {
	f, _ := open(t)
	var offset int64
	for i := range 5 {
		if err := f.Append(runfolder.Event{Kind: runfolder.KindProgress, Step: fmt.Sprint("s", i)}); err != nil {
			t.Fatal(err)
		}
		events, next, err := f.Events(offset)
		if err != nil || len(events) != 1 || events[0].Seq != int64(i+1) || events[0].Step != fmt.Sprint("s", i) || next <= offset {
			t.Fatalf("after event %d: %+v, %d, %v", i, events, next, err)
		}
		offset = next
	}
	if events, next, err := f.Events(offset); len(events) != 0 || next != offset || err != nil {
		t.Errorf("at the end: %v, %d, %v", events, next, err)
	}
}

func TestLineThatIsBeingWrittenIsLeftForLater(t *testing.T) {
	f, _ := open(t)
	const line = `{"seq":1,"kind":"progress","step":"a"}` + "\n"
	for cut := range len(line) {
		if err := os.Remove(f.Path(runfolder.EventsFile)); err != nil && cut > 0 {
			t.Fatal(err)
		}
		write(t, f, line[:cut])
		events, next, err := f.Events(0)
		if len(events) != 0 || next != 0 || err != nil {
			t.Fatalf("cut at %d: %v, %d, %v", cut, events, next, err)
		}
		write(t, f, line[cut:])
		if events, next, err = f.Events(next); len(events) != 1 || next != int64(len(line)) || err != nil {
			t.Fatalf("whole: %v, %d, %v", events, next, err)
		}
	}
}

func TestLineThatIsNoEventIsReportedAndPassed(t *testing.T) {
	f, _ := open(t)
	write(t, f, `{"seq":1,"kind":"started"}`+"\nno event\n"+`{"seq":2,"kind":"progress"}`+"\n")
	events, next, err := f.Events(0)
	if len(events) != 1 || err == nil || !strings.Contains(err.Error(), runfolder.EventsFile) {
		t.Fatalf("before the bad line: %v, %v", events, err)
	}
	if events, _, err = f.Events(next); len(events) != 1 || events[0].Seq != 2 || err != nil {
		t.Errorf("after the bad line: %v, %v", events, err)
	}
}

func TestWriterAfterAKilledOneSpoilsNoLine(t *testing.T) {
	f, _ := open(t)
	write(t, f, `{"seq":1,"kind":"started"}`+"\n"+`{"seq":2,"ki`)
	if err := f.Append(runfolder.Event{Kind: runfolder.KindProgress, Step: "a"}); err != nil {
		t.Fatal(err)
	}
	first, next, err := f.Events(0)
	if len(first) != 1 || err == nil {
		t.Fatalf("up to the broken line: %v, %v", first, err)
	}
	rest, _, err := f.Events(next)
	if err != nil || len(rest) != 1 || rest[0].Step != "a" {
		t.Errorf("after the broken line: %v, %v", rest, err)
	}
}

func TestManyGoroutinesWriteWholeLines(t *testing.T) {
	f, _ := open(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				if err := f.Append(runfolder.Event{Kind: runfolder.KindLog, Message: strings.Repeat("m", 500)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	events, _, err := f.Events(0)
	if err != nil || len(events) != 400 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has number %d", i, e.Seq)
		}
	}
}

func TestCloseTwiceIsHarmless(t *testing.T) {
	f, _ := open(t)
	if err := f.Append(runfolder.Event{Kind: runfolder.KindStarted}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
}
