package procid

import (
	"strconv"

	"golang.org/x/sys/unix"
)

const zombie = 5 // SZOMB of sys/proc.h

func machine() string {
	id, err := unix.Sysctl("kern.uuid")
	if err != nil {
		return ""
	}
	return id
}

func boot() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}

func namespace() string { return "" }

// StartTime returns when a process of this machine was started, in a form that only this
// package reads, and whether it lives. A process that nobody has reaped yet is dead.
func StartTime(pid int) (string, bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || info.Proc.P_pid != int32(pid) || info.Proc.P_stat == zombie {
		return "", false
	}
	at := info.Proc.P_starttime
	return strconv.FormatInt(at.Sec*1_000_000+int64(at.Usec), 36), true
}
