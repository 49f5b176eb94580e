package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
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
	return daemon.ServeOptions{
		Dir: dir, Idle: idle, Keys: []string{keyName},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

func ensureOptions(dir string, idle time.Duration) daemon.EnsureOptions {
	return daemon.EnsureOptions{Dir: dir, Command: []string{os.Args[0], serveMode, dir, idle.String()}, StartTimeout: patience}
}

// dataDir is a directory whose servers are killed after the test. There can be several: one that lost
// to the server that is killed here may take its place.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() {
		eventually(t, "no server is left", func() bool {
			pid, err := daemon.PID(dir)
			if err == nil && pid != os.Getpid() && alive(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				return false
			}
			_, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			return errors.Is(err, syscall.ECHILD)
		})
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

func keyClient(t testing.TB, addr string) *kmsapi.KeyManagementClient {
	t.Helper()
	c, err := kmsapi.NewKeyManagementClient(t.Context(), option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func encrypt(t testing.TB, addr, text string) []byte {
	t.Helper()
	res, err := keyClient(t, addr).Encrypt(t.Context(), &kmspb.EncryptRequest{Name: keyName, Plaintext: []byte(text)})
	if err != nil {
		t.Fatalf("the default key does not encrypt: %v", err)
	}
	return res.Ciphertext
}

func warehouseClient(t testing.TB, url string) *bigquery.Client {
	t.Helper()
	c, err := bigquery.NewClient(t.Context(), "p-1", option.WithEndpoint(url+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
