package procid

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// States of sys/proc.h.
const (
	halted = 4 // SSTOP
	zombie = 5 // SZOMB
)

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

func look(pid int) (start string, alive, stopped bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || info.Proc.P_pid != int32(pid) || info.Proc.P_stat == zombie {
		return "", false, false
	}
	at := info.Proc.P_starttime
	return strconv.FormatInt(at.Sec*1_000_000+int64(at.Usec), 36), true, info.Proc.P_stat == halted
}
