package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The runner inside a job has an unauthenticated server that runs commands for whoever
// reaches it.
func TestTheRunnerOfAJobDoesNotAnswerOutsideTheMachine(t *testing.T) {
	t.Parallel()
	external := externalAddresses(t) // none on a host that nothing can reach; the rest holds there too
	acme := orgs("acme")
	w := newWorld(t, acme...)
	w.setCredentials(acme...)
	s := w.serve("acme")
	w.provider.Hold(0)
	started := s.start("acme")
	w.provider.Held(t)
	ports := wildcardPorts(t, s.jobOf(started.ID))
	if len(ports) == 0 {
		t.Error("the job listens on no wildcard address: this test looks for what is not there")
	}
	for _, port := range ports {
		if !answers("127.0.0.1", port) {
			t.Errorf("port %d does not answer on loopback", port)
		}
		for _, address := range external {
			if answers(address, port) {
				t.Errorf("port %d answers on %s", port, address)
			}
		}
	}
	for _, address := range external[:min(1, len(external))] {
		dialled(t, address)
	}
	for _, p := range append(children(t, s.Process.Pid), s.Process.Pid, w.warehousePID()) {
		if open := wildcardPorts(t, p); p != s.jobOf(started.ID) && len(open) > 0 {
			t.Errorf("process %q listens on every address at %v", procFile(p, "cmdline"), open)
		}
	}
	w.provider.Release()
	s.completed("acme", started.ID)
}

// dialled wants a listener on an external address to be reached: what shows that a port
// which does not answer there is closed to others.
func dialled(t *testing.T, address string) {
	t.Helper()
	control, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = control.Close() }()
	if !answers(address, control.Addr().(*net.TCPAddr).Port) {
		t.Errorf("a listener on %s cannot be reached", address)
	}
}

func answers(host string, port int) bool {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

// externalAddresses lists the global addresses of the host's interfaces, IPv4 first.
func externalAddresses(t *testing.T) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var four, six []string
	for _, a := range all {
		network, ok := a.(*net.IPNet)
		switch {
		case !ok || !network.IP.IsGlobalUnicast():
		case network.IP.To4() != nil:
			four = append(four, network.IP.String())
		default:
			six = append(six, network.IP.String())
		}
	}
	return append(four, six...)
}

const (
	tcpListen   = "0A"
	socketField = 9 // the inode in a line of /proc/net/tcp
)

// wildcardPorts finds the ports on which a process listens on every address.
func wildcardPorts(t *testing.T, pid int) []int {
	t.Helper()
	sockets := map[string]bool{}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink(fds + "/" + e.Name()); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				sockets[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	var ports []int
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		for line := range strings.Lines(procFile(pid, table)) {
			fields := strings.Fields(line)
			if len(fields) <= socketField || fields[3] != tcpListen || !sockets[fields[socketField]] {
				continue
			}
			address, port, _ := strings.Cut(fields[1], ":")
			if strings.Trim(address, "0") != "" {
				continue
			}
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatalf("port in %q: %v", line, err)
			}
			ports = append(ports, int(n))
		}
	}
	return ports
}
