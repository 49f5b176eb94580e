package local_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/runfolder"
)

func start(t *testing.T, script string) (*local.Runner, *runfolder.Folder, func() error) {
	t.Helper()
	folder, err := runfolder.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &local.Runner{Command: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Grace: 300 * time.Millisecond}
	p, err := r.Start(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	return r, folder, p.Wait
}

func TestOneJobAtATimeWorksInAFolder(t *testing.T) {
	r, folder, wait := start(t, "sleep 0.3")
	if _, err := r.Start(t.Context(), folder); !errors.Is(err, local.ErrLives) {
		t.Errorf("a second job: %v", err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if _, lives, err := r.Adopt(t.Context(), folder); lives || err != nil {
		t.Errorf("a job that has ended lives: %v", err)
	}
	p, err := r.Start(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAdoptedJobIsFollowedAndStopped(t *testing.T) {
	r, folder, wait := start(t, "trap '' TERM; sleep 30 & wait; wait")
	ended := make(chan error, 1)
	go func() { ended <- wait() }() // a child is reaped by who started it
	adopted, lives, err := r.Adopt(t.Context(), folder)
	if err != nil || !lives {
		t.Fatalf("lives: %t, %v", lives, err)
	}
	adopted.Stop() // with a signal that it does not hear, then with one that it cannot ignore
	if err := adopted.Wait(); err != nil {
		t.Error(err)
	}
	adopted.Stop()
	if err := <-ended; err == nil {
		t.Error("the job was not killed")
	}
}

func TestJobThatWasNotNotedIsFollowedAllTheSame(t *testing.T) {
	r, folder, wait := start(t, "sleep 0.3")
	if err := os.Remove(folder.Path(runfolder.JobFile)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	adopted, lives, err := r.Adopt(t.Context(), folder)
	if err != nil || !lives {
		t.Fatalf("lives: %t, %v", lives, err)
	}
	adopted.Stop() // nobody knows whom
	if err := adopted.Wait(); err != nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("followed for %s, %v", time.Since(began), err)
	}
	if err := wait(); err != nil {
		t.Errorf("it was stopped: %v", err)
	}
}

func TestFolderWithoutAJobHasNone(t *testing.T) {
	folder, err := runfolder.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, lives, err := (&local.Runner{}).Adopt(t.Context(), folder); lives || err != nil {
		t.Errorf("lives: %t, %v", lives, err)
	}
}
