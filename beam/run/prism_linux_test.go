package run

import (
	"context"
	"net"
	"testing"
	"time"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"golang.org/x/sys/unix"
)

func TestPrismListensOnTheLoopbackDeviceOnly(t *testing.T) {
	before, err := wildcardListeners()
	if err != nil {
		t.Fatal(err)
	}
	server, err := startPrism(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.jobs.GetJobs(t.Context(), &jobpb.GetJobsRequest{}); err != nil {
		t.Fatalf("the job's own process is not answered: %v", err)
	}
	after, err := wildcardListeners()
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before)+1 {
		t.Fatalf("prism opened %d listeners, want 1", len(after)-len(before))
	}
	for fd := range after {
		if _, old := before[fd]; old {
			continue
		}
		if device, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil || device != loopbackDevice {
			t.Errorf("the listener is bound to device %q, %v", device, err)
		}
	}
	_, port, err := net.SplitHostPort(server.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range externalAddresses(t) {
		if answers(t.Context(), net.JoinHostPort(address, port)) {
			t.Errorf("prism answers on %s", address)
		}
		// The address itself works: without the binding it would have answered.
		open, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		_, openPort, _ := net.SplitHostPort(open.Addr().String())
		if !answers(t.Context(), net.JoinHostPort(address, openPort)) {
			t.Errorf("%s cannot be reached at all: the test proves nothing there", address)
		}
		_ = open.Close()
	}
	if !answers(t.Context(), "127.0.0.1:"+port) {
		t.Error("prism does not answer on 127.0.0.1")
	}
}

func answers(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// externalAddresses are this host's own addresses beside the loopback ones.
func externalAddresses(t *testing.T) []string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && !ip.IP.IsLoopback() {
			out = append(out, ip.IP.String())
		}
	}
	return out
}
