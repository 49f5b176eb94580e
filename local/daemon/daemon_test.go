package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/cloudact/convergence/local/daemon"
)

func TestFirstCommandStartsAServerThatServesBothClouds(t *testing.T) {
	dir := dataDir(t)
	c := ensure(t, dir, time.Hour)
	if !answers(c.BigQueryURL) || !strings.HasPrefix(c.BigQueryURL, "http://127.0.0.1:") {
		t.Errorf("BigQuery does not answer at %s", c.BigQueryURL)
	}
	encrypt(t, c.KMSAddr, "x")
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory mode = %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestConcurrentStartersShareOneServer(t *testing.T) {
	dir := dataDir(t)
	const n = 6
	clients, errs := make([]*daemon.Client, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { clients[i], errs[i] = daemon.Ensure(t.Context(), ensureOptions(dir, time.Hour)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		defer c.Close()
		if c.BigQueryURL != clients[0].BigQueryURL || c.KMSAddr != clients[0].KMSAddr {
			t.Errorf("two servers: %s and %s", c.BigQueryURL, clients[0].BigQueryURL)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "server.log"))
	if err != nil || strings.Count(string(raw), "is listening") != 1 {
		t.Errorf("servers that came to listen, by the log:\n%s\n%v", raw, err)
	}
}

func TestSecondServerOnADirectoryIsRefused(t *testing.T) {
	dir := dataDir(t)
	ensure(t, dir, time.Hour)
	if err := daemon.Serve(t.Context(), serveOptions(dir, time.Hour)); !errors.Is(err, daemon.ErrRunning) {
		t.Fatalf("error = %v, want ErrRunning", err)
	}
}

func TestKilledServerComesBackOnTheSamePortsWithWhatItAcknowledged(t *testing.T) {
	dir := dataDir(t)
	first := ensure(t, dir, time.Hour)
	pid := serverPID(t, dir)
	sealed := encrypt(t, first.KMSAddr, "kept")
	if err := warehouseClient(t, first.BigQueryURL).Dataset("kept").Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := ensure(t, dir, time.Hour)
	if first.BigQueryURL != second.BigQueryURL || first.KMSAddr != second.KMSAddr {
		t.Errorf("moved from %s %s to %s %s", first.BigQueryURL, first.KMSAddr, second.BigQueryURL, second.KMSAddr)
	}
	if now := serverPID(t, dir); now == pid {
		t.Errorf("process %d was killed and is still named in server.json", pid)
	}
	if _, err := warehouseClient(t, second.BigQueryURL).Dataset("kept").Metadata(t.Context()); err != nil {
		t.Errorf("an acknowledged dataset is lost: %v", err)
	}
	res, err := keyClient(t, second.KMSAddr).Decrypt(t.Context(), &kmspb.DecryptRequest{Name: keyName, Ciphertext: sealed})
	if err != nil || string(res.Plaintext) != "kept" {
		t.Errorf("a ciphertext does not open after the restart: %v", err)
	}
}

func TestWatchRestartsADeadServer(t *testing.T) {
	dir := dataDir(t)
	c := ensure(t, dir, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Watch(ctx) }()
	for range 2 {
		pid := serverPID(t, dir)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another process answers on the same port", func() bool {
			now, err := daemon.PID(dir)
			return err == nil && now != pid && answers(c.BigQueryURL)
		})
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Watch = %v", err)
	}
}

func TestServerLeavesAfterItsLastClientAndNotBefore(t *testing.T) {
	dir := dataDir(t)
	const idle = 300 * time.Millisecond
	a, b := ensure(t, dir, idle), ensure(t, dir, idle)
	pid := serverPID(t, dir)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(3 * idle); time.Now().Before(until); time.Sleep(idle / 10) {
		if !answers(b.BigQueryURL) {
			t.Fatal("the server left while it had a client")
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left := time.Now()
	eventually(t, "the server leaves", func() bool { return !alive(pid) })
	if took := time.Since(left); took < idle*8/10 {
		t.Errorf("left after %v, idle time is %v", took, idle)
	}
	again := ensure(t, dir, time.Hour)
	if again.BigQueryURL != b.BigQueryURL {
		t.Errorf("moved from %s to %s", b.BigQueryURL, again.BigQueryURL)
	}
}

func TestClientsArrivingWhileServersLeaveAlwaysGetOne(t *testing.T) {
	dir := dataDir(t)
	for range 10 {
		c, err := daemon.Ensure(t.Context(), ensureOptions(dir, 40*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		if !answers(c.BigQueryURL) {
			t.Fatal("a server left under its client")
		}
		c.Close()
		time.Sleep(40 * time.Millisecond) // around the moment at which the server decides
	}
}

func TestInterruptOfTheStarterDoesNotReachTheServer(t *testing.T) {
	dir := dataDir(t)
	starter := exec.Command(os.Args[0], starterMode, dir)
	starter.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("starter said %q, %v", line, err)
	}
	pid := serverPID(t, dir)
	if err := syscall.Kill(-starter.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := starter.Wait(); err == nil {
		t.Fatal("the starter survived the interrupt")
	}
	c := ensure(t, dir, time.Hour)
	if now := serverPID(t, dir); now != pid || !answers(c.BigQueryURL) {
		t.Errorf("server was %d, is %d", pid, now)
	}
}

func TestServerExitsWhenItsDirectoryVanishes(t *testing.T) {
	dir := dataDir(t)
	c := ensure(t, dir, time.Hour)
	pid := serverPID(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server exits", func() bool { return !alive(pid) })
	if err := c.Watch(t.Context()); !errors.Is(err, daemon.ErrVanished) {
		t.Errorf("Watch = %v, want ErrVanished", err)
	}
}

func TestOtherFormatVersionIsRefusedByName(t *testing.T) {
	dir := dataDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server.json"), []byte(`{"format_version":99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, ensureErr := daemon.Ensure(t.Context(), ensureOptions(dir, time.Hour))
	for _, err := range []error{ensureErr, daemon.Serve(t.Context(), serveOptions(dir, time.Hour))} {
		if !errors.Is(err, daemon.ErrFormat) || !strings.Contains(err.Error(), "format version 99") || !strings.Contains(err.Error(), dir) {
			t.Errorf("error = %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "warehouse.duckdb")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was touched: %v", err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	dir := dataDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kms.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Ensure(t.Context(), ensureOptions(dir, time.Hour))
	if err == nil || !strings.Contains(err.Error(), "kms.json") || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("error = %v", err)
	}
}

func TestStayOutlivesItsClientsAndEndsWithItsContext(t *testing.T) {
	dir := dataDir(t)
	o := serveOptions(dir, 20*time.Millisecond)
	o.Stay = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- daemon.Serve(ctx, o) }()
	c := ensure(t, dir, time.Hour)
	c.Close()
	for until := time.Now().Add(200 * time.Millisecond); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if !answers(c.BigQueryURL) {
			t.Fatal("the server left")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatalf("Serve = %v", err)
	}
}

func TestAddressesAreLoopbackUnlessToldOtherwiseAndATakenOneIsAnError(t *testing.T) {
	dir := dataDir(t)
	c := ensure(t, dir, time.Hour)
	o := serveOptions(filepath.Join(t.TempDir(), "other"), time.Hour)
	o.Addr = strings.TrimPrefix(c.BigQueryURL, "http://")
	if err := daemon.Serve(t.Context(), o); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("taken port: %v", err)
	}
	if !strings.HasPrefix(c.KMSAddr, "127.0.0.1:") {
		t.Errorf("KMS listens on %s", c.KMSAddr)
	}
}

func TestProductionIsRefused(t *testing.T) {
	dir := dataDir(t)
	o := serveOptions(dir, time.Hour)
	o.Environment = "production"
	if err := daemon.Serve(t.Context(), o); !errors.Is(err, daemon.ErrProduction) {
		t.Fatalf("error = %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestDirectoryWithForeignFilesOpenToOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Ensure(t.Context(), ensureOptions(dir, time.Hour))
	if err == nil || !strings.Contains(err.Error(), "other files") {
		t.Fatalf("error = %v", err)
	}
}
