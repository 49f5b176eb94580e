package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// process is an entry of /proc.
type process struct {
	pid, parent int
}

func processes(t testing.TB) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// pid (name) state parent ...; the name may hold anything.
		stat := procFile(pid, "stat")
		fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			continue // it has gone
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatalf("parent of process %d: %v", pid, err)
		}
		out = append(out, process{pid, parent})
	}
	return out
}

// procFile reads a file of a process; "" if the process has gone.
func procFile(pid int, name string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return ""
	}
	return string(b)
}
