package lab

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// Patience bounds every wait for a process; it is long because machines are busy.
	Patience = 4 * time.Minute
	// Glance is the pause between two looks at one.
	Glance = 25 * time.Millisecond
)

// Environ is what a program gets of the environment of the tests; home is where it may
// leave what it likes.
func Environ(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir()}
}

// Eventually polls, because processes have no other way to tell.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", Patience, what)
		}
		time.Sleep(Glance)
	}
}

// Buffer keeps what a process writes; it may be read meanwhile.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Service is a running `convergence serve`.
type Service struct {
	Process *os.Process
	URL     string
	Stderr  *Buffer
	Ended   chan struct{}
	Code    int // once it has ended

	t testing.TB
}

// Serve starts a service and waits until it listens. It ends with the test at the latest.
func Serve(t testing.TB, cmd *exec.Cmd) *Service {
	t.Helper()
	s := &Service{t: t, Stderr: &Buffer{}, Ended: make(chan struct{})}
	cmd.Stderr = s.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.Process = cmd.Process
	t.Cleanup(s.Stop)
	lines := bufio.NewScanner(stdout)
	for s.URL == "" && lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.URL = url
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
		s.Code = cmd.ProcessState.ExitCode()
		close(s.Ended)
	}()
	if s.URL == "" {
		<-s.Ended
		t.Fatalf("the service ended without listening: %s", s.Stderr)
	}
	return s
}

// Stop ends the service as a service manager would, and shows its log if the test failed.
func (s *Service) Stop() {
	select {
	case <-s.Ended:
	default:
		_ = s.Process.Signal(syscall.SIGCONT)
		_ = s.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.Ended:
		case <-time.After(Patience):
			_ = s.Process.Kill()
			<-s.Ended
			s.t.Errorf("the service did not end within %s of SIGTERM", Patience)
		}
	}
	if !s.t.Failed() {
		return
	}
	for line := range strings.Lines(s.Stderr.String()) {
		if !strings.Contains(line, `"msg":"request"`) {
			s.t.Log("service: " + strings.TrimSpace(line))
		}
	}
}

// Kill ends the service as the kernel would; its jobs live on.
func (s *Service) Kill() { _ = s.Process.Kill() }

// Logged reports whether the service has written a message.
func (s *Service) Logged(message string) bool {
	return strings.Contains(s.Stderr.String(), `"msg":"`+message+`"`)
}
