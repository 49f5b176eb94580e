package procid_test

import (
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher/procid"
)

func TestIdentityIsALabelAndIsReadBack(t *testing.T) {
	id := procid.Self()
	if !regexp.MustCompile(`^[a-z0-9_-]{20,63}$`).MatchString(id.String()) {
		t.Errorf("%q is no label", id)
	}
	if back, ok := procid.Parse(id.String()); !ok || back != id || id != procid.Self() {
		t.Errorf("%+v was read back as %+v, %t", id, back, ok)
	}
	if a, b := procid.New(), procid.New(); a == b {
		t.Error("two processes in one have the same identity")
	}
	for _, text := range []string{"", "api", "-", id.String() + "-x", "a-b-c--1-d-e"} {
		if back, ok := procid.Parse(text); ok {
			t.Errorf("%q was read as %+v", text, back)
		}
	}
}

func TestFateOfProcesses(t *testing.T) {
	own := procid.Self()
	change := func(f func(*procid.ID)) procid.ID {
		id := own
		f(&id)
		return id
	}
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id   procid.ID
		want procid.Fate
	}{
		"this process":                {own, procid.Alive},
		"a process that has ended":    {change(func(id *procid.ID) { id.PID = child.Process.Pid }), procid.Gone},
		"an older one of our number":  {change(func(id *procid.ID) { id.Start = "1" }), procid.Gone},
		"one before the machine fell": {change(func(id *procid.ID) { id.Boot = "00000000" }), procid.Gone},
		"one of another machine":      {change(func(id *procid.ID) { id.Machine = "00000000" }), procid.Unknown},
		"one of another container":    {change(func(id *procid.ID) { id.Namespace = "00000000" }), procid.Unknown},
		"one of no machine":           {change(func(id *procid.ID) { id.Machine = "" }), procid.Unknown},
	} {
		if got := c.id.Fate(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A process that is stopped is left to its heartbeat: it has a number and does nothing.
func TestFateOfAStoppedProcessIsUnknown(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	id := procid.Self()
	id.PID = child.Process.Pid
	id.Start, _ = procid.StartTime(id.PID)
	for _, c := range []struct {
		signal syscall.Signal
		want   procid.Fate
	}{{syscall.SIGSTOP, procid.Unknown}, {syscall.SIGCONT, procid.Alive}} {
		if err := child.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); id.Fate() != c.want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %s: %d, want %d", c.signal, id.Fate(), c.want)
			}
		}
	}
}

func TestProcessThatNobodyReapedIsDead(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^$")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	start, alive := procid.StartTime(child.Process.Pid)
	if !alive || start == "" {
		t.Error("a child that was just started is dead")
	}
	buffer := make([]byte, 100)
	for {
		if _, err := out.Read(buffer); err != nil { // it has closed its output: it is about to end
			break
		}
	}
	for alive {
		_, alive = procid.StartTime(child.Process.Pid)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
}
