// Package procid names processes so that another process, or a later one on the same
// machine, can tell whether the one that is named still lives. It is a leaf and knows
// nothing of runs.
package procid

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

const digits = 8 // hex digits of each hash in a name

// ID names one process for good: its machine, the boot of that machine, the namespace of
// its process ids, its process id and start time, and random digits.
type ID struct {
	Machine   string
	Boot      string
	Namespace string
	PID       int
	Start     string
	Random    string
}

// Self returns the identity of this process; it is the same at every call.
var Self = sync.OnceValue(func() ID { return New() })

// New returns an identity of this process with random digits of its own, for tests that
// play several processes in one.
func New() ID {
	id := here()
	id.PID = os.Getpid()
	id.Start, _ = StartTime(id.PID)
	id.Random = strings.ToLower(rand.Text()[:digits])
	return id
}

// here is what the processes of this machine and boot have in common.
func here() ID {
	name, _ := os.Hostname()
	return ID{Machine: hash(machine() + "\x00" + name), Boot: hash(boot()), Namespace: hash(namespace())}
}

// String writes the identity as a label of a cloud resource may be written: at most 63
// lower-case letters, digits and dashes.
func (id ID) String() string {
	return fmt.Sprintf("%s-%s-%s-%d-%s-%s", id.Machine, id.Boot, id.Namespace, id.PID, id.Start, id.Random)
}

var pattern = regexp.MustCompile(`^([0-9a-f]*)-([0-9a-f]*)-([0-9a-f]*)-([0-9]+)-([0-9a-z]*)-([0-9a-z]*)$`)

// Parse reads what String wrote.
func Parse(text string) (ID, bool) {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return ID{}, false
	}
	pid, err := strconv.Atoi(m[4])
	return ID{Machine: m[1], Boot: m[2], Namespace: m[3], PID: pid, Start: m[5], Random: m[6]}, err == nil
}

// Fate is what this process can tell of another one.
type Fate int

// What can be told. A process of another machine or of another container is Unknown, and
// so is one that is stopped (SIGSTOP): it may never go on, and its heartbeat tells.
const (
	Unknown Fate = iota
	Alive
	Gone
)

// Fate tells whether the process lives, as far as this machine knows.
func (id ID) Fate() Fate {
	own := here()
	switch {
	case id.Machine == "" || id.Machine != own.Machine || id.Boot == "" || own.Boot == "":
		return Unknown
	case id.Boot != own.Boot: // this machine was started anew since
		return Gone
	case id.Namespace != own.Namespace:
		return Unknown
	}
	start, alive, stopped := look(id.PID)
	switch {
	case !alive || id.Start != "" && start != id.Start:
		return Gone
	case stopped:
		return Unknown
	}
	return Alive
}

// StartTime returns when a process of this machine was started, in a form that only this
// package reads, and whether it lives. A process that nobody has reaped yet is dead.
func StartTime(pid int) (string, bool) {
	start, alive, _ := look(pid)
	return start, alive
}

func hash(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}
