package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"golang.org/x/sys/unix"
)

const loopbackDevice = "lo"

// startPrism starts the runner in this process. Its server listens on every interface
// without authentication and can run commands, so its listening socket is bound to the
// loopback device right after it exists: the host's own external address refuses.
func startPrism(ctx context.Context) (*prismServer, error) {
	before, err := wildcardListeners()
	if err != nil {
		return nil, err
	}
	jobs, err := prism.CreateJobServer(ctx, prism.Options{})
	if err != nil {
		return nil, fmt.Errorf("start prism: %w", err)
	}
	after, err := wildcardListeners()
	if err != nil {
		return nil, err
	}
	port := 0
	for fd, p := range after {
		if _, old := before[fd]; old {
			continue
		}
		if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, loopbackDevice); err != nil {
			return nil, fmt.Errorf("bind prism's listener to %s: %w; use --runner direct", loopbackDevice, err)
		}
		port = p
	}
	if port == 0 {
		return nil, errors.New("prism's listening socket was not found; use --runner direct")
	}
	return &prismServer{jobs: jobs, endpoint: "localhost:" + strconv.Itoa(port)}, nil
}

// wildcardListeners finds this process's TCP sockets that listen on every interface, by
// descriptor, with their ports.
func wildcardListeners() (map[int]int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	found := map[int]int{}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listening != 1 {
			continue
		}
		address, err := unix.Getsockname(fd)
		if err != nil && !errors.Is(err, syscall.EBADF) {
			return nil, fmt.Errorf("read socket address: %w", err)
		}
		switch a := address.(type) {
		case *unix.SockaddrInet6:
			if a.Addr == [16]byte{} {
				found[fd] = a.Port
			}
		case *unix.SockaddrInet4:
			if a.Addr == [4]byte{} {
				found[fd] = a.Port
			}
		}
	}
	return found, nil
}
