package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cloudact/convergence/local/daemon"
)

const (
	keyName = "projects/p-1/locations/global/keyRings/convergence/cryptoKeys/credentials"

	serveMode   = "serve-data-directory"
	starterMode = "start-and-wait"

	patience = 20 * time.Second
)

// The test binary is also the server process and the program that starts one.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == serveMode {
		idle, err := time.ParseDuration(os.Args[3])
		if err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
			err = daemon.Serve(ctx, serveOptions(os.Args[2], idle))
			stop()
		}
		exit(err)
	}
	if len(os.Args) == 3 && os.Args[1] == starterMode {
		_, err := daemon.Ensure(context.Background(), ensureOptions(os.Args[2], time.Hour))
		if err == nil {
			fmt.Println("ready")
			select {}
		}
		exit(err)
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveOptions(dir string, idle time.Duration) daemon.ServeOptions {
	return daemon.ServeOptions{Dir: dir, Idle: idle, Keys: []string{keyName}, OpenWarehouse: openWarehouse,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
}

// fileWarehouse answers every request with the name of its file.
type fileWarehouse struct{ path string }

func openWarehouse(_ context.Context, path string) (daemon.Warehouse, error) {
	return fileWarehouse{path}, os.WriteFile(path, nil, 0o666)
}

func (w fileWarehouse) Handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, w.path) })
}

func (fileWarehouse) Close() error { return nil }

func ensureOptions(dir string, idle time.Duration) daemon.EnsureOptions {
	return daemon.EnsureOptions{Dir: dir, Command: []string{os.Args[0], serveMode, dir, idle.String()}, StartTimeout: patience}
}

// dataDir is a directory whose server, if any, is killed after the test.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() {
		if pid, err := daemon.PID(dir); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
			eventually(t, "the server is gone", func() bool { return !alive(pid) })
		}
	})
	return dir
}

func ensure(t testing.TB, dir string, idle time.Duration) *daemon.Client {
	t.Helper()
	c, err := daemon.Ensure(t.Context(), ensureOptions(dir, idle))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func serverPID(t testing.TB, dir string) int {
	t.Helper()
	pid, err := daemon.PID(dir)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive is false for a process that has ended, also while its parent, this process, has not reaped it.
func alive(pid int) bool {
	var st syscall.WaitStatus
	if got, err := syscall.Wait4(pid, &st, syscall.WNOHANG, nil); err == nil && got == pid {
		return false
	}
	return syscall.Kill(pid, 0) == nil
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func answers(url string) bool {
	res, err := http.Get(url + "/bigquery/v2/projects")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode < 500
}

func encryptOnce(t testing.TB, addr string) {
	t.Helper()
	c, err := kmsapi.NewKeyManagementClient(t.Context(), option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: keyName, Plaintext: []byte("x")}); err != nil {
		t.Fatalf("the default key does not encrypt: %v", err)
	}
}

func TestFirstCommandStartsAServerThatServesBothClouds(t *testing.T) {
	dir := dataDir(t)
	c := ensure(t, dir, time.Hour)
	if !answers(c.BigQueryURL) || !strings.HasPrefix(c.BigQueryURL, "http://127.0.0.1:") {
		t.Errorf("BigQuery does not answer at %s", c.BigQueryURL)
	}
	encryptOnce(t, c.KMSAddr)
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

func TestKilledServerComesBackOnTheSamePorts(t *testing.T) {
	dir := dataDir(t)
	first := ensure(t, dir, time.Hour)
	pid := serverPID(t, dir)
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
	encryptOnce(t, second.KMSAddr)
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
	os.Remove(filepath.Join(dir, "server.json")) // names this process, which the clean-up must not kill
}

func TestAddressesAreLoopbackUnlessToldOtherwiseAndATakenOneIsAnError(t *testing.T) {
	dir := dataDir(t)
	c := ensure(t, dir, time.Hour)
	o := serveOptions(dataDir(t), time.Hour)
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
