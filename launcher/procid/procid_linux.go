package procid

import (
	"os"
	"strconv"
	"strings"
)

func machine() string {
	for _, name := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if b, err := os.ReadFile(name); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}

func boot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// namespace tells containers of one machine apart, whose processes have the same ids.
func namespace() string {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return link
}

func look(pid int) (start string, alive, stopped bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false, false
	}
	// The name of the program, in parentheses, may hold blanks: proc_pid_stat(5).
	_, rest, found := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), " ")
	fields := strings.Fields(rest)
	const state, started = 0, 19
	if !found || len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return "", false, false
	}
	ticks, err := strconv.ParseInt(fields[started], 10, 64)
	if err != nil {
		return "", false, false
	}
	return strconv.FormatInt(ticks, 36), true, fields[state] == "T" || fields[state] == "t"
}
